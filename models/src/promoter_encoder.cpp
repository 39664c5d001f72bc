#include "flagen/models/promoter_encoder.h"

#include <torch/torch.h>

#include <vector>

#include "flagen/models/conv_dna.h"
#include "flagen/models/to_device.h"
#include "random_dropout.h"

namespace flagen::models {
namespace {

constexpr std::int64_t kFirstKernel = 11;
constexpr std::int64_t kSecondKernel = 5;

torch::nn::Conv1d centred_conv(std::int64_t in, std::int64_t out, std::int64_t kernel) {
    return torch::nn::Conv1d(torch::nn::Conv1dOptions(in, out, kernel).padding(kernel / 2));
}

}  // namespace

at::Tensor read_promoters(const at::Tensor& codes, const GeneQueries& queries,
                          std::int64_t upstream_bp, std::int64_t downstream_bp) {
    const std::int64_t length = upstream_bp + downstream_bp;
    const std::int64_t seq_length = codes.size(1);
    const std::int64_t num_genes = queries.num_genes();
    std::vector<std::int64_t> index(static_cast<std::size_t>(num_genes * length), 0);
    std::vector<std::uint8_t> inside(index.size(), 0);
    std::vector<std::uint8_t> reverse(static_cast<std::size_t>(num_genes), 0);
    std::size_t n = 0;
    for (std::int64_t g = 0; g < num_genes; ++g) {
        const std::int64_t origin = queries.window.const_data_ptr<std::int64_t>()[g] * seq_length;
        const bool forward = queries.strand.const_data_ptr<std::int64_t>()[g] > 0;
        reverse[static_cast<std::size_t>(g)] = forward ? 0 : 1;
        const std::int64_t first = forward ? queries.start_bp.const_data_ptr<std::int64_t>()[g]
                                           : queries.end_bp.const_data_ptr<std::int64_t>()[g] - 1;
        for (std::int64_t i = -upstream_bp; i < downstream_bp; ++i, ++n) {
            const std::int64_t position = forward ? first + i : first - i;
            if (position >= 0 && position < seq_length) {
                index[n] = origin + position;
                inside[n] = 1;
            }
        }
    }
    const at::Device device = codes.device();
    const auto on_device = [&](const std::vector<std::uint8_t>& flags) {
        return to_device(torch::tensor(flags, torch::kByte).to(torch::kBool), device);
    };
    const at::Tensor read =
        codes.flatten().index_select(0, to_device(torch::tensor(index, torch::kInt64), device));
    const at::Tensor known =
        at::where(on_device(inside), read, at::full_like(read, 4)).view({num_genes, length});
    const at::Tensor complemented = at::where(known.lt(4), 3 - known, known);
    return at::where(on_device(reverse).unsqueeze(1), complemented, known);
}

PromoterEncoder::PromoterEncoder(const PromoterOptions& options) : options_(options) {
    conv_0_ = register_module("conv_0", centred_conv(4, options.width, kFirstKernel));
    conv_1_ = register_module("conv_1", centred_conv(options.width, options.width, kSecondKernel));
}

at::Tensor PromoterEncoder::forward(const at::Tensor& codes, const GeneQueries& queries) {
    const at::Tensor promoters =
        read_promoters(codes, queries, options_.upstream_bp, options_.downstream_bp);
    at::Tensor x = one_hot_bases(promoters, conv_0_->weight.scalar_type()).transpose(1, 2);
    x = at::relu(conv_0_->forward(x));
    x = random_dropout(x, options_.dropout, is_training());
    x = at::relu(conv_1_->forward(x));  // [G, width, bases]
    return x.unflatten(2, {options_.bins, -1}).mean(3).flatten(1);
}

double PromoterEncoder::flops_per_gene() const {
    const auto width = static_cast<double>(options_.width);
    const auto bases = static_cast<double>(options_.upstream_bp + options_.downstream_bp);
    return 2.0 * bases * width *
           (4.0 * static_cast<double>(kFirstKernel) + width * static_cast<double>(kSecondKernel));
}

}  // namespace flagen::models
