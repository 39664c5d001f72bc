#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include "bigwig_pool.h"
#include "flagen/data/track_source.h"
#include "flagen/error.h"
#include "track_binning.h"

namespace flagen::data {
namespace {

constexpr std::int64_t kMinBinsForMedian = 8;
// Tracks that are binned before their values are written out: a write then fills whole lines of
// the cache.
constexpr std::size_t kTracksPerBlock = 16;

/// Names of the contigs of one bigWig, by contig of the genome.
struct ContigNames {
    std::vector<bool> present;
    std::unordered_map<std::size_t, std::string> renamed;  // only where names differ

    [[nodiscard]] const std::string& name(std::size_t index, const std::string& in_genome) const {
        const auto found = renamed.find(index);
        return found == renamed.end() ? in_genome : found->second;
    }
};

ContigNames match_contigs(const genomics::BigWigReader& reader,
                          const genomics::ContigTable& contigs,
                          const genomics::ContigAliases& aliases) {
    ContigNames names;
    names.present.resize(contigs.size());
    std::size_t matched = 0;
    for (const auto& contig : reader.contigs()) {
        const std::optional<std::size_t> index = aliases.find(contigs, contig.name);
        if (!index) {
            continue;
        }
        const genomics::Contig& in_genome = contigs.at(*index);
        FLAGEN_USER_CHECK(UserFault::kInputFile, contig.length_bp == in_genome.length_bp, "contig ",
                          contig.name, " has ", contig.length_bp, " bp in the bigWig, ",
                          in_genome.length_bp, " in the genome: ", reader.path(),
                          "; was it made from another assembly?");
        FLAGEN_USER_CHECK(UserFault::kInputFile, !names.present[*index],
                          "two contigs of the bigWig stand for ", in_genome.name, ": ",
                          reader.path());
        names.present[*index] = true;
        if (contig.name != in_genome.name) {
            names.renamed.emplace(*index, contig.name);
        }
        ++matched;
    }
    if (matched == 0) {
        const std::string first = reader.contigs().empty() ? "none" : reader.contigs()[0].name;
        const auto alias = contigs.likely_alias(first);
        throw_user_error(UserFault::kInputFile,
                         "no contig of the bigWig is in the genome: ", reader.path(),
                         ", its first is ", first,
                         alias ? "; is " + *alias + " meant? Give an alias table" : std::string{});
    }
    return names;
}

}  // namespace

struct BigWigTrackSource::State {
    State(const TrackTable& table, TrackTransform transform_, const genomics::ContigTable& contigs_,
          BigWigTrackOptions options_)
        : transform(std::move(transform_)),
          contigs(contigs_),
          options(std::move(options_)),
          pool(files_of(table), options.max_open_files) {
        for (const Track& track : table.tracks) {
            identifiers.push_back(track.identifier);
        }
    }

    static std::vector<std::string> files_of(const TrackTable& table) {
        std::vector<std::string> files;
        for (const Track& track : table.tracks) {
            files.push_back(track.file);
        }
        return files;
    }

    void check_files();
    void read_track(std::size_t track, std::size_t contig, std::int64_t start_bp,
                    TrackIntervals& intervals, std::span<double> bins, std::span<float> out);

