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

Found<RunData> read_data(const DataConfig& section, const models::ModelConfig& model) {
    const std::string what = "The measured values could not be read";
    auto data = try_reading(what, [&] { return RunData::load(section, model); });
    if (!data.value && section.tracks) {
        // The genes may be at hand where bigWigs are not.
        const std::string reason = data.reason;
        data = try_reading(what, [&] { return RunData::load(section, model, MeasuredTracks::kLeaveOut); });
        data.reason = reason;
    }
    return data;
}

bool has_tracks(const Material& material) {
    const auto& config = material.config.value;
    return config && std::any_of(config->data.begin(), config->data.end(),
                                 [](const DataConfig& section) { return section.tracks.has_value(); });
}

// The data that the tracks of a file are of: those of its head, or of a file that does not say, the first with tracks.
const RunData* data_of_tracks(const data::TrackPredictionReader& reader, const Material& material) {
    const std::string head = attribute_text(reader.attributes(), "head");
    for (std::size_t i = 0; i < material.data.size(); ++i) {
        const auto& tracks = material.config.value->data[i].tracks;
        if (material.data[i].value && (head.empty() ? tracks.has_value() : tracks && tracks->head == head)) {
            return &*material.data[i].value;
        }
    }
    return nullptr;
}

// On the first genome that has the contig. @throws UserError if none has it.
genomics::Interval parse_locus(const std::string& text, const Material& material) {
    std::optional<UserError> failure;
    for (const Found<RunData>& data : material.data) {
        if (!data.value) {
            continue;
        }
        try {
            return genomics::parse_region(text, data.value->reference->contigs());
        } catch (const UserError& error) {
            failure = error;
        }
    }
    if (failure) {
        throw UserError(*failure);
    }
    return genomics::parse_region(text);
}

// Prediction files of a report: those named, or those that lie in the run folder under the usual names.
std::vector<std::string> prediction_files(const ReportOptions& options, const Found<RunConfig>& config) {
    if (!options.predictions.empty()) {
        return options.predictions;
    }
    std::vector<std::string> files;
    std::vector<std::string> names = {"predictions.h5", "predict.h5", "tracks.h5"};
    for (const DataConfig& section : config.value ? config.value->data : std::vector<DataConfig>{}) {
        names.push_back("tracks_" + section.head() + ".h5");
    }
    for (const std::string& name : names) {
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
    const data::TrackPredictionReader reader(path);
    material.tracks.push_back(try_reading("Tracks along a locus are not drawn", [&] {
        return read_track_locus(reader, data_of_tracks(reader, material), material.locus);
    }));
}

void find_predictions(const ReportOptions& options, Material& material) {
    const auto files = prediction_files(options, material.config);
    const auto how = [&](const char* file) {
        return detail::concatenate(". Make it with flagen predict ", options.run_folder, " --out ", options.run_folder,
                                   "/", file, ", or name a file with --predictions");
    };
    material.predictions.reason = detail::concatenate(
        "No predictions.h5 with genes in the run folder: predicted and observed values are not compared",
        how("predictions.h5"));
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
    if (material.tracks.empty() && has_tracks(material)) {
        const bool several = material.config.value->data.size() > 1;
        const std::string command = how(several ? "tracks_HEAD.h5 --head HEAD --locus REGION" : "tracks.h5 --locus REGION");
        material.tracks.push_back({std::nullopt, "No file of track predictions in the run folder: no track is drawn along a "
                                                 "locus" + command});
    }
}

void compare(Material& material) {
    if (!material.predictions.value) {
        material.comparison.reason = material.predictions.reason;
        return;
    }
    if (!material.config.value) {
        material.comparison.reason = material.config.reason;
        return;
    }
    const auto section = material.config.value->genes_section();
    if (!section) {
        material.comparison.reason =
            "The configuration names no measured genes: there is nothing to compare the predictions with";
        return;
    }
    if (material.gene_data() == nullptr) {
        material.comparison.reason = material.data[*section].reason;
        return;
    }
    material.comparison = try_reading("Predictions and measurements could not be compared", [&] {
        return compare_genes(*material.gene_data(), EvaluationScale::of(*material.config.value->data[*section].genes),
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
    const RunConfig& config = *material.config.value;
    const RunData* genes = material.gene_data();
    if (config.model.genes && genes == nullptr && !material.predictions.value) {
        material.summary.reason =
            "The cost of the model is not shown: without data and predictions the number of its samples is not known";
        return;
    }
    const std::size_t num_samples = genes != nullptr              ? genes->targets.samples.size()
                                    : material.predictions.value ? material.predictions.value->samples.size()
                                                                 : 0;
    material.window.length_bp = config.model.seq_length;
    if (config.model.genes) {
        material.window.num_genes = genes != nullptr ? genes_a_window(*genes, material.window.length_bp) : kTypicalGenes;
    }
    material.summary = try_reading("The cost of the model is not shown", [&] {
        return models::summarise(models::ExpressionModel(config.model, static_cast<std::int64_t>(num_samples)),
                                 material.window.num_genes);
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

const RunData* Material::gene_data() const {
    const auto section = config.value ? config.value->genes_section() : std::nullopt;
    return section && data[*section].value ? &*data[*section].value : nullptr;
}

Material gather(const ReportOptions& options) {
    Material material;
    material.run = RunFolder::read(options.run_folder);
    const std::string config_path = (fs::path(options.run_folder) / "config.json").string();
    material.config = try_reading("The configuration could not be read", [&] { return RunConfig::load(config_path); });
    for (const DataConfig& section : material.config.value ? material.config.value->data : std::vector<DataConfig>{}) {
        material.data.push_back(read_data(section, material.config.value->model));
    }
    if (!options.locus.empty()) {
        material.locus = parse_locus(options.locus, material);
    }
    find_predictions(options, material);
    compare(material);
    summarise_model(material);
    return material;
}

}  // namespace flagen::apps::report
