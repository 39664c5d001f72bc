#pragma once

#include <torch/nn/pimpl.h>

#include <memory>

#include "flagen/models/gene_head.h"
#include "flagen/models/gene_queries.h"
#include "flagen/models/model_config.h"
#include "flagen/models/trunk.h"

namespace flagen::models {

/// A whole model: windows of DNA to the expression of genes. Axes: B windows, L bases, G genes, S
/// samples.
///
/// State: named_parameters() and named_buffers(), both recursive, are all there is to save. Random
/// numbers (parameters at the start, dropout) come from LibTorch's CPU generator alone.
class ExpressionModelImpl : public torch::nn::Module {
  public:
    ExpressionModelImpl(const ModelConfig& config, std::int64_t num_samples);

    /// tokens uint8 [B, L], A C G T N = 0..4, L = config().seq_length -> [G, S] fp32, on the scale
    /// of the targets. @throws Error where shapes or queries break their contract.
    [[nodiscard]] at::Tensor forward(const at::Tensor& tokens, const GeneQueries& queries);

    [[nodiscard]] const ModelConfig& config() const { return config_; }
    [[nodiscard]] Trunk& trunk() const { return *trunk_; }
    [[nodiscard]] GeneHead& genes() const { return *genes_; }

  private:
    ModelConfig config_;
    std::shared_ptr<Trunk> trunk_;
    std::shared_ptr<GeneHead> genes_;
};

TORCH_MODULE(ExpressionModel);

}  // namespace flagen::models
