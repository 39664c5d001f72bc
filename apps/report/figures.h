#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/report/html_page.h"
#include "apps/report/svg_writer.h"

// The figures of a report. They know numbers and names only: no file, no tensor, no configuration.

namespace flagen::apps::report {

/// One curve: x ascending, in the units of the axes.
struct Series {
    std::string name;
    std::vector<Point> points;
};

/// Curves over training steps, at most four.
struct CurvesPlot {
    std::string title;
    std::string caption;
    std::string y_label;
    std::vector<Series> series;
    std::optional<double> marked_step;  ///< Drawn as a vertical line, for example the best step.
    std::string mark_name;
};

/// At most 400 points of a series are drawn; longer ones become means over equal stretches of it.
[[nodiscard]] Figure curves_figure(const CurvesPlot& plot);

/// Two numbers of one gene.
struct NamedPair {
    std::string name;
    double observed = 0.0;
    double predicted = 0.0;
};

/// Predicted over observed values of one split.
struct ScatterPlot {
    std::string split;             ///< "test"
    std::string unit;              ///< Of both axes.
    std::vector<NamedPair> pairs;  ///< All finite.
    double pearson = 0.0;          ///< Printed; NaN where undefined.
    double spearman = 0.0;
    double r2 = 0.0;
};

/// Up to 2,500 pairs are dots shaded by how crowded their place is; more become hexagons shaded by their count.
/// Both axes have the same range, so the identity line is the diagonal.
[[nodiscard]] Figure scatter_figure(const ScatterPlot& plot);

/// A named number; NaN where undefined.
struct NamedValue {
    std::string name;
    double value = 0.0;
};

/// One split's numbers.
struct ValueGroup {
    std::string name;                ///< "test"
    std::vector<NamedValue> values;  ///< Same names in every group.
};

/// Pearson correlations of many samples or tracks.
struct CorrelationsPlot {
    std::string what;                ///< What has a correlation each: "sample" or "track".
    std::string over;                ///< What it runs over: "genes" or "bins".
    std::vector<ValueGroup> groups;  ///< One to four.
};

/// Up to 40 are drawn as named rows, best first by the last group; more as a sorted strip of dots, each group by
/// itself.
[[nodiscard]] Figure correlations_figure(const CorrelationsPlot& plot);

/// Correlations of genes across samples, of one split.
struct GeneCorrelations {
    std::string split;
    std::vector<double> plain;    ///< NaN where undefined (a constant gene).
    std::vector<double> centred;  ///< After gene and sample means are taken away.
};

[[nodiscard]] Figure gene_histogram_figure(const GeneCorrelations& correlations);

/// One gene of a locus. Half-open, 0-based, in bp.
struct LocusGene {
    std::string id;
    char strand = '.';
    std::int64_t start_bp = 0;
    std::int64_t end_bp = 0;
    bool held_out = false;   ///< Not seen in training.
    double observed = 0.0;   ///< NaN where missing. Only gene models use it.
    double predicted = 0.0;  ///< NaN where missing. Only gene models use it.
};

/// Mean expression of the genes of a region.
struct GeneLocus {
    std::string contig;
    std::int64_t start_bp = 0;
    std::int64_t end_bp = 0;
    std::string unit;
    std::vector<LocusGene> genes;  ///< That overlap the region, in any order.
};

/// The most genes that one gene_locus_figure() can label.
inline constexpr std::size_t kMaxLocusGenes = 48;

/// Paired bars, observed and predicted, joined by lines to the genes' arrows on the genome. Draws the first
/// kMaxLocusGenes genes and says so in the caption if there are more.
[[nodiscard]] Figure gene_locus_figure(const GeneLocus& locus);

/// One track over a locus.
struct LocusTrack {
    std::string name;
    std::string unit;              ///< For example "coverage".
    std::vector<float> observed;   ///< [num_bins]; empty if the measurement was not read.
    std::vector<float> predicted;  ///< [num_bins]
};

/// Tracks of a region, as the rows of a track prediction file (preds [n, Lo, T], chrom, start, end, target_ids) give
/// them: row i holds bins of (end - start) / Lo bp from `start` on. All tracks have the same number of bins.
struct TrackLocus {
    std::string contig;
    std::int64_t start_bp = 0;  ///< Of the first bin.
    std::int64_t bin_bp = 1;
    std::vector<LocusTrack> tracks;
    std::vector<LocusGene> genes;  ///< Overlapping; may be empty.
    std::size_t num_tracks = 0;    ///< That there are in all, if more than `tracks`.
};

/// The most tracks that one track_locus_figure() draws.
inline constexpr std::size_t kMaxLocusTracks = 8;

/// Observed over predicted coverage, each pair on one scale, with the genes below. Where bins are finer than the
/// drawing, a place shows the largest of its bins. Draws the first kMaxLocusTracks tracks and says so if there are
/// more.
/// @throws Error if the tracks differ in their number of bins.
[[nodiscard]] Figure track_locus_figure(const TrackLocus& locus);

}  // namespace flagen::apps::report
