#include "flagen/models/expression_model.h"

#include <torch/torch.h>

#include "flagen/error.h"

namespace flagen::models {

ExpressionModelImpl::ExpressionModelImpl(const ModelConfig& config, std::int64_t num_samples)
    : config_(config) {
    trunk_ = register_module("trunk", std::make_shared<Trunk>(config));
    genes_ = register_module(
        "genes", std::make_shared<GeneHead>(config.genes, trunk_->tokens_shape(),
                                            trunk_->tower_shape(), config.seq_length, num_samples));
}

at::Tensor ExpressionModelImpl::forward(const at::Tensor& tokens, const GeneQueries& queries) {
    FLAGEN_CHECK(tokens.dim() == 2 && tokens.scalar_type() == at::kByte,
                 "tokens are uint8 [B, L], found ", tokens.scalar_type(), " ", tokens.sizes());
    FLAGEN_CHECK_EQ(tokens.size(1), config_.seq_length, "window length");
    check_gene_queries(queries, tokens.size(0), config_.seq_length);
    return genes_->forward(trunk_->forward(tokens), tokens, queries);
}

}  // namespace flagen::models
