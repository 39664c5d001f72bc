#include "apps/report/report_material.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>
#include <variant>
#include <vector>

#include "apps/runtime/evaluator.h"
#include "flagen/data/track_prediction_store.h"
#include "flagen/error.h"
#include "flagen/genomics/contig_table.h"

namespace flagen::apps::report {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kTypicalGenes = 300;  // a window's, where the annotation is not at hand

// Turns a fault of the user's files into a reason.
template <typename Function>
auto try_reading(const std::string& what, const Function& read) -> Found<decltype(read())> {
    try {
        return {read(), {}};
    } catch (const UserError& error) {
        return {std::nullopt, detail::concatenate(what, ": ", error.what())};
    }
}

Found<RunData> find_data(const Found<RunConfig>& config) {
    if (!config.value) {
        return {std::nullopt, config.reason};
    }
    const std::string what = "The measured values could not be read";
    auto data = try_reading(what, [&] { return RunData::load(*config.value); });
    if (!data.value && config.value->data.tracks) {
        // The genes may be at hand where bigWigs are not.
        const std::string reason = data.reason;
        data = try_reading(what, [&] { return RunData::load(*config.value, MeasuredTracks::kLeaveOut); });
        data.reason = reason;
    }
    return data;
}

// Prediction files of a report: those named, or those that lie in the run folder under the usual names.
std::vector<std::string> prediction_files(const ReportOptions& options) {
    if (!options.predictions.empty()) {
        return options.predictions;
    }
    std::vector<std::string> files;
    for (const char* name : {"predictions.h5", "predict.h5", "tracks.h5"}) {
        const std::string path = (fs::path(options.run_folder) / name).string();
        if (fs::exists(path)) {
            files.push_back(path);
        }
    }
    return files;
}

void read_prediction_file(const std::string& path, Material& material) {
    if (!data::holds_track_predictions(path)) {
        if (!material.predictions.value) {
            material.predictions = {data::read_gene_predictions(path), {}};
        }
        return;
    }
    if (!material.tracks.value) {
        const data::TrackPredictionReader reader(path);
        material.tracks = try_reading("Tracks along a locus are not drawn", [&] {
            return read_track_locus(reader, material.data.value ? &*material.data.value : nullptr, material.locus);
        });
    }
}

void find_predictions(const ReportOptions& options, Material& material) {
    const auto files = prediction_files(options);
    const auto how = [&](const char* file) {
        return detail::concatenate(". Make it with flagen predict ", options.run_folder, " --out ", options.run_folder,
                                   "/", file, ", or name a file with --predictions");
    };
    material.predictions.reason = detail::concatenate(
        "No predictions.h5 with genes in the run folder: predicted and observed values are not compared",
        how("predictions.h5"));
    if (material.config.value && material.config.value->data.tracks) {
        material.tracks.reason = detail::concatenate("No tracks.h5 in the run folder: no track is drawn along a locus",
                                                     how("tracks.h5 --locus REGION"));
    }
    for (const std::string& file : files) {
        if (!options.predictions.empty()) {
            read_prediction_file(file, material);
            continue;
        }
        try {
            read_prediction_file(file, material);
        } catch (const UserError& error) {
            material.predictions.reason = detail::concatenate("The predictions could not be read: ", error.what());
        }
    }
}

void compare(Material& material) {
    if (!material.predictions.value || !material.data.value) {
        material.comparison.reason = material.predictions.value ? material.data.reason : material.predictions.reason;
        return;
    }
    if (!material.config.value->data.genes) {
        material.comparison.reason =
            "The configuration names no measured genes: there is nothing to compare the predictions with";
        return;
    }
    material.comparison = try_reading("Predictions and measurements could not be compared", [&] {
        return compare_genes(*material.data.value, EvaluationScale::of(*material.config.value->data.genes),
                             *material.predictions.value);
    });
}

std::int64_t genes_a_window(const RunData& data, std::int64_t window_bp) {
    const std::int64_t num_genes = data.targets.num_genes();
    const auto share =
        static_cast<double>(window_bp) / static_cast<double>(data.reference->contigs().total_length_bp());
    const auto expected = static_cast<std::int64_t>(std::llround(static_cast<double>(num_genes) * share));
    return std::min(std::max<std::int64_t>(expected, 1), num_genes);
}

void summarise_model(Material& material) {
    if (!material.config.value) {
        material.summary.reason = material.config.reason;
        return;
    }
    if (!material.data.value && !material.predictions.value) {
        material.summary.reason =
            "The cost of the model is not shown: without data and predictions the number of its samples is not known";
        return;
    }
    const RunConfig& config = *material.config.value;
    const auto num_samples = static_cast<std::int64_t>(
        material.data.value ? material.data.value->targets.samples.size() : material.predictions.value->samples.size());
    material.window.length_bp = config.data.windows.window_bp;
    material.window.num_genes =
        material.data.value ? genes_a_window(*material.data.value, material.window.length_bp) : kTypicalGenes;
    material.summary = try_reading("The cost of the model is not shown", [&] {
        return models::summarise(models::ExpressionModel(config.model, num_samples), material.window.num_genes);
    });
}

}  // namespace

std::string attribute_text(const data::Attributes& attributes, const std::string& name) {
    const auto found = attributes.find(name);
    if (found == attributes.end()) {
        return {};
    }
    return std::visit([](const auto& value) { return detail::concatenate(value); }, found->second);
}

Material gather(const ReportOptions& options) {
    Material material;
    material.run = RunFolder::read(options.run_folder);
    const std::string config_path = (fs::path(options.run_folder) / "config.json").string();
    material.config = try_reading("The configuration could not be read", [&] { return RunConfig::load(config_path); });
    material.data = find_data(material.config);
    if (!options.locus.empty()) {
        material.locus = material.data.value
                             ? genomics::parse_region(options.locus, material.data.value->reference->contigs())
                             : genomics::parse_region(options.locus);
    }
    find_predictions(options, material);
    compare(material);
    summarise_model(material);
    return material;
}

}  // namespace flagen::apps::report
