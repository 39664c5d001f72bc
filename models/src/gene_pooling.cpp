#include "flagen/models/gene_pooling.h"

#include <torch/torch.h>

#include <algorithm>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/to_device.h"

namespace flagen::models {
namespace {

struct Range {
    std::int64_t start_bp;
    std::int64_t end_bp;
};

/// The stretches of `pool` for gene g, ascending, not yet cut at the window's ends.
std::vector<Range> gene_stretches(const GeneQueries& queries, const GenePool& pool,
                                  std::int64_t g) {
    const std::int64_t start = queries.start_bp.const_data_ptr<std::int64_t>()[g];
    const std::int64_t end = queries.end_bp.const_data_ptr<std::int64_t>()[g];
    if (pool.anchor == PoolAnchor::kPieces) {
        const std::int64_t* offset = queries.piece_offset.const_data_ptr<std::int64_t>();
        std::vector<Range> pieces;
        for (std::int64_t p = offset[g]; p < offset[g + 1]; ++p) {
            pieces.push_back({queries.piece_start_bp.const_data_ptr<std::int64_t>()[p],
                              queries.piece_end_bp.const_data_ptr<std::int64_t>()[p]});
        }
        return pieces;
    }
    const bool forward = queries.strand.const_data_ptr<std::int64_t>()[g] > 0;
    // On the - strand measure in mirrored coordinates x -> -x, then mirror back.
    const std::int64_t first = forward ? start : -end;
    const std::int64_t last = forward ? end : -start;
    const std::int64_t from = (pool.anchor == PoolAnchor::kEnd ? last : first) + pool.from_bp;
    const std::int64_t to = (pool.anchor == PoolAnchor::kStart ? first : last) + pool.to_bp;
    return {forward ? Range{from, to} : Range{-to, -from}};
}

at::Tensor as_int64(const std::vector<std::int64_t>& values) {
    return torch::tensor(values, torch::kInt64);
}

}  // namespace

RowSums plan_gene_pool(const GeneQueries& queries, const GenePool& pool,
                       const StreamShape& tokens) {
    const std::int64_t bp = tokens.bp_per_token;
    const std::int64_t length_bp = tokens.num_tokens * bp;
    const std::int64_t* window = queries.window.const_data_ptr<std::int64_t>();
    std::vector<std::int64_t> row;
    std::vector<std::int64_t> offset;
    std::vector<double> weight;
    for (std::int64_t g = 0; g < queries.num_genes(); ++g) {
        offset.push_back(static_cast<std::int64_t>(row.size()));
        const std::vector<Range> stretches = gene_stretches(queries, pool, g);
        double nominal_bp = 0;
        for (const Range& stretch : stretches) {
            nominal_bp += static_cast<double>(stretch.end_bp - stretch.start_bp);
        }
        for (const Range& stretch : stretches) {
            const std::int64_t start =
                std::max<std::int64_t>(stretch.start_bp - tokens.offset_bp, 0);
            const std::int64_t end = std::min(stretch.end_bp - tokens.offset_bp, length_bp);
            for (std::int64_t t = start / bp; t * bp < end; ++t) {
                const std::int64_t shared = std::min(end, (t + 1) * bp) - std::max(start, t * bp);
                row.push_back(window[g] * tokens.num_tokens + t);
                weight.push_back(static_cast<double>(shared) / nominal_bp);
            }
        }
    }
    return {as_int64(row), torch::tensor(weight, torch::kDouble), as_int64(offset)};
}

at::Tensor sum_rows(const at::Tensor& tokens, const RowSums& sums) {
    const at::Device device = tokens.device();
    const at::Tensor weight = to_device(sums.weight.to(tokens.scalar_type()), device);
    return std::get<0>(at::embedding_bag(tokens.flatten(0, -2), to_device(sums.row, device),
                                         to_device(sums.offset, device),
                                         /*scale_grad_by_freq=*/false,
                                         /*mode=*/0, /*sparse=*/false, weight));
}

}  // namespace flagen::models
