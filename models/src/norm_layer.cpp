#include "flagen/models/norm_layer.h"

#include <torch/torch.h>

#include "flagen/error.h"

namespace flagen::models {

const std::vector<std::pair<NormType, std::string>>& norm_type_names() {
    static const std::vector<std::pair<NormType, std::string>> names = {{NormType::kBatch, "batch"},
                                                                        {NormType::kLayer, "layer"},
                                                                        {NormType::kRms, "rms"},
                                                                        {NormType::kNone, "none"}};
    return names;
}

const std::vector<std::pair<NormType, std::string>>& token_norm_names() {
    static const std::vector<std::pair<NormType, std::string>> names = {
        {NormType::kLayer, "layer"}, {NormType::kRms, "rms"}, {NormType::kNone, "none"}};
    return names;
}

const std::vector<std::pair<Activation, std::string>>& activation_names() {
    static const std::vector<std::pair<Activation, std::string>> names = {
        {Activation::kNone, "linear"},        {Activation::kNone, "none"},
        {Activation::kRelu, "relu"},          {Activation::kGelu, "gelu"},
        {Activation::kGeluTanh, "gelu_tanh"}, {Activation::kSilu, "silu"}};
    return names;
}

const std::vector<std::pair<NormType, std::string>>& borzoi_norm_names() {
    static const std::vector<std::pair<NormType, std::string>> names = {
        {NormType::kBatch, "batch-sync"},
        {NormType::kBatch, "batch"},
        {NormType::kLayer, "layer"},
        {NormType::kRms, "rms"},
        {NormType::kNone, "none"}};
    return names;
}

const std::vector<std::pair<Activation, std::string>>& borzoi_activation_names() {
    static const std::vector<std::pair<Activation, std::string>> names = {
        {Activation::kNone, "none"},     {Activation::kNone, "linear"},
        {Activation::kRelu, "relu"},     {Activation::kGelu, "gelu_erf"},
        {Activation::kGeluTanh, "gelu"}, {Activation::kSilu, "swish"}};
    return names;
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
    switch (activation) {
        case Activation::kNone:
            return x;
        case Activation::kRelu:
            return at::relu(x);
        case Activation::kGelu:
            return at::gelu(x);
        case Activation::kGeluTanh:
            return at::gelu(x, "tanh");
        case Activation::kSilu:
            return at::silu(x);
    }
    throw_error("unknown activation");
}

NormLayer::NormLayer(NormType type, std::int64_t num_channels, const NormSettings& settings)
    : type_(type), num_channels_(num_channels), settings_(settings) {
    if (type == NormType::kNone) {
        return;
    }
    weight_ = register_parameter("weight", torch::ones({num_channels}));
    if (type != NormType::kRms) {
        bias_ = register_parameter("bias", torch::zeros({num_channels}));
    }
    if (type == NormType::kBatch) {
        running_mean_ = register_buffer("running_mean", torch::zeros({num_channels}));
        running_var_ = register_buffer("running_var", torch::ones({num_channels}));
    }
}

at::Tensor NormLayer::forward(const at::Tensor& x) {
    const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
    at::Tensor y;
    switch (type_) {
        case NormType::kNone:
            return x;
        case NormType::kBatch:
            y = at::batch_norm(wide.flatten(0, -2), weight_, bias_, running_mean_, running_var_,
                               is_training(), settings_.batch_momentum, settings_.epsilon,
                               /*cudnn_enabled=*/true)
                    .view_as(x);
            break;
        case NormType::kLayer:
            y = at::layer_norm(wide, {num_channels_}, weight_, bias_, settings_.epsilon);
            break;
        case NormType::kRms:
            y = at::rms_norm(wide, {num_channels_}, weight_, settings_.epsilon);
            break;
    }
    return y.to(x.scalar_type());
}

}  // namespace flagen::models
