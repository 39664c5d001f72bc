#include "flagen/data/window_dataset.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "flagen/data/counter_random.h"
#include "flagen/error.h"
#include "flagen/genomics/tokenizer.h"

namespace flagen::data {
namespace {

using genomics::Segment;
using genomics::Window;

constexpr int kMutationBits = 30;

std::vector<std::int64_t> train_rows(const std::vector<genomics::GeneSpan>& genes,
                                     const genomics::SplitPlan& plan) {
    return rows_of_split(splits_of_genes(genes, plan), genomics::Split::kTrain);
}

void check_config(const WindowDatasetConfig& config) {
    const auto check = [](bool good, const auto&... parts) {
        if (!good) {
            throw_user_error(UserFault::kConfig, parts...);
        }
    };
    check(config.max_shift_bp >= 0, "max_shift is negative: ", config.max_shift_bp);
    check(config.margin_bp >= 0 && 2 * config.margin_bp < config.window_bp,
          "margin leaves nothing of the window: ", config.margin_bp, " bp at each end of ",
          config.window_bp);
    check(config.mutate_rate >= 0.0 && config.mutate_rate <= 1.0,
          "mutate_rate is not within 0 and 1: ", config.mutate_rate);
}

}  // namespace

WindowDatasetConfig WindowDatasetConfig::from_json(JsonObject& json) {
    WindowDatasetConfig config;
    config.window_bp = json.get_int("seq_length", config.window_bp, 1);
    config.stride_bp = json.get_int("stride", std::max<std::int64_t>(config.window_bp / 4, 1), 1);
    config.max_shift_bp = json.get_int("max_shift", config.stride_bp / 2, 0);
    config.random_reverse_complement = json.get_bool("reverse_complement", true);
    config.strand_mode = json.get_choice("strand_mode", "sense", {"sense", "both"}) == "both"
                             ? StrandMode::kBoth
                             : StrandMode::kSense;
    config.margin_bp =
        json.get_int("margin", 0, 0, std::max<std::int64_t>((config.window_bp - 1) / 2, 0));
    config.mutate_rate = json.get_number("mutate_rate", 0.0, 0.0, 1.0);
    return config;
}

WindowDataset::WindowDataset(std::shared_ptr<const genomics::ReferenceGenome> reference,
                             const std::vector<genomics::GeneSpan>& genes,
                             const genomics::SplitPlan& plan, const WindowDatasetConfig& config,
                             std::shared_ptr<const TrackWindows> tracks)
    : reference_(std::move(reference)),
      config_(config),
      segments_(plan.train_segments()),
      index_(genes, train_rows(genes, plan), plan.contigs()),
      tracks_(std::move(tracks)) {
    if (config_.max_shift_bp == -1) {
        config_.max_shift_bp = config_.stride_bp / 2;
    }
    check_config(config_);
    for (std::size_t i = 0; i < plan.contigs().size(); ++i) {
        const genomics::Contig& planned = plan.contigs().at(i);
        const auto found = reference_->contigs().find(planned.name);
        FLAGEN_CHECK(found.has_value() &&
                         reference_->contigs().at(*found).length_bp == planned.length_bp &&
                         reference_->contigs().at(*found).circular == planned.circular,
                     "the split was planned for another genome: contig ", planned.name);
    }
    genomics::WindowPlanOptions options;
    options.window_bp = config_.window_bp;
    options.stride_bp = config_.stride_bp;
    options.excluded = config_.excluded;
    plan_ = genomics::plan_tiled_windows(plan.contigs(), segments_, options);
    FLAGEN_USER_CHECK(UserFault::kConfig, !plan_.windows.empty(), "no training window of ",
                      config_.window_bp, " bp fits the training part of the genome (",
                      segments_.size(), " segments, ", plan_.num_segments_too_short,
                      " of them too short, ", plan_.num_dropped_excluded,
                      " windows excluded); choose a smaller seq_length or hold out less");
}

WindowDataset::WindowDataset(std::shared_ptr<const genomics::ReferenceGenome> reference,
                             const std::vector<genomics::GeneSpan>& genes,
                             const genomics::SplitPlan& plan, const WindowDatasetConfig& config,
                             std::shared_ptr<const TrackWindows> tracks,
                             std::vector<genomics::Window> listed)
    : reference_(std::move(reference)),
      config_(config),
      index_(genes, train_rows(genes, plan), plan.contigs()),
      tracks_(std::move(tracks)),
      listed_(true) {
    check_config(config_);
    FLAGEN_USER_CHECK(UserFault::kConfig, !listed.empty(), "the list of windows has none to train on");
    for (const Window& window : listed) {
        FLAGEN_CHECK(window.length_bp == config_.window_bp &&
                         window.strand == genomics::Strand::kForward,
                     "a listed window is no forward window of ", config_.window_bp, " bp: ",
                     genomics::window_name(window));
    }
    plan_.windows = std::move(listed);
}

std::int64_t WindowDataset::num_examples() const {
    return static_cast<std::int64_t>(plan_.windows.size());
}

WindowDataset::StartRange WindowDataset::start_range(std::size_t tile) const {
    const Window& window = plan_.windows[tile];
    if (listed_) {
        return {window.start_bp - config_.max_shift_bp, window.start_bp + config_.max_shift_bp,
                false};
    }
    const Segment& segment = segments_[plan_.segment_of_window[tile]];
    const std::int64_t last_start = segment.end_bp() - window.length_bp;
    if (segment.whole_ring) {
        return {window.start_bp - config_.max_shift_bp, window.start_bp + config_.max_shift_bp,
                false};
    }
    if (last_start >= segment.start_bp) {
        return {segment.start_bp, last_start, false};
    }
    if (segment.at_contig_start && segment.at_contig_end) {
        return {last_start, segment.start_bp, true};
    }
    return {window.start_bp, window.start_bp, false};
}

Window WindowDataset::window(const SampleId& id) const {
    FLAGEN_CHECK(id.index >= 0 && id.index < num_examples(), "example ", id.index, " of ",
                 num_examples());
    const auto tile = static_cast<std::size_t>(id.index);
    Window window = plan_.windows[tile];
    const StartRange range = start_range(tile);
    CounterRandom random(config_.seed, RandomPurpose::kPlacement, id.epoch, id.index);
    if (range.any_start) {
        window.start_bp = random.between(range.low, range.high);
    } else {
        const std::int64_t shift = random.between(-config_.max_shift_bp, config_.max_shift_bp);
        window.start_bp = std::clamp(window.start_bp + shift, range.low, range.high);
    }
    const genomics::ContigTable& contigs = reference_->contigs();
    const genomics::Contig& contig = contigs.at(contigs.find(window.contig).value());
    if (contig.circular) {
        window.start_bp =
            (window.start_bp % contig.length_bp + contig.length_bp) % contig.length_bp;
    }
    if (config_.random_reverse_complement && (random.next_u32() & 1U) != 0) {
        window.strand = genomics::Strand::kReverse;
    }
    return window;
}

void WindowDataset::mutate(const SampleId& id, std::vector<std::uint8_t>& tokens) const {
    const auto threshold =
        static_cast<std::uint32_t>(std::llround(std::ldexp(config_.mutate_rate, kMutationBits)));
    CounterRandom random(config_.seed, RandomPurpose::kMutation, id.epoch, id.index);
    for (std::uint8_t& token : tokens) {
        const std::uint32_t draw = random.next_u32();
        if ((draw >> 2) < threshold && token != genomics::kBaseN) {
            token = static_cast<std::uint8_t>(draw & 3U);
        }
    }
}

Window WindowDataset::track_window(const WindowExample& example) const {
    Window window = example.window;
    if (listed_) {
        window.start_bp = plan_.windows[static_cast<std::size_t>(example.id.index)].start_bp;
    }
    return window;
}

WindowExample WindowDataset::example(const SampleId& id) const {
    WindowExample example;
    example.id = id;
    example.window = window(id);
    read_tokens(*reference_, example.window, example);
    if (config_.mutate_rate > 0.0) {
        mutate(id, example.tokens);
    }
    example.genes = index_.genes_in(example.window, config_.margin_bp, config_.strand_mode);
    if (tracks_) {
        example.tracks = tracks_->read(track_window(example));
        example.num_tracks = tracks_->num_tracks();
    }
    return example;
}

}  // namespace flagen::data
