#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/report/gene_comparison.h"
#include "apps/report/html_page.h"
#include "apps/report/run_folder.h"
#include "apps/report/track_locus.h"
#include "flagen/genomics/interval.h"

namespace flagen::models {
struct ModelSummary;
}

// The parts of a report, top to bottom. Each writes a section, and says in words what it lacks.

namespace flagen::apps::report {

/// What one window of a model holds, for the table of its cost.
struct WindowContent {
    std::int64_t length_bp = 0;
    std::int64_t num_genes = 0;  ///< Taken to lie in it.
};

/// The main numbers as tiles, then model, data, step, time, host, versions. `facts` come first.
void headline_section(HtmlPage& page, const RunFolder& run, const std::vector<Fact>& facts);

/// eval.json as a table: the model beside the baselines, the best of each column and split in bold.
void results_section(HtmlPage& page, const RunFolder& run, const std::string& predicted_with_sha256);

/// Loss, validation metrics, learning rate and gradient norm over steps.
void training_section(HtmlPage& page, const RunFolder& run);

/// Scatter plots, correlations of samples and of genes.
void comparison_section(HtmlPage& page, const GeneComparison& comparison);

/// Correlations of tracks of eval.json; writes nothing for a run without tracks.
void tracks_section(HtmlPage& page, const EvaluationFile& evaluation);

/// Genes of one region: `region`, or else a stretch of the held-out genes.
void gene_locus_section(HtmlPage& page, const GeneComparison& comparison,
                        const std::optional<genomics::Interval>& region);

/// Tracks over one region.
void track_locus_section(HtmlPage& page, const TrackLocusView& view);

/// Parameters and floating-point operations of each stage.
void model_section(HtmlPage& page, const models::ModelSummary& summary, const WindowContent& window);

/// Command lines, versions and checksums, and the configuration behind a line to open it.
void provenance_section(HtmlPage& page, const RunFolder& run, const std::vector<Fact>& facts);

}  // namespace flagen::apps::report
