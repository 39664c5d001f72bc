#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "apps/report/markup.h"
#include "apps/report/sections.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Keys of eval.json in the order of the table, and their headings.
constexpr std::array<std::pair<const char*, const char*>, 11> kColumns = {{
    {"num_genes", "genes"},
    {"num_samples", "samples"},
    {"pearson_gene_mean", "r, gene means"},
    {"spearman_gene_mean", "\u03C1, gene means"},
    {"r2_gene_mean", "R\u00B2, gene means"},
    {"pearson_per_sample", "r per sample"},
    {"spearman_per_sample", "\u03C1 per sample"},
    {"r2_per_sample", "R\u00B2 per sample"},
    {"pearson_per_gene", "r per gene"},
    {"pearson_per_variable_gene", "r per variable gene"},
    {"pearson_per_gene_centred", "r per gene, centred"},
}};

double number_of(const ResultRow& row, const std::string& key) {
    const auto found = row.numbers.find(key);
    return found == row.numbers.end() ? kNone : found->second;
}

bool is_count(const std::string& key) { return key.rfind("num_", 0) == 0; }

// Known keys that occur, then the others by name.
std::vector<std::pair<std::string, std::string>> columns_of(const EvaluationFile& evaluation) {
    std::set<std::string> present;
    for (const ResultRow& row : evaluation.results) {
        for (const auto& [key, value] : row.numbers) {
            present.insert(key);
        }
    }
    std::vector<std::pair<std::string, std::string>> columns;
    for (const auto& [key, heading] : kColumns) {
        if (present.erase(key) > 0) {
            columns.emplace_back(key, heading);
        }
    }
    for (const std::string& key : present) {
        columns.emplace_back(key, key);
    }
    return columns;
}

double best_of_split(const EvaluationFile& evaluation, const std::string& split, const std::string& key) {
    double best = kNone;
    for (const ResultRow& row : evaluation.results) {
        const double value = number_of(row, key);
        if (row.split == split && std::isfinite(value) && !(value <= best)) {
            best = value;
        }
    }
    return best;
}

Table table_of(const EvaluationFile& evaluation) {
    const auto columns = columns_of(evaluation);
    Table table;
    table.caption = "Best of each split and column in bold; \u2013 is undefined (a constant correlates with nothing).";
    table.columns = {"split", "predictor"};
    table.num_label_columns = 2;
    for (const auto& [key, heading] : columns) {
        table.columns.push_back(heading);
    }
    for (std::size_t r = 0; r < evaluation.results.size(); ++r) {
        const ResultRow& row = evaluation.results[r];
        if (r > 0 && row.split != evaluation.results[r - 1].split) {
            table.rules.push_back(r);
        }
        std::vector<Table::Cell> cells{{row.split, false}, {row.predictor, row.predictor == "model"}};
        for (const auto& [key, heading] : columns) {
            const double value = number_of(row, key);
            if (is_count(key)) {
                cells.push_back({std::isfinite(value) ? with_commas(std::llround(value)) : fixed(value, 0), false});
            } else {
                cells.push_back({fixed(value, 3), value == best_of_split(evaluation, row.split, key)});
            }
        }
        table.rows.push_back(std::move(cells));
    }
    return table;
}

Tile score_tile(const EvaluationFile& evaluation, const std::string& split, const char* key, const std::string& name) {
    const ResultRow* model = evaluation.find("model", split);
    std::string detail;
    for (const ResultRow& row : evaluation.results) {
        const double value = number_of(row, key);
        if (row.split == split && row.predictor != "model" && std::isfinite(value)) {
            detail += detail::concatenate(detail.empty() ? "" : ", ", row.predictor, " ", fixed(value, 3));
        }
    }
    const ResultRow* valid = split == "valid" ? nullptr : evaluation.find("model", "valid");
    if (valid != nullptr && std::isfinite(number_of(*valid, key))) {
        detail += detail::concatenate(detail.empty() ? "" : "; ", "valid ", fixed(number_of(*valid, key), 3));
    }
    return {fixed(number_of(*model, key), 3), name, detail};
}

std::vector<Tile> score_tiles(const EvaluationFile& evaluation) {
    std::vector<Tile> tiles;
    for (const char* split : {"test", "valid", "train"}) {
        const ResultRow* model = evaluation.find("model", split);
        if (model == nullptr) {
            continue;
        }
        for (const auto& [key, name] : std::initializer_list<std::pair<const char*, const char*>>{
                 {"pearson_gene_mean", "r of gene means"},
                 {"pearson_per_sample", "r over genes, mean of samples"},
                 {"pearson_per_gene_centred", "r over samples, centred, mean of genes"}}) {
            if (model->numbers.count(key) > 0) {
                tiles.push_back(score_tile(evaluation, split, key, detail::concatenate(split, ": ", name)));
            }
        }
        break;
    }
    return tiles;
}

}  // namespace

void headline_section(HtmlPage& page, const RunFolder& run, const std::vector<Fact>& facts) {
    std::vector<Tile> tiles;
    if (run.evaluation) {
        tiles = score_tiles(*run.evaluation);
    }
    for (const auto& [head, loss] : run.metrics ? run.metrics->of("loss") : MetricsHistory::ByHead{}) {
        tiles.push_back({fixed(loss.back().y, 3),
                         detail::concatenate("training loss", run.metrics->several_heads() ? " of " + head : "", " at step ",
                                             step_number(loss.back().x)),
                         detail::concatenate(fixed(loss.front().y, 3), " at step ", step_number(loss.front().x))});
    }
    page.tiles(tiles);
    page.facts(facts);
}

void results_section(HtmlPage& page, const RunFolder& run, const std::string& predicted_with_sha256) {
    page.section("Results");
    if (!run.evaluation) {
        page.note(detail::concatenate(
            "No eval.json in the run folder: nothing is compared with baselines. Make one with flagen eval ", run.path,
            "/config.json predictions.h5 --out ", run.path, "/eval.json"));
        return;
    }
    const EvaluationFile& evaluation = *run.evaluation;
    const auto named = [](const std::string& text) { return text.empty() ? std::string("not named") : text; };
    page.paragraph(
        detail::concatenate("Scale: ", named(evaluation.scale), ". Averaged over shifts of the window's start, bp: ",
                            named(evaluation.shifts), ". Strand: ", named(evaluation.strand_policy),
                            !evaluation.reverse_complement   ? ""
                            : *evaluation.reverse_complement ? ". Tracks are averaged with the reverse complement"
                                                             : ". Tracks are not averaged with the reverse complement",
                            ". Targets transformed for training: ", named(evaluation.transform), "."));
    if (!predicted_with_sha256.empty() && !evaluation.model_sha256.empty() &&
        predicted_with_sha256 != evaluation.model_sha256) {
        page.note("eval.json is of other weights than the predictions below: run flagen eval again.");
    }
    if (evaluation.results.empty()) {
        page.note(evaluation.tracks.empty() ? "eval.json holds no results."
                                            : "eval.json holds no results of genes; tracks are below.");
        return;
    }
    page.table(table_of(evaluation));
    page.paragraph(
        "r is Pearson's, \u03C1 Spearman's. Gene means: of each gene's mean over samples. Per sample: over genes, mean "
        "of the samples. "
        "Per gene: over samples, mean of the genes; variable genes are those whose standard deviation is above the "
        "median. "
        "Centred: after each gene's and each sample's mean is taken away, which leaves what differs between samples.");
}

}  // namespace flagen::apps::report
