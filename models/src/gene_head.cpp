#include "flagen/models/gene_head.h"

#include <torch/torch.h>

#include <vector>

#include "flagen/error.h"
#include "flagen/models/gene_pooling.h"
#include "flagen/models/to_device.h"
#include "fp32_linear.h"
#include "random_dropout.h"

namespace flagen::models {
namespace {

constexpr double kLinearStart = 0.01;      // standard deviation of the linear map's weights
constexpr double kTypicalLogLength = 6.7;  // about 800 bp

at::Tensor widen(const at::Tensor& x) {
    return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

}  // namespace

GeneHead::GeneHead(const GeneHeadConfig& config, const StreamShape& tokens,
                   const StreamShape& tower, std::int64_t seq_length, std::int64_t num_samples)
    : config_(config),
      tokens_shape_(tokens),
      tower_shape_(tower),
      seq_length_(seq_length),
      num_samples_(num_samples) {
    FLAGEN_CHECK(num_samples > 0, "a genes head needs samples, found ", num_samples);
    num_features_ = static_cast<std::int64_t>(config.pools.size()) * tokens.num_channels;
    num_features_ += config.tower_pool ? tower.num_channels : 0;
    if (config.codons.width > 0) {
        codons_ = register_module("codons", std::make_shared<CodonEncoder>(config.codons));
        num_features_ += codons_->num_features();
    }
    if (config.promoter.width > 0) {
        promoter_ = register_module("promoter", std::make_shared<PromoterEncoder>(config.promoter));
        num_features_ += promoter_->num_features();
    }
    num_features_ += config.log_length ? 2 : 0;
    norm_ = register_module("norm", std::make_shared<NormLayer>(NormType::kLayer, num_features_));
    linear_ = register_module("linear", torch::nn::Linear(num_features_, 1 + num_samples));
    torch::nn::init::normal_(linear_->weight, 0.0, kLinearStart);
    if (config.hidden > 0) {
        hidden_ = register_module("hidden", torch::nn::Linear(num_features_, config.hidden));
        hidden_out_ =
            register_module("hidden_out", torch::nn::Linear(config.hidden, 1 + num_samples));
    }
    sample_mean_ = register_buffer("sample_mean", torch::zeros({num_samples}));
    mean_scale_ = register_buffer("mean_scale", torch::ones({}));
    deviation_scale_ = register_buffer("deviation_scale", torch::ones({}));
}

at::Tensor GeneHead::drop_tokens(const at::Tensor& tokens) const {
    const at::Tensor wide = widen(tokens);
    if (!is_training() || config_.token_dropout == 0.0) {
        return wide;
    }
    const at::Tensor ones = at::ones({wide.size(0), wide.size(1), 1}, wide.options());
    return wide * random_dropout(ones, config_.token_dropout, /*train=*/true);
}

at::Tensor GeneHead::features(const TrunkOutput& trunk, const at::Tensor& codes,
                              const GeneQueries& queries) {
    std::vector<at::Tensor> parts;
    if (!config_.pools.empty()) {
        const at::Tensor tokens = drop_tokens(trunk.tokens);
        for (const GenePool& pool : config_.pools) {
            parts.push_back(sum_rows(tokens, plan_gene_pool(queries, pool, tokens_shape_)));
        }
    }
    if (config_.tower_pool) {
        parts.push_back(
            sum_rows(drop_tokens(trunk.tower), plan_gene_pool(queries, GenePool{}, tower_shape_)));
    }
    if (codons_) {
        parts.push_back(widen(codons_->forward(codes, queries)));
    }
    if (promoter_) {
        parts.push_back(widen(promoter_->forward(codes, queries)));
    }
    if (config_.log_length) {
        const at::Tensor length_bp = to_device(
            (queries.end_bp - queries.start_bp).to(mean_scale_.scalar_type()), codes.device());
        const at::Tensor log_length = length_bp.log() - kTypicalLogLength;
        parts.push_back(at::stack({log_length, log_length * log_length}, 1));
    }
    return at::cat(parts, 1);
}

at::Tensor GeneHead::forward(const TrunkOutput& trunk, const at::Tensor& codes,
                             const GeneQueries& queries) {
    if (queries.num_genes() == 0) {
        return at::zeros({0, num_samples_}, sample_mean_.options());
    }
    check_genes_inside(queries, tokens_shape_);
    at::Tensor f = norm_->forward(features(trunk, codes, queries));
    f = random_dropout(f, config_.dropout, is_training());
    at::Tensor out = fp32_linear(linear_, f);
    if (hidden_) {
        const at::Tensor h = at::gelu(fp32_linear(hidden_, f));
        out = out +
              fp32_linear(hidden_out_, random_dropout(h, config_.hidden_dropout, is_training()));
    }
    out = widen(out);
    const at::Tensor mean = out.narrow(1, 0, 1);
    const at::Tensor deviation = out.narrow(1, 1, num_samples_);
    return sample_mean_ + mean_scale_ * mean +
           deviation_scale_ * (deviation - deviation.mean(1, /*keepdim=*/true));
}

void GeneHead::set_target_scale(const at::Tensor& sample_mean, double mean_scale,
                                double deviation_scale) {
    FLAGEN_CHECK(sample_mean.dim() == 1 && sample_mean.size(0) == num_samples_,
                 "sample_mean has sizes ", sample_mean.sizes(), " for ", num_samples_, " samples");
    const torch::NoGradGuard no_grad;
    sample_mean_.copy_(sample_mean);
    mean_scale_.fill_(mean_scale);
    deviation_scale_.fill_(deviation_scale);
}

double GeneHead::flops(double num_genes, double codons_per_gene) const {
    const auto features = static_cast<double>(num_features_);
    const auto outputs = static_cast<double>(1 + num_samples_);
    const auto hidden = static_cast<double>(config_.hidden);
    double per_gene = 2.0 * (features * outputs + hidden * (features + outputs));
    per_gene += codons_ ? codons_->flops(codons_per_gene) : 0.0;
    per_gene += promoter_ ? promoter_->flops_per_gene() : 0.0;
    return num_genes * per_gene;
}

}  // namespace flagen::models
