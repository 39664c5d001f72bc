#include "flagen/models/codon_encoder.h"

#include <torch/torch.h>

#include <algorithm>
#include <vector>

#include "flagen/models/gene_pooling.h"
#include "flagen/models/to_device.h"
#include "strided_conv.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kUnknownCodon = 64;

/// Appends the positions of a gene's spliced bases, at most `max_bases`, in its direction.
void append_spliced_bases(const GeneQueries& queries, std::int64_t g, std::int64_t max_bases,
                          std::vector<std::int64_t>& bases) {
    const std::int64_t* offset = queries.piece_offset.const_data_ptr<std::int64_t>();
    const std::int64_t* start = queries.piece_start_bp.const_data_ptr<std::int64_t>();
    const std::int64_t* end = queries.piece_end_bp.const_data_ptr<std::int64_t>();
    const bool forward = queries.strand.const_data_ptr<std::int64_t>()[g] > 0;
    const std::int64_t num_pieces = offset[g + 1] - offset[g];
    for (std::int64_t i = 0; i < num_pieces; ++i) {
        const std::int64_t p = forward ? offset[g] + i : offset[g + 1] - 1 - i;
        const std::int64_t room = max_bases - static_cast<std::int64_t>(bases.size());
        const std::int64_t count = std::min(end[p] - start[p], room);
        for (std::int64_t j = 0; j < count; ++j) {
            bases.push_back(forward ? start[p] + j : end[p] - 1 - j);
        }
    }
}

/// Entries of rows [first, first + min(count, limit)) of each gene, weights left open.
RowSums plan_codon_sums(const CodonRows& rows, std::int64_t limit) {
    std::vector<std::int64_t> row;
    std::vector<std::int64_t> offset;
    const std::int64_t* first = rows.first.const_data_ptr<std::int64_t>();
    const std::int64_t* count = rows.count.const_data_ptr<std::int64_t>();
    for (std::int64_t g = 0; g < rows.first.size(0); ++g) {
        offset.push_back(static_cast<std::int64_t>(row.size()));
        for (std::int64_t i = 0; i < std::min(count[g], limit); ++i) {
            row.push_back(first[g] + i);
        }
    }
    return {torch::tensor(row, torch::kInt64), at::Tensor(), torch::tensor(offset, torch::kInt64)};
}

/// Mean of the kept rows of each gene; zeros where none is kept. keep: [N] of 0 and 1.
at::Tensor average_rows(const at::Tensor& x, RowSums sums, const at::Tensor& keep) {
    sums.weight = keep.index_select(0, to_device(sums.row, keep.device()));
    const at::Tensor kept =
        sum_rows(keep.unsqueeze(1), {sums.row, at::ones_like(sums.weight), sums.offset});
    return sum_rows(x, sums) / kept.clamp_min(1.0);
}

}  // namespace

CodonRows plan_codons(const GeneQueries& queries, std::int64_t seq_length, std::int64_t max_codons,
                      std::int64_t padding) {
    std::vector<std::int64_t> base;
    std::vector<std::uint8_t> complement;
    std::vector<std::uint8_t> is_codon;
    std::vector<std::int64_t> first;
    std::vector<std::int64_t> count;
    std::vector<std::int64_t> spliced;
    for (std::int64_t g = 0; g < queries.num_genes(); ++g) {
        const std::int64_t origin = queries.window.const_data_ptr<std::int64_t>()[g] * seq_length;
        const bool reverse = queries.strand.const_data_ptr<std::int64_t>()[g] < 0;
        spliced.clear();
        append_spliced_bases(queries, g, 3 * max_codons, spliced);
        const std::size_t num_codons = spliced.size() / 3;
        first.push_back(static_cast<std::int64_t>(is_codon.size()));
        count.push_back(static_cast<std::int64_t>(num_codons));
        for (std::size_t i = 0; i < 3 * num_codons; ++i) {
            base.push_back(origin + spliced[i]);
        }
        const auto rows = num_codons + static_cast<std::size_t>(padding);
        base.resize(base.size() + 3 * static_cast<std::size_t>(padding), 0);
        complement.resize(complement.size() + rows, reverse ? 1 : 0);
        is_codon.resize(is_codon.size() + num_codons, 1);
        is_codon.resize(is_codon.size() + static_cast<std::size_t>(padding), 0);
    }
    CodonRows result;
    result.base = torch::tensor(base, torch::kInt64).view({-1, 3});
    result.complement = torch::tensor(complement, torch::kByte).to(torch::kBool).unsqueeze(1);
    result.is_codon = torch::tensor(is_codon, torch::kByte).to(torch::kBool);
    result.first = torch::tensor(first, torch::kInt64);
    result.count = torch::tensor(count, torch::kInt64);
    return result;
}

