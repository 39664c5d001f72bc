#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace flagen::data {

/// Outcome of one predicted row. The numbers are those written to files.
enum class RowStatus : std::uint8_t {
    kOk = 0,
    kRefMismatch = 1,        ///< Not scored.
    kAltUnparsable = 2,      ///< Not scored.
    kOutOfBoundsPadded = 3,  ///< Scored; the window reached over a contig's end.
    kBeyondWindow = 4,       ///< Not scored: does not fit into a window.
    kNoGeneOverlap = 5,
    kNFractionHigh = 6,  ///< Not scored.
    kEmptyRecord = 7,    ///< Not scored.
    kRefIsAlt = 8,       ///< Not scored, unless asked for.
    kUnknownContig = 9,  ///< Not scored.
    kIndelSkipped = 10,  ///< Not scored.
};

/// Names of RowStatus by number, as `status_text` of an output holds them.
[[nodiscard]] const std::vector<std::string>& row_status_names();

}  // namespace flagen::data
