#pragma once

#include <htslib/bgzf.h>
#include <htslib/hts.h>

#include <memory>

namespace flagen::genomics {

/// Closes handles of HTSlib that were read from; a failed close has nothing left to report.
struct HtsClose {
    void operator()(BGZF* file) const noexcept { static_cast<void>(bgzf_close(file)); }
    void operator()(hts_md5_context* context) const noexcept { hts_md5_destroy(context); }
};

using BgzfHandle = std::unique_ptr<BGZF, HtsClose>;
using Md5Handle = std::unique_ptr<hts_md5_context, HtsClose>;

}  // namespace flagen::genomics
