#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <utility>

#include "apps/report/figures.h"
#include "apps/report/markup.h"
#include "apps/report/sections.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr std::size_t kMaxCurves = 4;

std::string curve_name(const std::string& key) {
    static constexpr std::array<std::pair<const char*, const char*>, 3> kNames = {{
        {"valid_pearson_gene_mean", "gene means"},
        {"valid_pearson_per_sample", "per sample"},
        {"valid_pearson_centred", "per gene, centred"},
    }};
    for (const auto& [known, name] : kNames) {
        if (key == known) {
            return name;
        }
    }
    std::string name = key.substr(key.rfind("valid_", 0) == 0 ? 6 : 0);
    std::replace(name.begin(), name.end(), '_', ' ');
    return name;
}

// Metrics of one kind share a plot.
std::string kind_of(const std::string& key) {
    for (const auto& [part, kind] :
         std::initializer_list<std::pair<const char*, const char*>>{{"pearson", "Pearson r"},
                                                                    {"spearman", "Spearman \u03C1"},
                                                                    {"r2", "R\u00B2"}}) {
        if (key.find(part) != std::string::npos) {
            return kind;
        }
    }
    return curve_name(key);
}

std::string change(const std::vector<Point>& points, int decimals) {
    return points.size() < 2
               ? detail::concatenate(fixed(points.back().y, decimals), " at step ", step_number(points.back().x))
               : detail::concatenate(fixed(points.front().y, decimals), " to ", fixed(points.back().y, decimals),
                                     " from step ", step_number(points.front().x), " to ",
                                     step_number(points.back().x));
}

// "training", or "training, human" where there are several heads.
std::string name_with_head(const std::string& name, const std::string& head, const MetricsHistory& metrics) {
    return metrics.several_heads() && !head.empty() ? detail::concatenate(name, ", ", head) : name;
}

void add_loss(std::vector<Figure>& figures, const MetricsHistory& metrics) {
    const auto& losses = metrics.of("loss");
    if (losses.empty()) {
        return;
    }
    CurvesPlot plot;
    plot.title = detail::concatenate(name_with_head("Training loss", losses.begin()->first, metrics), ": ",
                                     change(losses.begin()->second, 3));
    plot.caption = "Each point is the mean over the steps since the one before.";
    plot.y_label = "loss";
    for (const auto& [head, points] : losses) {
        plot.series.push_back({name_with_head("training", head, metrics), points});
    }
    for (const auto& [head, points] : metrics.of("valid_loss")) {
        plot.series.push_back({name_with_head("validation", head, metrics), points});
    }
    figures.push_back(curves_figure(plot));
}

std::vector<std::pair<std::string, std::vector<Series>>> validation_kinds(const MetricsHistory& metrics) {
    std::vector<std::pair<std::string, std::vector<Series>>> kinds;
    const auto add = [&](const std::string& key, const std::string& head, const std::vector<Point>& points) {
        const std::string kind = kind_of(key);
        auto found = std::find_if(kinds.begin(), kinds.end(), [&](const auto& entry) {
            return entry.first == kind && entry.second.size() < kMaxCurves;
        });
        if (found == kinds.end()) {
            found = kinds.insert(kinds.end(), {kind, {}});
        }
        found->second.push_back({name_with_head(curve_name(key), head, metrics), points});
    };
    for (const auto& [key, by_head] : metrics.columns) {
        // The score is a mean over heads: of one head, it says nothing new.
        const bool says_nothing_new = key == "valid_score" && !metrics.several_heads();
        if (key.rfind("valid_", 0) != 0 || key == "valid_loss" || says_nothing_new) {
            continue;
        }
        for (const auto& [head, points] : by_head) {
            add(key, head, points);
        }
    }
    for (auto& [kind, series] : kinds) {
        // The highest curve first, so that the legend reads as the plot does.
        std::stable_sort(series.begin(), series.end(),
                         [](const Series& a, const Series& b) { return a.points.back().y > b.points.back().y; });
    }
    return kinds;
}

void add_validation(std::vector<Figure>& figures, const RunFolder& run) {
    for (const auto& [kind, series] : validation_kinds(*run.metrics)) {
        CurvesPlot plot;
        plot.title =
            detail::concatenate("Validation ", kind, ": ", series.front().name, " ", change(series.front().points, 3));
        plot.y_label = kind;
        plot.series = series;
        if (run.best_step) {
            plot.marked_step = static_cast<double>(*run.best_step);
            plot.mark_name = detail::concatenate("best, step ", *run.best_step);
        }
        figures.push_back(curves_figure(plot));
    }
}

void add_plain(std::vector<Figure>& figures, const MetricsHistory& metrics, const char* key, const char* title,
               const char* y_label) {
    CurvesPlot plot;
    Point largest;
    for (const auto& [head, points] : metrics.of(key)) {
        const Point& top =
            *std::max_element(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.y < b.y; });
        largest = plot.series.empty() || top.y > largest.y ? top : largest;
        plot.series.push_back({name_with_head(title, head, metrics), points});
    }
    if (plot.series.empty()) {
        return;
    }
    plot.title = detail::concatenate(title, ": largest ", std::setprecision(3), largest.y, " at step ",
                                     step_number(largest.x));
    plot.y_label = y_label;
    figures.push_back(curves_figure(plot));
}

}  // namespace

void training_section(HtmlPage& page, const RunFolder& run) {
    page.section("Training");
    if (!run.metrics || run.metrics->columns.empty()) {
        page.note("No metrics.jsonl with numbers in the run folder: there are no curves.");
        return;
    }
    std::vector<Figure> figures;
    add_loss(figures, *run.metrics);
    const std::size_t num_losses = figures.size();
    add_validation(figures, run);
    const bool validated = figures.size() > num_losses;
    add_plain(figures, *run.metrics, "learning_rate", "Learning rate", "learning rate");
    add_plain(figures, *run.metrics, "gradient_norm", "Gradient norm before clipping", "L2 norm of the gradients");
    page.figures(figures);
    if (!validated) {
        page.note(
            "metrics.jsonl holds no validation: the run ended before the first one, or no gene is in the validation "
            "split.");
    }
    if (run.metrics->num_unreadable_lines > 0) {
        page.note(detail::concatenate(run.metrics->num_unreadable_lines,
                                      " lines of metrics.jsonl could not be read and are not drawn."));
    }
}

}  // namespace flagen::apps::report
