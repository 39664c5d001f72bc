#pragma once

#include <string>
#include <vector>

#include "apps/runtime/track_evaluator.h"
#include "flagen/genomics/gene_spans.h"
#include "flagen/models/gene_track_metrics.h"

namespace flagen {
class JsonObject;
}

namespace flagen::apps {

/// Coverage of genes by tracks, predicted and measured, and how well they agree: the numbers of
/// Borzoi's hound_eval_genes.
///
/// A gene's value in a track is the mean of the bins that touch an exon, as measured (transform
/// undone), divided by the bin's bases, times the length of the exons' union; compared as
/// log2(x + 1). Stranded pairs make one column under the name of the + track, read on the gene's
/// strand. Overlapping genes count with all their bins. r2 is the explained variance.
struct GeneTrackEvaluation {
    std::string split;
    std::string exons;                       ///< which annotation rows the genes' bases come from
    std::vector<std::string> genes;          ///< [G] those that lie wholly in one window's output
    std::int64_t num_unreachable = 0;        ///< genes asked for that do not, or that have no such row
    std::vector<std::size_t> tracks;         ///< [C] row of the table of each column
    models::GeneTrackMatrix predicted;       ///< [G, C] log2(x + 1)
    models::GeneTrackMatrix measured;        ///< [G, C]
    std::vector<models::GeneTrackScore> scores;     ///< [C] over genes, plain and normalised by group
    std::vector<models::DefinedMean> within_genes;  ///< [C] r over a gene's bins
};

/// Predicts and reads each pass that holds a gene once.
///
/// @param genes spans whose pieces are the exons, on contigs of the genome; those outside of the
///        passes' windows are counted
/// @param exons for the record, as "exon" or "CDS"
[[nodiscard]] GeneTrackEvaluation evaluate_gene_tracks(const TrackData& tracks,
                                                       const std::vector<data::TrackPass>& passes,
                                                       const std::vector<genomics::GeneSpan>& genes,
                                                       const std::string& split, const std::string& exons,
                                                       const TrackPrediction& predict);

/// A table to read: means over tracks.
[[nodiscard]] std::string gene_tracks_table(const TrackData& tracks, const GeneTrackEvaluation& evaluation);

/// The same under "gene_tracks" of eval.json, with every track's numbers.
void write_gene_track_scores(JsonObject& root, const TrackData& tracks, const GeneTrackEvaluation& evaluation);

/// Writes Borzoi's task_metrics.tsv, gene_targets.tsv.gz and gene_preds.tsv.gz into `folder`.
void write_gene_track_files(const std::string& folder, const TrackData& tracks, const GeneTrackEvaluation& evaluation);

}  // namespace flagen::apps
