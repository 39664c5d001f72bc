#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "flagen/data/genome_mask.h"
#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/split_plan.h"

namespace flagen::data {

/// Lengths of a model's input and of what it predicts. L = seq_length_bp, crop_bp at each end is
/// read but not predicted, and the rest is cut into bins:
///
///     num_bins = (L - 2 * crop_bp) / bin_bp       Borzoi: (524,288 - 2 * 163,840) / 32 = 6,144
struct WindowGeometry {
    std::int64_t seq_length_bp = 524'288;
    std::int64_t crop_bp = 163'840;
    std::int64_t bin_bp = 32;

    [[nodiscard]] std::int64_t output_bp() const { return seq_length_bp - 2 * crop_bp; }
    [[nodiscard]] std::int64_t num_bins() const { return output_bp() / bin_bp; }

    /// @throws UserError (kConfig) unless all are positive (the crop may be 0) and the output is a
    ///         whole number of bins, at least one.
    void check() const;
    [[nodiscard]] bool operator==(const WindowGeometry&) const = default;
};

/// A window of a data set by its OUTPUT interval: Borzoi's coordinates. The model reads crop_bp
/// more at each end, N where that is off the contig.
struct ListedWindow {
    std::string contig;
    std::int64_t start_bp = 0;
    std::int64_t end_bp = 0;
    std::string label;  ///< train, valid, test, or fold0, fold1, ...

    [[nodiscard]] bool operator==(const ListedWindow&) const = default;
};

/// Rows "contig start end label", as sequences.bed and contigs.bed have them.
[[nodiscard]] std::string bed_text(const std::vector<ListedWindow>& rows);

/// The windows of a data set, as sequences.bed and statistics.json hold them.
struct WindowList {
    WindowGeometry geometry;
    std::vector<ListedWindow> windows;  ///< File order; the order within a label counts.

    /// Labels in the order of their first window, each with the number of its windows.
    [[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> label_counts() const;
    [[nodiscard]] std::vector<ListedWindow> with_label(const std::string& label) const;

    /// Borzoi's statistics.json: num_targets, seq_length, seq_1hot, pool_width, crop_bp,
    /// target_length and `<label>_seqs` of every label. `num_targets` is the number of tracks.
    [[nodiscard]] std::string statistics_text(std::int64_t num_targets) const;

    /// Reads windows from a BED file with labels in column 4 (an absent label is "train").
    ///
    /// @throws UserError (kInputFile) as read_bed() does; if a contig is unknown, an end lies past
    ///         its contig, or a row is not geometry.output_bp() long.
    [[nodiscard]] static WindowList read_bed(const std::string& path,
                                             const WindowGeometry& geometry,
                                             const genomics::ContigTable& contigs,
                                             const genomics::ContigAliases& aliases = {});

    /// Reads `folder`/sequences.bed and statistics.json, of flagen or of hound_data.
    ///
    /// @throws UserError (kInputFile) as read_bed(); if statistics.json lacks a key or disagrees
    ///         with itself or with the numbers of rows.
    [[nodiscard]] static WindowList read_folder(const std::string& folder,
                                                const genomics::ContigTable& contigs,
                                                const genomics::ContigAliases& aliases = {});
};

/// How plan_window_list() divides a genome.
struct WindowListOptions {
    /// Who is held out. With folds (num_folds > 0) every window is labelled by its fold instead,
    /// "fold0" on, by the same dealing as SplitPlan.
    genomics::SplitDefinition splits = {};
    std::int64_t stride_bp = 0;       ///< Of training windows and folds; 0: output_bp().
    std::int64_t eval_stride_bp = 0;  ///< Of valid and test; 0: output_bp(). The last of a stretch may overlap.
    /// A window with at least this share of its output unmappable is dropped.
    double drop_at_unmappable = 0.5;
};

/// The windows, and the parts of the genome that they were laid in.
struct PlannedWindowList {
    WindowList list;
    std::vector<ListedWindow> contigs;   ///< For contigs.bed: labelled stretches without gaps.
    std::int64_t num_unmappable = 0;     ///< Windows dropped for being unmappable.
    std::int64_t num_contigs_short = 0;  ///< Stretches shorter than an output: no window.
    std::int64_t short_contigs_bp = 0;   ///< Their bases.
};

/// Lays windows as hound_data does: contigs without gaps, divided by split or fold; in every
/// stretch outputs from its start by the stride. A rest at the end gets one more output, which
/// ends there; an exact fit loses none. Train, valid, test or fold0, fold1, ...; within each by
/// contig and start.
///
/// Outputs of two labels share no base. Inputs may, by up to crop_bp, where labels meet within a
/// contig, as in Borzoi: the model reads bases there whose measurements it does not see.
/// Contigs are taken as linear.
///
/// @throws UserError (kConfig) as SplitPlan does, for a geometry or stride out of range, or if no
///         window is left.
[[nodiscard]] PlannedWindowList plan_window_list(const genomics::ContigTable& contigs,
                                                 const WindowGeometry& geometry,
                                                 const GenomeMask& gaps,
                                                 const GenomeMask& unmappable,
                                                 const WindowListOptions& options);

/// The same result for windows that a user listed: those unmappable are dropped; `contigs` are the
/// stretches that the others of a label cover together.
///
/// @throws UserError (kInputFile) if no window is left.
[[nodiscard]] PlannedWindowList take_window_list(const genomics::ContigTable& contigs,
                                                 WindowList list, const GenomeMask& unmappable,
                                                 double drop_at_unmappable = 0.5);

}  // namespace flagen::data
