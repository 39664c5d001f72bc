#pragma once

#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "flagen/models/gene_head.h"
#include "flagen/models/gene_queries.h"
#include "flagen/models/model_config.h"
#include "flagen/models/precision.h"
#include "flagen/models/track_head.h"
#include "flagen/models/trunk.h"

namespace flagen::models {

/// What a model predicts for a batch. Axes: B windows, Lo output bins, T tracks, G genes, S
/// samples.
struct ModelOutput {
    at::Tensor genes;  ///< [G, S] fp32, on the scale of the targets; undefined if not asked for.
    std::map<std::string, at::Tensor> tracks;  ///< By head: [B, Lo, T] fp32, > 0.
};

/// A whole model: windows of DNA to the expression of genes and to measured tracks.
///
/// Bin b of a track stands for bases [offset_bp + b * bp_per_token, ...) of the window, by the
/// trunk's tokens_shape().
///
/// State: named_parameters() and named_buffers(), both recursive, are all there is to save. Random
/// numbers come from LibTorch's generators alone: parameters at the start from the CPU's, dropout
/// from that of device().
class ExpressionModelImpl : public torch::nn::Module {
  public:
    /// @param num_samples of the genes head; no matter without one
    ExpressionModelImpl(const ModelConfig& config, std::int64_t num_samples);

    /// Computes the heads that are asked for: the genes head where the queries are defined, and the
    /// named track heads.
    ///
    /// Runs on device(), in precision(); what it returns is fp32 there.
    ///
    /// @param tokens      uint8 [B, L], A C G T N = 0..4, L = config().seq_length; may be on the
    /// CPU
    /// @param queries     may be empty (no genes) or default-constructed (genes not asked for)
    /// @param track_heads names without "head_"
    /// @throws Error where shapes or queries break their contract or the model lacks a head.
    [[nodiscard]] ModelOutput forward(const at::Tensor& tokens, const GeneQueries& queries,
                                      const std::vector<std::string>& track_heads = {});

    /// Where the parameters are; to() moves them.
    [[nodiscard]] at::Device device() const;
    [[nodiscard]] Precision precision() const { return precision_; }
    /// Of every later forward(); fp32 at the start. Parameters stay fp32.
    void set_precision(Precision precision) { precision_ = precision; }

    [[nodiscard]] const ModelConfig& config() const { return config_; }
    [[nodiscard]] Trunk& trunk() const { return *trunk_; }
    [[nodiscard]] bool has_genes() const { return genes_ != nullptr; }
    /// @throws Error without a genes head.
    [[nodiscard]] GeneHead& genes() const;
    /// @throws Error without a track head of that name.
    [[nodiscard]] TrackHead& track_head(const std::string& name) const;

  private:
    ModelConfig config_;
    Precision precision_ = Precision::kFp32;
    std::shared_ptr<Trunk> trunk_;
    std::shared_ptr<GeneHead> genes_;  // may be null
    std::map<std::string, std::shared_ptr<TrackHead>> track_heads_;
};

TORCH_MODULE(ExpressionModel);

}  // namespace flagen::models
