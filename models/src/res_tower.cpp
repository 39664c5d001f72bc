#include "flagen/models/res_tower.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "block_spec.h"
#include "max_pool.h"
#include "nac_conv.h"
#include "random_dropout.h"

namespace flagen::models {

void ResTowerOptions::bind(OptionTable& table) {
    table.integer("filters_init", filters_init, 1, 65536);
    table.integer("filters_end", filters_end, 0, 65536);
    table.integer("divisible_by", divisible_by, 1, 65536);
    table.integer("kernel_size", kernel_size, 1, 1023);
    table.integer("num_convs", num_convs, 1, 64);
    table.integer("pool_size", pool_size, 1, 256);
    table.integer("repeat", repeat, 1, 64);
    table.number("dropout", dropout, 0.0, 0.99);
    nac.bind(table);
}

std::vector<std::int64_t> ResTowerOptions::filters() const {
    const auto first = static_cast<double>(filters_init);
    const auto last = filters_end == 0 ? first : static_cast<double>(filters_end);
    const auto unit = static_cast<double>(divisible_by);
    const double factor =
        repeat > 1 ? std::exp(std::log(last / first) / static_cast<double>(repeat - 1)) : 1.0;
    std::vector<std::int64_t> channels;
    double wanted = first;
    for (std::int64_t stage = 0; stage < repeat; ++stage) {
        // nearbyint rounds half to even.
        channels.push_back(static_cast<std::int64_t>(std::nearbyint(wanted / unit) * unit));
        wanted *= factor;
    }
    return channels;
}

void ResTowerOptions::check(const StreamShape& input, JsonObject& json) const {
    require_layout(input, Layout::kTokens, json);
    require_strided_conv(kernel_size, 1, input.num_tokens, json);
    const std::vector<std::int64_t> channels = filters();
    if (*std::min_element(channels.begin(), channels.end()) < 1) {
        json.add_problem("divisible_by",
                         detail::concatenate("rounding to a multiple of ", divisible_by,
                                             " leaves a stage without channels"));
    }
    std::int64_t tokens = input.num_tokens;
    for (std::int64_t stage = 0; stage < repeat; ++stage) {
        if (tokens % pool_size != 0) {
            json.add_problem("pool_size",
                             detail::concatenate(pool_size, " does not divide the ", tokens,
                                                 " tokens of stage ", stage + 1));
            return;
        }
        tokens /= pool_size;
    }
}

StreamShape ResTowerOptions::output_shape(const StreamShape& input) const {
    StreamShape shape = input;
    for (const std::int64_t channels : filters()) {
        shape.skips.push_back({shape.num_tokens, channels});
        shape.num_tokens /= pool_size;
        shape.bp_per_token *= pool_size;
        shape.num_channels = channels;
    }
    return shape;
}

ResTower::ResTower(const ResTowerOptions& options, const StreamShape& input)
    : TrunkBlock(input, options.output_shape(input)), options_(options) {
    std::int64_t in = input.num_channels;
    for (const std::int64_t out : options.filters()) {
        add_stage(in, out);
        in = out;
    }
}

void ResTower::add_stage(std::int64_t in, std::int64_t out) {
    Stage stage;
    for (std::int64_t i = 0; i < options_.num_convs; ++i) {
        const std::string name = detail::concatenate("conv_", stages_.size(), "_", i);
        stage.convs.push_back(
            register_module(name, std::make_shared<NacConv>(options_.nac, i == 0 ? in : out, out,
                                                            i == 0 ? options_.kernel_size : 1)));
    }
    if (options_.num_convs > 1) {
        stage.scale =
            register_parameter(detail::concatenate("scale_", stages_.size()), torch::zeros({out}));
    }
    stages_.push_back(std::move(stage));
}

at::Tensor ResTower::run_stage(const Stage& stage, const at::Tensor& x) const {
    const at::Tensor first = stage.convs[0]->forward(x);
    at::Tensor y = first;
    for (std::size_t i = 1; i < stage.convs.size(); ++i) {
        y = stage.convs[i]->forward(y);
    }
    y = random_dropout(y, options_.dropout, is_training());
    return stage.scale.defined() ? first + y * stage.scale.to(y.scalar_type()) : y;
}

at::Tensor ResTower::forward(const at::Tensor& x) {
    TrunkSkips none(std::vector<bool>(stages_.size(), false));
    return forward_with_skips(x, none);
}

at::Tensor ResTower::forward_with_skips(const at::Tensor& x, TrunkSkips& skips) {
    at::Tensor y = x;
    for (const Stage& stage : stages_) {
        y = run_stage(stage, y);
        skips.offer(y);
        y = max_pool_tokens(y, options_.pool_size);
    }
    return y;
}

StageCost ResTower::cost() const {
    StageCost cost;
    std::int64_t tokens = input().num_tokens;
    const std::vector<std::int64_t> channels = options_.filters();
    for (std::size_t i = 0; i < stages_.size(); ++i) {
        for (const auto& conv : stages_[i].convs) {
            cost += conv->cost(tokens);
        }
        const auto results = static_cast<double>(tokens * channels[i]);
        const double kept =
            (options_.dropout > 0.0 ? 1.0 : 0.0) + (options_.num_convs > 1 ? 1.0 : 0.0);
        cost.activation_bytes += 4.0 * kept * results;
        tokens /= options_.pool_size;
        cost.activation_bytes +=
            options_.pool_size > 1 ? results / static_cast<double>(options_.pool_size) : 0.0;
    }
    return cost;
}

}  // namespace flagen::models
