#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flagen/data/gene_index.h"
#include "flagen/data/track_windows.h"
#include "flagen/data/window_example.h"
#include "flagen/genomics/reference_genome.h"
#include "flagen/genomics/split_plan.h"
#include "flagen/genomics/window_planner.h"
#include "flagen/json_object.h"

namespace flagen::data {

/// How training windows are laid out and varied.
struct WindowDatasetConfig {
    std::int64_t window_bp = 524'288;
    std::int64_t stride_bp = 131'072;
    std::int64_t max_shift_bp = -1;  ///< Largest random shift of a start; -1 is stride_bp / 2.
    bool random_reverse_complement = true;
    StrandMode strand_mode = StrandMode::kSense;
    std::int64_t margin_bp = 0;  ///< Bases at each end of a window in which no gene is scored.
    double mutate_rate = 0.0;    ///< Share of bases replaced by a random base, in [0, 1].
    std::uint64_t seed = 0;
    std::vector<genomics::Interval> excluded;  ///< Gaps and the like; WindowPlanOptions::excluded.

    /// Reads and checks `seq_length`, `stride`, `max_shift`, `reverse_complement`, `strand_mode`
    /// (sense | both), `margin` and `mutate_rate` of `json`; faults go to its problems. The caller
    /// sets `seed` and `excluded`, reads its own keys and calls finish().
    [[nodiscard]] static WindowDatasetConfig from_json(JsonObject& json);
};

/// Training windows: the training segments of a split, tiled by a stride, each window shifted and
/// turned at random.
///
/// example(id) is a pure function of (configuration, seed, id.epoch, id.index). From the kPlacement
/// stream of CounterRandom it draws, in this order,
///
///  1. the start. A window that fits its segment moves by a uniform integer of [-max_shift,
///     max_shift] and is then clipped to the segment, so starts pile up at the segment's two ends:
///     else genes next to a held-out part would hardly ever be seen. A linear contig shorter than
///     the window gets any start that holds it whole, so N of random length on either side. A
///     whole ring has no ends to clip to. The one window of a short segment at a true contig end
///     (past which N is read) stays where it is.
///  2. the orientation, one bit, if random_reverse_complement.
///
/// From the kMutation stream comes one draw for each base in reading order: its upper 30 bits say
/// whether the base is replaced (rate rounded to 2^-30), its lower 2 bits by what (which may be the
/// same base). N is never replaced.
///
/// No window shares a base with a held-out part or its margin; so every gene in it is a training
/// gene. Scored are the genes of the training split that lie wholly in [margin, window - margin).
class WindowDataset final : public ExampleSource {
  public:
    /// `genes` are all genes of the targets (their order gives PlacedGene::gene_index); those of
    /// the training split of `plan` are used. `reference` is shared and read by many threads.
    /// `tracks`, if not null, fills WindowExample::tracks; its windows must be of window_bp.
    ///
    /// @throws UserError (kConfig) if no window fits the training part, if max_shift or the margin
    ///         is out of range, or if the plan's contigs are not the genome's.
    WindowDataset(std::shared_ptr<const genomics::ReferenceGenome> reference,
                  const std::vector<genomics::GeneSpan>& genes, const genomics::SplitPlan& plan,
                  const WindowDatasetConfig& config,
                  std::shared_ptr<const TrackWindows> tracks = nullptr);

    /// Training windows out of a list (Borzoi's sequences.bed) instead of a tiling: forward windows
    /// of window_bp. Each is read at its place moved by a uniform integer of [-max_shift,
    /// max_shift], wherever that is (N off the contig); as in Borzoi, its tracks stay where the list
    /// has them. The list decides what is held out; `plan` decides which genes train.
    ///
    /// @throws as above; UserError (kConfig) for an empty list; Error for another window length.
    WindowDataset(std::shared_ptr<const genomics::ReferenceGenome> reference,
                  const std::vector<genomics::GeneSpan>& genes, const genomics::SplitPlan& plan,
                  const WindowDatasetConfig& config, std::shared_ptr<const TrackWindows> tracks,
                  std::vector<genomics::Window> listed);

    [[nodiscard]] std::int64_t num_examples() const override;
    [[nodiscard]] WindowExample example(const SampleId& id) const override;

    /// The window of an example, without reading any base. On a circular contig its start lies in
    /// [0, contig length).
    [[nodiscard]] genomics::Window window(const SampleId& id) const;

    /// What was planned: the unshifted windows, and the segments that were too short.
    [[nodiscard]] const genomics::WindowPlan& plan() const { return plan_; }
    [[nodiscard]] const WindowDatasetConfig& config() const { return config_; }

  private:
    struct StartRange {
        std::int64_t low = 0;    // lowest start that stays in the segment
        std::int64_t high = 0;   // highest
        bool any_start = false;  // the whole range, not the surroundings of the tile
    };
    [[nodiscard]] StartRange start_range(std::size_t tile) const;
    [[nodiscard]] genomics::Window track_window(const WindowExample& example) const;
    void mutate(const SampleId& id, std::vector<std::uint8_t>& tokens) const;

    std::shared_ptr<const genomics::ReferenceGenome> reference_;
    WindowDatasetConfig config_;
    std::vector<genomics::Segment> segments_;
    genomics::WindowPlan plan_;
    GeneIndex index_;
    std::shared_ptr<const TrackWindows> tracks_;
    bool listed_ = false;  // plan_.windows are given, not tiled: segments_ is empty
};

}  // namespace flagen::data
