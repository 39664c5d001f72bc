#pragma once

#include <ATen/core/Tensor.h>

#include "flagen/models/gene_head_config.h"
#include "flagen/models/gene_queries.h"
#include "flagen/models/stream_shape.h"

namespace flagen::models {

/// Weighted sums of rows, one sum a gene, in compressed form: sum g takes entries
/// offset[g] <= n < offset[g + 1], in this order.
struct RowSums {
    at::Tensor row;     ///< [N] int64, row of the [B * T, C] tokens.
    at::Tensor weight;  ///< [N] fp64; cast to the dtype of the tokens.
    at::Tensor offset;  ///< [G] int64, first entry of each gene.
};

/// Weights that average tokens over the stretch of `pool` for each gene: token t of bp bases counts
/// by the bases that it shares with the stretch, divided by the stretch's whole length. Parts
/// outside the bases of the tokens (the window, less what is cropped) count as zeros; so does a
/// gene without pieces where the pool is over pieces.
[[nodiscard]] RowSums plan_gene_pool(const GeneQueries& queries, const GenePool& pool,
                                     const StreamShape& tokens);

/// tokens [B, T, C] -> [G, C] in the dtype of `tokens`. Runs where `tokens` lie.
///
/// Forward and backward are LibTorch's embedding_bag (sum, weights a sample): each result is one
/// thread's sum in the order of the entries, so the bits do not depend on the thread count.
[[nodiscard]] at::Tensor sum_rows(const at::Tensor& tokens, const RowSums& sums);

}  // namespace flagen::models
