#pragma once

#include <ATen/core/Tensor.h>

#include "flagen/models/stream_shape.h"

namespace flagen::models {

/// Genes to predict, by their place in the windows of a batch. Axes: B windows of L bases, G genes,
/// P pieces. All tensors int64 on the CPU. Positions are base pairs relative to the window as the
/// model reads it (after a reverse complement of the window), 0-based, half-open.
struct GeneQueries {
    at::Tensor window;    ///< [G], row of the batch, 0 <= window < B.
    at::Tensor start_bp;  ///< [G], 0 <= start_bp.
    at::Tensor end_bp;    ///< [G], start_bp < end_bp <= L.
    at::Tensor strand;    ///< [G], +1 or -1, as the window is read.
    /// Rows of the chosen features, united: piece p of gene g for piece_offset[g] <= p <
    /// piece_offset[g + 1], in ascending order, inside [start_bp, end_bp). A gene may have none, as
    /// one without coding rows.
    at::Tensor piece_offset;    ///< [G + 1]
    at::Tensor piece_start_bp;  ///< [P]
    at::Tensor piece_end_bp;    ///< [P]

    [[nodiscard]] std::int64_t num_genes() const { return window.defined() ? window.size(0) : 0; }
    /// False for a default-constructed value: no question about genes at all.
    [[nodiscard]] bool defined() const { return window.defined(); }
};

/// Checks every rule above against windows of `seq_length` bases and a batch of `num_windows`.
///
/// @throws Error naming the gene's row and the broken rule: the caller planned the windows wrongly.
void check_gene_queries(const GeneQueries& queries, std::int64_t num_windows,
                        std::int64_t seq_length);

/// Checks that every gene lies in the bases that `tokens` stand for, which cropping may narrow.
///
/// @throws Error naming the gene's row.
void check_genes_inside(const GeneQueries& queries, const StreamShape& tokens);

}  // namespace flagen::models