    TrackTransform transform;
    genomics::ContigTable contigs;
    BigWigTrackOptions options;
    std::vector<std::string> identifiers;
    std::vector<ContigNames> names;  // by track
    std::vector<MissingContig> missing;
    BigWigPool pool;
    std::atomic<std::int64_t> nan_bases{0};
    std::atomic<std::int64_t> missing_contig_reads{0};
    std::atomic<std::int64_t> clipped_bases{0};
};

void BigWigTrackSource::State::check_files() {
    for (std::size_t track = 0; track < identifiers.size(); ++track) {
        names.push_back(match_contigs(*pool.borrow(track), contigs, options.aliases));
    }
    for (std::size_t index = 0; index < contigs.size(); ++index) {
        MissingContig entry{contigs.at(index).name, 0, {}};
        for (std::size_t track = 0; track < names.size(); ++track) {
            if (!names[track].present[index]) {
                entry.example = entry.num_tracks == 0 ? pool.file(track) : entry.example;
                ++entry.num_tracks;
            }
        }
        if (entry.num_tracks > 0) {
            missing.push_back(std::move(entry));
        }
    }
}

// Transformed bins of one track into `out`; `intervals` and `bins` are scratch.
void BigWigTrackSource::State::read_track(std::size_t track, std::size_t contig,
                                          std::int64_t start_bp, TrackIntervals& intervals,
                                          std::span<double> bins, std::span<float> out) {
    const genomics::Contig& where = contigs.at(contig);
    const auto num_bins = static_cast<std::int64_t>(bins.size());
    const std::int64_t begin = std::clamp<std::int64_t>(start_bp, 0, where.length_bp);
    const std::int64_t end =
        std::clamp<std::int64_t>(start_bp + num_bins * options.bin_bp, begin, where.length_bp);
    intervals.clear();
    if (!names[track].present[contig]) {
        missing_contig_reads.fetch_add(1, std::memory_order_relaxed);
    } else if (begin < end) {
        pool.borrow(track)->intervals(names[track].name(contig, where.name), begin, end, intervals);
        nan_bases.fetch_add(zero_non_finite(intervals), std::memory_order_relaxed);
        const auto masked = options.blacklist.overlapping(contig, begin, end);
        if (!masked.empty()) {
            const double median =
                num_bins < kMinBinsForMedian ? 0.0 : median_of_bases(intervals, end - begin);
            clipped_bases.fetch_add(clip_within(intervals, masked, median),
                                    std::memory_order_relaxed);
        }
    }
    std::fill(bins.begin(), bins.end(), 0.0);
    add_to_bins(intervals, start_bp, options.bin_bp, bins);
    const bool sums = transform.sums(track);
    const auto width = static_cast<double>(options.bin_bp);
    for (std::size_t bin = 0; bin < bins.size(); ++bin) {
        const auto pooled = static_cast<float>(sums ? bins[bin] : bins[bin] / width);
        out[bin] = transform.apply(track, pooled);
        if (std::isnan(out[bin])) {
            throw_user_error(UserFault::kInputFile, "bin has no value in transform \"",
                             transform.name(), "\": pooled ", pooled, " of track ",
                             identifiers[track], " at ", where.name, ":",
                             start_bp + static_cast<std::int64_t>(bin) * options.bin_bp, " (",
                             pool.file(track), "); is sum_stat right for negative values?");
        }
    }
}

BigWigTrackSource::BigWigTrackSource(const TrackTable& table, TrackTransform transform,
                                     const genomics::ContigTable& contigs,
                                     BigWigTrackOptions options) {
    FLAGEN_CHECK(options.bin_bp >= 1, "bin of ", options.bin_bp, " bp");
    FLAGEN_CHECK_EQ(transform.num_tracks(), table.num_tracks(), "transform of another table");
    state_ = std::make_unique<State>(table, std::move(transform), contigs, std::move(options));
    state_->check_files();
}

BigWigTrackSource::~BigWigTrackSource() = default;

std::int64_t BigWigTrackSource::num_tracks() const { return state_->transform.num_tracks(); }
std::int64_t BigWigTrackSource::bin_bp() const { return state_->options.bin_bp; }
const TrackTransform& BigWigTrackSource::transform() const { return state_->transform; }

const std::vector<MissingContig>& BigWigTrackSource::missing_contigs() const {
    return state_->missing;
}

TrackReadCounts BigWigTrackSource::counts() const {
    return {state_->nan_bases.load(), state_->missing_contig_reads.load(),
            state_->clipped_bases.load()};
}

void BigWigTrackSource::read(const std::string& contig, std::int64_t start_bp,
                             std::int64_t num_bins, std::span<float> out) const {
    const auto width = static_cast<std::size_t>(num_tracks());
    FLAGEN_CHECK(num_bins >= 0 && out.size() == static_cast<std::size_t>(num_bins) * width,
                 out.size(), " values for ", num_bins, " bins of ", width, " tracks");
    const std::optional<std::size_t> index = state_->contigs.find(contig);
    if (!index) {
        static_cast<void>(state_->contigs.require(contig, "measured tracks"));
    }
    const auto rows = static_cast<std::size_t>(num_bins);
    std::vector<double> bins(rows);
    std::vector<float> block(rows * std::min(width, kTracksPerBlock));
    TrackIntervals intervals;
    for (std::size_t first = 0; first < width; first += kTracksPerBlock) {
        const std::size_t count = std::min(kTracksPerBlock, width - first);
        for (std::size_t i = 0; i < count; ++i) {
            state_->read_track(first + i, *index, start_bp, intervals, bins,
                               std::span(block).subspan(i * rows, rows));
        }
        for (std::size_t row = 0; row < rows; ++row) {
            for (std::size_t i = 0; i < count; ++i) {
                out[row * width + first + i] = block[i * rows + row];
            }
        }
    }
}

std::shared_ptr<const BigWigTrackSource> open_track_source(const TrackTable& table,
                                                           const TrackTransform& transform,
                                                           std::int64_t bin_bp,
                                                           const genomics::ContigTable& contigs,
                                                           const genomics::ContigAliases& aliases,
                                                           const std::string& blacklist) {
    BigWigTrackOptions options;
    options.bin_bp = bin_bp;
    options.aliases = aliases;
    if (!blacklist.empty()) {
        options.blacklist = GenomeMask::load(blacklist, contigs, aliases, kBlacklistPaddingBp);
    }
    return std::make_shared<const BigWigTrackSource>(table, transform, contigs, std::move(options));
}

}  // namespace flagen::data
