#include "flagen/models/model_summary.h"

#include <array>
#include <cstdio>

namespace flagen::models {
namespace {

constexpr double kTypicalCodons = 320.0;

std::int64_t count_parameters(const torch::nn::Module& module) {
    std::int64_t count = 0;
    for (const at::Tensor& parameter : module.parameters()) {
        count += parameter.numel();
    }
    return count;
}

std::string format(const char* pattern, double value, const char* unit) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), pattern, value, unit);
    return text.data();
}

/// 1234567 -> "1.23 M"; counts below 1000 as they are.
std::string with_prefix(double value) {
    static constexpr std::array<const char*, 6> kPrefixes = {"", "k", "M", "G", "T", "P"};
    std::size_t prefix = 0;
    while (value >= 999.5 && prefix + 1 < kPrefixes.size()) {
        value /= 1000.0;
        ++prefix;
    }
    return prefix == 0 ? format("%.0f%s", value, "") : format("%.3g %s", value, kPrefixes[prefix]);
}

std::string row(const std::string& name, const std::string& shape, const std::string& bp,
                const std::string& parameters, const std::string& flops, const std::string& bytes) {
    std::array<char, 256> text{};
    std::snprintf(text.data(), text.size(), "%-24s %18s %9s %12s %10s %12s\n", name.c_str(),
                  shape.c_str(), bp.c_str(), parameters.c_str(), flops.c_str(), bytes.c_str());
    return text.data();
}

std::string stage_row(const StageSummary& stage) {
    return row(
        stage.name,
        std::to_string(stage.output.num_tokens) + " x " + std::to_string(stage.output.num_channels),
        std::to_string(stage.output.bp_per_token),
        with_prefix(static_cast<double>(stage.num_parameters)), with_prefix(stage.forward_flops),
        with_prefix(stage.activation_bytes) + "B");
}

StageSummary gene_stage(const GeneHead& head, std::int64_t num_genes) {
    const auto genes = static_cast<double>(num_genes);
    StreamShape shape;
    shape.layout = Layout::kTokens;
    shape.num_tokens = num_genes;
    shape.num_channels = head.num_samples();
    shape.bp_per_token = 0;
    return {"genes",
            shape,
            count_parameters(head),
            head.flops(genes, kTypicalCodons),
            4.0 * genes * static_cast<double>(head.num_features()),
            /*is_head=*/true};
}

StageSummary track_stage(const std::string& name, const TrackHead& head) {
    StreamShape shape = head.tokens_shape();
    shape.num_channels = head.num_tracks();
    const StageCost cost = head.cost();
    return {"head_" + name,        shape,           count_parameters(head), cost.flops,
            cost.activation_bytes, /*is_head=*/true};
}

}  // namespace

StageSummary ModelSummary::total() const {
    StageSummary sum;
    sum.name = "total";
    for (const StageSummary& stage : stages) {
        if (!stage.is_head) {
            sum.output = stage.output;
        }
        sum.num_parameters += stage.num_parameters;
        sum.forward_flops += stage.forward_flops;
        sum.activation_bytes += stage.activation_bytes;
    }
    return sum;
}

std::string ModelSummary::to_text() const {
    std::string text =
        row("stage", "tokens x channels", "bp/token", "parameters", "FLOPs", "activations");
    for (const StageSummary& stage : stages) {
        text += stage_row(stage);
    }
    return text + stage_row(total());
}

ModelSummary summarise(const ExpressionModel& model, std::int64_t num_genes) {
    ModelSummary summary;
    for (const auto& block : model->trunk().named_children()) {
        const auto& stage = dynamic_cast<const TrunkBlock&>(*block.value());
        const StageCost cost = stage.cost();
        summary.stages.push_back({block.key(), stage.output(), count_parameters(stage), cost.flops,
                                  cost.activation_bytes, /*is_head=*/false});
    }
    if (model->has_genes()) {
        summary.stages.push_back(gene_stage(model->genes(), num_genes));
    }
    for (const TrackHeadConfig& head : model->config().track_heads) {
        summary.stages.push_back(track_stage(head.name, model->track_head(head.name)));
    }
    return summary;
}

}  // namespace flagen::models
