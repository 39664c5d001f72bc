#include "flagen/genomics/window.h"

#include <algorithm>
#include <limits>

#include "flagen/error.h"
#include "flagen/genomics/tokenizer.h"

namespace flagen::genomics {
namespace {

WindowSequence fetch_linear(const ReferenceGenome& reference, const Window& window,
                            std::int64_t contig_length_bp) {
    const std::int64_t start = std::clamp<std::int64_t>(window.start_bp, 0, contig_length_bp);
    const std::int64_t end = std::clamp<std::int64_t>(window.end_bp(), start, contig_length_bp);
    if (end - start == window.length_bp) {
        return {reference.fetch({window.contig, start, end}), 0};
    }
    WindowSequence result;
    result.num_padded_bp = window.length_bp - (end - start);
    result.bases.assign(static_cast<std::size_t>(window.length_bp), 'N');
    if (end > start) {
        result.bases.replace(static_cast<std::size_t>(start - window.start_bp),
                             static_cast<std::size_t>(end - start),
                             reference.fetch({window.contig, start, end}));
    }
    return result;
}

std::string fetch_circular(const ReferenceGenome& reference, const Window& window,
                           std::int64_t contig_length_bp) {
    std::string bases;
    bases.reserve(static_cast<std::size_t>(window.length_bp));
    std::int64_t position = window.start_bp % contig_length_bp;
    if (position < 0) {
        position += contig_length_bp;
    }
    std::int64_t remaining = window.length_bp;
    while (remaining > 0) {
        const std::int64_t piece = std::min(remaining, contig_length_bp - position);
        bases += reference.fetch({window.contig, position, position + piece});
        remaining -= piece;
        position = 0;
    }
    return bases;
}

}  // namespace

WindowSequence fetch_window(const ReferenceGenome& reference, const Window& window) {
    FLAGEN_CHECK(
        window.length_bp >= 0 &&
            (window.start_bp <= 0 ||
             window.length_bp <= std::numeric_limits<std::int64_t>::max() - window.start_bp),
        "window of ", window.length_bp, " bp at ", window.start_bp);
    const Contig& contig = reference.contigs().require(window.contig, "window");
    WindowSequence result =
        contig.circular ? WindowSequence{fetch_circular(reference, window, contig.length_bp), 0}
                        : fetch_linear(reference, window, contig.length_bp);
    if (window.strand == Strand::kReverse) {
        reverse_complement(result.bases);
    }
    return result;
}

std::string window_name(const Window& window) {
    return window.contig + ":" + std::to_string(window.start_bp) + "-" +
           std::to_string(window.end_bp()) + ":" + strand_symbol(window.strand);
}

}  // namespace flagen::genomics