at::Tensor read_codons(const at::Tensor& codes, const CodonRows& rows) {
    const at::Device device = codes.device();
    const at::Tensor read = codes.flatten()
                                .index_select(0, to_device(rows.base, device).flatten())
                                .to(at::kLong)
                                .view({-1, 3});
    const at::Tensor base = at::where(to_device(rows.complement, device), 3 - read, read);
    const at::Tensor known = read.lt(4).all(1).logical_and(to_device(rows.is_codon, device));
    const at::Tensor codon = base.select(1, 0) * 16 + base.select(1, 1) * 4 + base.select(1, 2);
    return at::where(known, codon, at::full_like(codon, kUnknownCodon));
}

CodonEncoder::CodonEncoder(const CodonOptions& options) : options_(options) {
    embedding_ = register_parameter("embedding", torch::randn({kUnknownCodon + 1, options.width}));
    const auto conv = [&options] {
        return torch::nn::Conv1d(
            torch::nn::Conv1dOptions(options.width, options.width, options.kernel)
                .padding(options.kernel / 2));
    };
    conv_0_ = register_module("conv_0", conv());
    conv_1_ = register_module("conv_1", conv());
}

std::int64_t CodonEncoder::num_features() const {
    return options_.width * (options_.first > 0 ? 4 : 3);
}

at::Tensor CodonEncoder::forward(const at::Tensor& codes, const GeneQueries& queries) {
    const CodonRows rows =
        plan_codons(queries, codes.size(1), options_.max_codons, options_.kernel / 2);
    const auto dtype = embedding_.scalar_type();
    const at::Tensor is_codon = to_device(rows.is_codon, codes.device()).to(dtype);  // [N]
    at::Tensor keep = is_codon;
    if (is_training() && options_.dropout > 0.0) {
        const at::Tensor chance = at::rand({is_codon.size(0)}, is_codon.options());
        keep = is_codon * chance.ge(options_.dropout);
    }
    const auto convolve = [&](torch::nn::Conv1d& conv, const at::Tensor& x) {
        // Padding rows back to zero, or the convolution would carry one gene into the next.
        const at::Tensor masked = x * is_codon.unsqueeze(1);
        return at::gelu(strided_conv(masked.unsqueeze(0), conv->weight, conv->bias, 1))
            .squeeze(0)
            .to(dtype);
    };
    const RowSums whole = plan_codon_sums(rows, options_.max_codons);
    const at::Tensor e = at::embedding(embedding_, read_codons(codes, rows));  // [N, width]
    const at::Tensor h1 = convolve(conv_0_, e);
    const at::Tensor h2 = convolve(conv_1_, h1);
    std::vector<at::Tensor> features = {average_rows(e, whole, keep), average_rows(h1, whole, keep),
                                        average_rows(h2, whole, keep)};
    if (options_.first > 0) {
        features.push_back(average_rows(h2, plan_codon_sums(rows, options_.first), keep));
    }
    return at::cat(features, 1);
}

double CodonEncoder::flops(double num_codons) const {
    const auto width = static_cast<double>(options_.width);
    return 2.0 * 2.0 * num_codons * width * width * static_cast<double>(options_.kernel);
}

}  // namespace flagen::models
