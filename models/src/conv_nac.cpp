#include "flagen/models/conv_nac.h"

#include <torch/torch.h>

#include "block_spec.h"
#include "max_pool.h"
#include "nac_conv.h"
#include "random_dropout.h"

namespace flagen::models {

void ConvNacOptions::bind(OptionTable& table) {
    table.integer("filters", filters, 0, 65536);
    table.integer("kernel_size", kernel_size, 1, 1023);
    table.integer("pool_size", pool_size, 1, 256);
    table.number("dropout", dropout, 0.0, 0.99);
    nac.bind(table);
}

void ConvNacOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    require_strided_conv(kernel_size, 1, input.num_tokens, json);
    require_divides(pool_size, "pool_size", input.num_tokens, "the number of tokens", json);
}

StreamShape ConvNacOptions::output_shape(const StreamShape& input) const {
    StreamShape shape = input;
    shape.num_channels = filters == 0 ? input.num_channels : filters;
    shape.num_tokens /= pool_size;
    shape.bp_per_token *= pool_size;
    return shape;
}

ConvNac::ConvNac(const ConvNacOptions& options, const StreamShape& input)
    : TrunkBlock(input, options.output_shape(input)), options_(options) {
    conv_ = register_module(
        "nac", std::make_shared<NacConv>(options.nac, input.num_channels, output().num_channels,
                                         options.kernel_size));
}

at::Tensor ConvNac::forward(const at::Tensor& x) {
    const at::Tensor y = random_dropout(conv_->forward(x), options_.dropout, is_training());
    return max_pool_tokens(y, options_.pool_size);
}

StageCost ConvNac::cost() const {
    StageCost cost = conv_->cost(input().num_tokens);
    const double results = static_cast<double>(input().num_tokens * output().num_channels);
    cost.activation_bytes += options_.dropout > 0.0 ? 4.0 * results : 0.0;
    cost.activation_bytes +=
        options_.pool_size > 1 ? results / static_cast<double>(options_.pool_size) : 0.0;
    return cost;
}

void CroppingOptions::bind(OptionTable& table) {
    table.integer("cropping", cropping, 0, std::int64_t{1} << 32);
}

void CroppingOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    if (2 * cropping >= input.num_tokens) {
        json.add_problem(
            "cropping", detail::concatenate("found ", cropping, " at each end: nothing is left of ",
                                            input.num_tokens, " tokens"));
    }
}

StreamShape CroppingOptions::output_shape(const StreamShape& input) const {
    StreamShape shape = input;
    shape.num_tokens -= 2 * cropping;
    shape.offset_bp += cropping * input.bp_per_token;
    shape.skips.clear();
    return shape;
}

Cropping::Cropping(const CroppingOptions& options, const StreamShape& input)
    : TrunkBlock(input, options.output_shape(input)), cropping_(options.cropping) {}

at::Tensor Cropping::forward(const at::Tensor& x) {
    return x.narrow(1, cropping_, output().num_tokens);
}

}  // namespace flagen::models
