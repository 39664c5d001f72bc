#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/options/run_config.h"
#include "apps/report/report.h"
#include "apps/report/sections.h"
#include "apps/runtime/run_data.h"
#include "flagen/data/prediction_store.h"
#include "flagen/models/model_summary.h"

namespace flagen::apps::report {

/// Something that the page can do without: it is there, or `reason` says in words why it is not.
template <typename T>
struct Found {
    std::optional<T> value;
    std::string reason;
};

/// All that the sections of a report draw from.
struct Material {
    RunFolder run;
    Found<RunConfig> config;
    std::vector<Found<RunData>> data;  ///< By data section of the configuration.
    Found<data::GenePredictions> predictions;
    Found<GeneComparison> comparison;
    std::vector<Found<TrackLocusView>> tracks;  ///< One a file of track predictions; without any, why not.
    Found<models::ModelSummary> summary;
    WindowContent window;
    std::optional<genomics::Interval> locus;  ///< That the user asked for.

    /// The data that hold the measured genes; null where there are none, or they could not be read.
    [[nodiscard]] const RunData* gene_data() const;
};

/// Reads everything. @throws UserError as build_report().
[[nodiscard]] Material gather(const ReportOptions& options);

/// An attribute of a prediction file as text; empty if it has none.
[[nodiscard]] std::string attribute_text(const data::Attributes& attributes, const std::string& name);

}  // namespace flagen::apps::report
