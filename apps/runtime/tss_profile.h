#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "flagen/data/track_windows.h"

namespace flagen::apps {

struct RunData;

/// Baseline for tracks: the mean measured value of the training bins at the same distance from the
/// nearest gene start.
///
/// A gene starts at the 5' end of its coding rows (of its span, if it has none). Stranded tracks
/// look at genes of their strand, unstranded ones at all. Distances count from the bin's middle,
/// along the gene, in classes of `kClassBp` from `kUpstreamBp` before to `kDownstreamBp` behind the
/// start; what is further off is in the outermost class.
class TssProfile {
  public:
    static constexpr std::int64_t kClassBp = 32;
    static constexpr std::int64_t kUpstreamBp = 2048;
    static constexpr std::int64_t kDownstreamBp = 4096;

    /// Reads all training bins once.
    /// @throws Error if the data hold no tracks or no genes.
    explicit TssProfile(const RunData& data);

    /// All bins of the pass's window, [N, T] fp32 on the training scale.
    [[nodiscard]] at::Tensor predict(const data::TrackPass& pass) const;

  private:
    using Starts = std::map<std::string, std::vector<std::int64_t>>;  // contig -> ascending bp

    [[nodiscard]] std::vector<std::int64_t> classes(const data::TrackPass& pass, char strand) const;

    const RunData& data_;
    Starts forward_;
    Starts reverse_;
    at::Tensor profile_;  // [classes, T] fp32 on the training scale
};

}  // namespace flagen::apps
