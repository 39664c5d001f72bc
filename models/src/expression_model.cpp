#include "flagen/models/expression_model.h"

#include <torch/torch.h>

#include "autocast_scope.h"
#include "flagen/error.h"
#include "flagen/models/to_device.h"

namespace flagen::models {

ExpressionModelImpl::ExpressionModelImpl(const ModelConfig& config, std::int64_t num_samples)
    : config_(config) {
    trunk_ = register_module("trunk", std::make_shared<Trunk>(config));
    if (config.genes) {
        genes_ = register_module(
            "genes",
            std::make_shared<GeneHead>(*config.genes, trunk_->tokens_shape(), trunk_->tower_shape(),
                                       config.seq_length, num_samples));
    }
    for (const TrackHeadConfig& head : config.track_heads) {
        track_heads_[head.name] = register_module(
            "head_" + head.name,
            std::make_shared<TrackHead>(head, trunk_->tokens_shape(), config.head_activation));
    }
}

ModelOutput ExpressionModelImpl::forward(const at::Tensor& tokens, const GeneQueries& queries,
                                         const std::vector<std::string>& track_heads) {
    FLAGEN_CHECK(tokens.dim() == 2 && tokens.scalar_type() == at::kByte,
                 "tokens are uint8 [B, L], found ", tokens.scalar_type(), " ", tokens.sizes());
    FLAGEN_CHECK_EQ(tokens.size(1), config_.seq_length, "window length");
    if (queries.defined()) {
        check_gene_queries(queries, tokens.size(0), config_.seq_length);
    }
    const at::Tensor codes = to_device(tokens, device());
    const AutocastScope autocast(codes.device().type(), scalar_type_of(precision_));
    const TrunkOutput trunk = trunk_->forward(codes);
    ModelOutput output;
    if (queries.defined() && (genes_ || queries.num_genes() > 0)) {
        output.genes = genes().forward(trunk, codes, queries);
    }
    for (const std::string& name : track_heads) {
        output.tracks[name] = track_head(name).forward(trunk.tokens);
    }
    return output;
}

at::Device ExpressionModelImpl::device() const { return trunk_->parameters().front().device(); }

GeneHead& ExpressionModelImpl::genes() const {
    FLAGEN_CHECK(genes_, "the model has no genes head");
    return *genes_;
}

TrackHead& ExpressionModelImpl::track_head(const std::string& name) const {
    const auto head = track_heads_.find(name);
    FLAGEN_CHECK(head != track_heads_.end(), "the model has no head_", name);
    return *head->second;
}

}  // namespace flagen::models
