#include "apps/report/report.h"

#include <filesystem>
#include <utility>

#include "apps/report/markup.h"
#include "apps/report/report_material.h"
#include "apps/runtime/build_info.h"
#include "apps/runtime/run_record.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

namespace fs = std::filesystem;

std::string or_unknown(const std::string& text) { return text.empty() ? std::string("not recorded") : text; }

std::string model_text(const Material& material) {
    const auto& summary = *material.summary.value;
    const auto total = summary.total();
    return detail::concatenate(with_commas(total.num_parameters), " parameters in ", summary.stages.size(),
                               " stages; windows of ", with_commas(material.window.length_bp), " bp, tokens of ",
                               with_commas(total.output.bp_per_token), " bp");
}

std::string data_text(const RunData& data, const DataConfig& config) {
    const std::size_t num_contigs = data.reference->contigs().size();
    const auto name = [](const std::string& path) { return fs::path(path).filename().string(); };
    std::string text =
        detail::concatenate(name(config.genome.fasta), ", ", base_pairs(data.reference->contigs().total_length_bp()),
                            " in ", num_contigs, num_contigs == 1 ? " contig" : " contigs");
    if (config.tracks) {
        text += detail::concatenate("; ", name(config.tracks->table));
    }
    if (config.genes) {
        text += detail::concatenate("; ", name(config.genes->matrix));
    }
    return text + "; " + data.description();
}

std::string step_text(const Material& material) {
    std::string text;
    const auto add = [&text](const std::string& part) { text += text.empty() ? part : "; " + part; };
    if (material.run.metrics) {
        const std::string last = with_commas(material.run.metrics->last_step);
        add(material.config.value ? detail::concatenate("the metrics end at step ", last, " of ",
                                                        with_commas(material.config.value->train.max_steps))
                                  : detail::concatenate("the metrics end at step ", last));
    }
    if (material.run.best_step) {
        add(detail::concatenate("best at step ", with_commas(*material.run.best_step)));
    }
    const std::string predicted = material.predictions.value
                                      ? attribute_text(material.predictions.value->attributes, "model_step")
                                      : std::string();
    if (!predicted.empty()) {
        add(detail::concatenate("predictions are of step ", predicted));
    }
    return or_unknown(text);
}

// "0.1.0 (git 1a2b3c4d5e6f)"
std::string version_of(const RunRecord& record) {
    std::string version = "not recorded";
    std::string git;
    for (const auto& [name, text] : record.versions) {
        if (name == "flagen") {
            version = text;
        } else if (name == "git") {
            git = detail::concatenate(" (git ", text, ")");
        }
    }
    return version + git;
}

std::vector<Fact> headline_facts(const Material& material) {
    const RunRecord& record = material.run.record;
    const std::string& time = material.run.training_time;
    std::vector<Fact> facts = {{"model", material.summary.value ? model_text(material) : material.summary.reason}};
    for (std::size_t i = 0; i < material.data.size(); ++i) {
        const DataConfig& section = material.config.value->data[i];
        const Found<RunData>& data = material.data[i];
        facts.emplace_back(material.data.size() == 1 ? "data" : "data of " + section.head(),
                           data.value ? data_text(*data.value, section) : data.reason);
    }
    const std::vector<Fact> more = {
        {"steps", step_text(material)},
        {"training time", time.empty() ? "the log names no end of the training: it was stopped, or still runs" : time},
        {"started", or_unknown(record.started_utc)},
        {"machine", detail::concatenate(or_unknown(record.host), "; device ", or_unknown(record.device))},
        {"flagen", version_of(record)},
    };
    facts.insert(facts.end(), more.begin(), more.end());
    return facts;
}

std::vector<Fact> prediction_facts(const Material& material) {
    std::vector<Fact> facts;
    if (!material.predictions.value) {
        return facts;
    }
    for (const auto& [key, name] :
         std::initializer_list<std::pair<const char*, const char*>>{{"cmdline", "predicted by"},
                                                                    {"created_utc", "predicted at"},
                                                                    {"model_sha256", "weights sha256"}}) {
        const std::string text = attribute_text(material.predictions.value->attributes, key);
        if (!text.empty()) {
            facts.emplace_back(name, text);
        }
    }
    return facts;
}

void genes_sections(HtmlPage& page, const Material& material) {
    if (material.comparison.value) {
        comparison_section(page, *material.comparison.value);
        gene_locus_section(page, *material.comparison.value, material.locus);
    } else if (!material.config.value || material.config.value->genes_section()) {
        page.section("Predicted against observed");
        page.note(material.comparison.reason + ".");
    }
}

void tracks_sections(HtmlPage& page, const Material& material) {
    if (material.run.evaluation) {
        tracks_section(page, *material.run.evaluation);
    }
    for (const Found<TrackLocusView>& tracks : material.tracks) {
        if (tracks.value) {
            track_locus_section(page, *tracks.value);
        } else {
            page.section("Tracks along one locus");
            page.note(tracks.reason + ".");
        }
    }
}

}  // namespace

std::string build_report(const ReportOptions& options) {
    const Material material = gather(options);
    const std::string weights = material.predictions.value
                                    ? attribute_text(material.predictions.value->attributes, "model_sha256")
                                    : std::string();
    HtmlPage page(
        detail::concatenate("flagen run ", material.run.name),
        "Expression predicted from DNA: how the model was trained, and how good it is on parts of the genome that "
        "it has not seen");
    headline_section(page, material.run, headline_facts(material));
    results_section(page, material.run, weights);
    training_section(page, material.run);
    genes_sections(page, material);
    tracks_sections(page, material);
    if (material.summary.value) {
        model_section(page, *material.summary.value, material.window);
    } else {
        page.section("Model");
        page.note(material.summary.reason + ".");
    }
    provenance_section(page, material.run, prediction_facts(material));
    return page.finish(detail::concatenate("Written by ", short_version(), " at ", utc_now(), "."));
}

}  // namespace flagen::apps::report
