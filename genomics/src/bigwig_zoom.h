#pragma once

#include <cstdint>
#include <vector>

#include "bigwig_output.h"
#include "bigwig_tree.h"

namespace flagen::genomics {

/// A record of a zoom level as it stands in the file: the covered bases within one step.
struct BigWigZoomRecord {
    std::uint32_t contig = 0;
    std::uint32_t start = 0;  ///< First covered base.
    std::uint32_t end = 0;    ///< End of the last covered base.
    std::uint32_t num_bases = 0;
    float min = 0.0F;
    float max = 0.0F;
    float sum = 0.0F;
    float sum_squares = 0.0F;
};

/// What the header says of a zoom level.
struct BigWigZoomHeader {
    std::uint32_t step_bp = 0;
    std::uint64_t data_offset = 0;
    std::uint64_t index_offset = 0;
};

/// Appends the zoom levels of the data blocks `entries` to `output`, at most `max_levels`, the
/// first with a step of `first_step_bp`, the steps up to `longest_bp`.
[[nodiscard]] std::vector<BigWigZoomHeader> write_bigwig_zoom_levels(
    BigWigOutput& output, const std::vector<BigWigIndexEntry>& entries, std::uint64_t first_step_bp,
    std::uint64_t longest_bp, int max_levels);

}  // namespace flagen::genomics
