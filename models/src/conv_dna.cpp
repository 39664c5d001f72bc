#include "flagen/models/conv_dna.h"

#include <torch/torch.h>

#include "block_spec.h"
#include "max_pool.h"
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
    // Written only where it says something, so that the text of older configurations stays.
    if (!table.writes() || pool_size > 1) {
        table.integer("pool_size", pool_size, 1, 256);
    }
    if (!table.writes() && pool_size > 1) {
        stride = 1;
    }
    table.integer("stride", stride, 1, 1024);
    table.flag("use_bias", use_bias);
    table.choice_or_null("norm_type", norm, borzoi_norm_names(), NormType::kNone);
    table.choice("activation", activation, activation_names());
}

void ConvDnaOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kCodes, json);
    if (require_strided_conv(kernel_size, stride, input.num_tokens, json)) {
        require_divides(pool_size, "pool_size", input.num_tokens / stride, "the number of tokens",
                        json);
    }
}

void ConvDnaOptions::inherit(const BlockDefaults& defaults) {
    norm = defaults.norm.value_or(norm);
    activation = defaults.activation.value_or(activation);
}

StreamShape ConvDnaOptions::output_shape(const StreamShape& input) const {
    const std::int64_t bp = stride * pool_size;
    return {Layout::kTokens, input.num_tokens / bp, filters, input.bp_per_token * bp};
}

ConvDna::ConvDna(const ConvDnaOptions& options, const StreamShape& input)
    : TrunkBlock(input, options.output_shape(input)), options_(options) {
    conv_ = register_module("conv", make_strided_conv(4, options.filters, options.kernel_size,
                                                      options.stride, options.use_bias));
    norm_ = register_module("norm", std::make_shared<NormLayer>(options.norm, options.filters));
}

at::Tensor ConvDna::convolve(const at::Tensor& bases) const {
    if (options_.stride > 1) {
        return strided_conv(bases, conv_->weight, conv_->bias, options_.stride);
    }
    // At every base the products of strided_conv() would be thin, four values long, and as many as
    // the kernel has taps. One product with the taps of each base side by side runs several times
    // faster.
    const std::int64_t kernel = options_.kernel_size;
    const at::Tensor padded = at::constant_pad_nd(bases, {0, 0, kernel / 2, kernel / 2});
    const at::Tensor taps = padded.as_strided({bases.size(0), bases.size(1), 4 * kernel},
                                              {padded.stride(0), padded.stride(1), 1});
    return at::linear(taps, conv_->weight.permute({0, 2, 1}).flatten(1), conv_->bias);
}

at::Tensor ConvDna::forward(const at::Tensor& codes) {
    const at::Tensor bases = one_hot_bases(codes, conv_->weight.scalar_type());  // [B, L, 4]
    return max_pool_tokens(activate(norm_->forward(convolve(bases)), options_.activation),
                           options_.pool_size);
}

StageCost ConvDna::cost() const {
    const auto tokens = static_cast<double>(output().num_tokens * options_.pool_size);
    const auto filters = static_cast<double>(options_.filters);
    const auto kernel = static_cast<double>(options_.kernel_size);
    // The padded one-hot input, and the output before and after norm and activation.
    const double kept_outputs = (options_.norm == NormType::kNone ? 0.0 : 1.0) +
                                (options_.activation == Activation::kNone ? 0.0 : 1.0);
    const double inputs =
        static_cast<double>(input().num_tokens) * (options_.stride > 1 ? 4.0 : 4.0 * kernel);
    StageCost cost;
    cost.flops = 2.0 * tokens * filters * 4.0 * kernel;
    cost.activation_bytes = 4.0 * (inputs + kept_outputs * tokens * filters);
    if (options_.pool_size > 1) {
        cost.activation_bytes += static_cast<double>(output().num_tokens) * filters;
    }
    return cost;
}

}  // namespace flagen::models
