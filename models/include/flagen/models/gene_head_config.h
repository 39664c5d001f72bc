#pragma once

#include <cstdint>
#include <vector>

namespace flagen {
class JsonObject;
}

namespace flagen::models {

class OptionTable;

/// The point or stretch of a gene that a pool is measured from, in the gene's own direction.
enum class PoolAnchor {
    kSpan,    ///< First to last base of the gene.
    kPieces,  ///< Its pieces (exons, coding rows): spliced-out bases do not count.
    kStart,   ///< The first base in the gene's direction: the 5' end.
    kEnd,     ///< The end of the gene in its direction: the 3' end.
};

/// A stretch of the window whose tokens are averaged for each gene. Offsets grow downstream: on the
/// + strand the stretch is [first + from_bp, last + to_bp), where first = last for kStart and kEnd;
/// on the - strand its mirror image. kPieces takes no offsets.
struct GenePool {
    PoolAnchor anchor = PoolAnchor::kSpan;
    std::int64_t from_bp = 0;
    std::int64_t to_bp = 0;

    void bind(OptionTable& table);
    void check(JsonObject& json) const;
};

/// The span, four stretches around the 5' end, the 3' end, 1,500 bp before and after the gene.
[[nodiscard]] std::vector<GenePool> default_gene_pools();

/// The coding sequence read in frame: codons of the spliced pieces, from the first base on.
struct CodonOptions {
    std::int64_t width = 64;         ///< Channels of a codon; 0 leaves the encoder out.
    std::int64_t kernel = 3;         ///< Codons that a convolution sees; odd.
    std::int64_t first = 25;         ///< So many codons are also averaged by themselves; 0: none.
    std::int64_t max_codons = 1000;  ///< Codons past this one are not read.
    double dropout = 0.3;            ///< Share of codons left out of the averages in training.

    void bind(OptionTable& table);
    void check(JsonObject& json) const;
};

/// The bases around the 5' end, at full resolution.
struct PromoterOptions {
    std::int64_t width = 32;  ///< Channels; 0 leaves the encoder out.
    std::int64_t upstream_bp = 300;
    std::int64_t downstream_bp = 100;
    std::int64_t bins = 4;  ///< Averages along the stretch; they divide its length.
    double dropout = 0.4;   ///< Between the two convolutions.

    void bind(OptionTable& table);
    void check(JsonObject& json) const;
};

/// The `genes` head: `heads.genes` of the model section.
struct GeneHeadConfig {
    std::vector<GenePool> pools = default_gene_pools();
    bool tower_pool = true;  ///< Averages the tower's tokens over the span as well.
    CodonOptions codons;
    PromoterOptions promoter;
    bool log_length = true;       ///< Logarithm of the gene's length and its square.
    double token_dropout = 0.5;   ///< Share of tokens set to zero before pooling in training.
    double dropout = 0.2;         ///< Of the normalised features.
    std::int64_t hidden = 128;    ///< Units of the hidden layer beside the linear map; 0: none.
    double hidden_dropout = 0.3;  ///< Of the hidden units.

    void bind(OptionTable& table);
    void check(JsonObject& json) const;
};

}  // namespace flagen::models
