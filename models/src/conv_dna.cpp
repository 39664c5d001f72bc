#include "flagen/models/conv_dna.h"

#include <torch/torch.h>

#include "block_spec.h"
#include "strided_conv.h"

namespace flagen::models {

at::Tensor one_hot_bases(const at::Tensor& codes, at::ScalarType dtype) {
    FLAGEN_CHECK(codes.dim() == 2 && codes.scalar_type() == at::kByte,
                 "base codes are uint8 [B, L], found ", codes.scalar_type(), " ", codes.sizes());
    const at::Tensor letters = at::arange(4, codes.options()).view({1, 1, 4});
    return codes.unsqueeze(2).eq(letters).to(dtype);
}

void ConvDnaOptions::bind(OptionTable& table) {
    table.integer("filters", filters, 1, 65536);
    table.integer("kernel_size", kernel_size, 1, 1023);
    table.integer("stride", stride, 1, 1024);
    table.flag("use_bias", use_bias);
    table.choice("norm_type", norm, norm_type_names());
    table.choice("activation", activation, activation_names());
}

void ConvDnaOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kCodes, json);
    require_strided_conv(kernel_size, stride, input.num_tokens, json);
}

StreamShape ConvDnaOptions::output_shape(const StreamShape& input) const {
    return {Layout::kTokens, input.num_tokens / stride, filters, input.bp_per_token * stride};
}

ConvDna::ConvDna(const ConvDnaOptions& options, const StreamShape& input)
    : TrunkBlock(input, options.output_shape(input)), options_(options) {
    conv_ = register_module("conv", make_strided_conv(4, options.filters, options.kernel_size,
                                                      options.stride, options.use_bias));
    norm_ = register_module("norm", std::make_shared<NormLayer>(options.norm, options.filters));
}

at::Tensor ConvDna::forward(const at::Tensor& codes) {
    const at::Tensor bases = one_hot_bases(codes, conv_->weight.scalar_type());  // [B, L, 4]
    return activate(
        norm_->forward(strided_conv(bases, conv_->weight, conv_->bias, options_.stride)),
        options_.activation);
}

StageCost ConvDna::cost() const {
    const auto tokens = static_cast<double>(output().num_tokens);
    const auto filters = static_cast<double>(options_.filters);
    // The padded one-hot input, and the output before and after norm and activation.
    const double kept_outputs = (options_.norm == NormType::kNone ? 0.0 : 1.0) +
                                (options_.activation == Activation::kNone ? 0.0 : 1.0);
    StageCost cost;
    cost.flops = 2.0 * tokens * filters * 4.0 * static_cast<double>(options_.kernel_size);
    cost.activation_bytes =
        4.0 * (4.0 * static_cast<double>(input().num_tokens) + kept_outputs * tokens * filters);
    return cost;
}

}  // namespace flagen::models
