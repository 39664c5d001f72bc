#pragma once

#include <htslib/bgzf.h>
#include <htslib/hfile.h>
#include <htslib/hts.h>
#include <htslib/tbx.h>
#include <htslib/vcf.h>

#include <memory>

namespace flagen::genomics {

/// Closes handles of HTSlib that were read from; a failed close has nothing left to report.
struct HtsClose {
    void operator()(BGZF* file) const noexcept { static_cast<void>(bgzf_close(file)); }
    void operator()(hFILE* file) const noexcept { hclose_abruptly(file); }
    void operator()(htsFile* file) const noexcept { static_cast<void>(hts_close(file)); }
    void operator()(hts_md5_context* context) const noexcept { hts_md5_destroy(context); }
    void operator()(bcf_hdr_t* header) const noexcept { bcf_hdr_destroy(header); }
    void operator()(bcf1_t* record) const noexcept { bcf_destroy(record); }
    void operator()(tbx_t* index) const noexcept { tbx_destroy(index); }
    void operator()(hts_idx_t* index) const noexcept { hts_idx_destroy(index); }
    void operator()(hts_itr_t* iterator) const noexcept { hts_itr_destroy(iterator); }
};

using BgzfHandle = std::unique_ptr<BGZF, HtsClose>;
using HfileHandle = std::unique_ptr<hFILE, HtsClose>;
using HtsFileHandle = std::unique_ptr<htsFile, HtsClose>;
using Md5Handle = std::unique_ptr<hts_md5_context, HtsClose>;
using BcfHeaderHandle = std::unique_ptr<bcf_hdr_t, HtsClose>;
using BcfRecordHandle = std::unique_ptr<bcf1_t, HtsClose>;
using TabixHandle = std::unique_ptr<tbx_t, HtsClose>;
using HtsIndexHandle = std::unique_ptr<hts_idx_t, HtsClose>;
using HtsIteratorHandle = std::unique_ptr<hts_itr_t, HtsClose>;

/// A string that HTSlib fills.
class HtsString {
  public:
    HtsString() = default;
    ~HtsString() { ks_free(&text_); }
    HtsString(const HtsString&) = delete;
    HtsString& operator=(const HtsString&) = delete;

    [[nodiscard]] kstring_t* get() { return &text_; }

  private:
    kstring_t text_ = KS_INITIALIZE;
};

}  // namespace flagen::genomics
