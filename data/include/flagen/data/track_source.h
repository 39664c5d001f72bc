#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "flagen/data/genome_mask.h"
#include "flagen/data/track_table.h"
#include "flagen/data/track_transform.h"
#include "flagen/genomics/contig_table.h"

namespace flagen::data {

/// What readers met since they were made.
struct TrackReadCounts {
    std::int64_t nan_bases = 0;             ///< Bases whose value is NaN or infinite, read as 0.
    std::int64_t missing_contig_reads = 0;  ///< Reads of a contig that a track's file lacks: 0.
    std::int64_t clipped_bases = 0;         ///< Blacklisted bases that were clipped.

    [[nodiscard]] bool operator==(const TrackReadCounts&) const = default;
};

/// Targets by interval: bins of all tracks, on the scale that is trained on.
class TrackSource {
  public:
    virtual ~TrackSource() = default;

    [[nodiscard]] virtual std::int64_t num_tracks() const = 0;
    [[nodiscard]] virtual std::int64_t bin_bp() const = 0;

    /// Fills `out`, row-major [num_bins, T], with bins [start_bp + i * bin_bp, + bin_bp) of the
    /// forward strand. Bases off the contig count as 0. Any number of threads may call it.
    ///
    /// @throws UserError (kInputFile) if the contig is unknown or a file is damaged; flagen::Error
    ///         unless `out` holds num_bins * T values.
    virtual void read(const std::string& contig, std::int64_t start_bp, std::int64_t num_bins,
                      std::span<float> out) const = 0;

    /// Sums over all threads.
    [[nodiscard]] virtual TrackReadCounts counts() const { return {}; }

  protected:
    TrackSource() = default;
    TrackSource(const TrackSource&) = default;
    TrackSource(TrackSource&&) = default;
    TrackSource& operator=(const TrackSource&) = default;
    TrackSource& operator=(TrackSource&&) = default;
};

/// How BigWigTrackSource reads.
struct BigWigTrackOptions {
    std::int64_t bin_bp = 32;
    /// Regions whose values are clipped, as GenomeMask::load(path, .., kBlacklistPaddingBp) gives.
    GenomeMask blacklist = {};
    /// Names in the bigWigs -> names in the FASTA.
    genomics::ContigAliases aliases = {};
    /// Files kept open between reads; 0 is half of what the process may open.
    std::int64_t max_open_files = 0;
};

inline constexpr std::int64_t kBlacklistPaddingBp = 20;  ///< hound_data_read's widening.

/// A contig of the genome that some bigWigs lack.
struct MissingContig {
    std::string contig;
    std::int64_t num_tracks = 0;  ///< Tracks without it: their targets are 0 there.
    std::string example;          ///< File of the first of them.
};

/// bigWig files, binned as they are read.
///
/// A bin's pooled value is the sum (or the mean over all bin_bp bases) of value times bases, in
/// fp64 and rounded to fp32, then TrackTransform::apply(). No step is done base by base.
///
/// | met in a file                             | read as                                      |
/// |-------------------------------------------|----------------------------------------------|
/// | no data                                   | 0                                            |
/// | NaN, infinite                             | 0, counted by base                           |
/// | contig of the genome that the file lacks  | 0, counted; missing_contigs() tells at once  |
/// | blacklisted bases                         | clipped to +-median of the bases read        |
///
/// That median is over the bases of [start_bp, end) that lie on the contig, those without data as
/// 0; it is 0 for fewer than 8 bins. (hound_data_read takes 0 as soon as one base has no data.)
class BigWigTrackSource final : public TrackSource {
  public:
    /// Opens every file once and checks it.
    ///
    /// @throws UserError (kInputFile) if a file cannot be read; if it shares no contig with the
    ///         genome (names are not guessed), or a contig has another length there.
    BigWigTrackSource(const TrackTable& table, TrackTransform transform,
                      const genomics::ContigTable& contigs, BigWigTrackOptions options = {});
    ~BigWigTrackSource() override;
    BigWigTrackSource(const BigWigTrackSource&) = delete;
    BigWigTrackSource& operator=(const BigWigTrackSource&) = delete;

    [[nodiscard]] std::int64_t num_tracks() const override;
    [[nodiscard]] std::int64_t bin_bp() const override;

    /// @throws UserError (kInputFile) as TrackSource says, and if the transform of a bin is no
    ///         number, as the root of a negative value: names track, file and place.
    void read(const std::string& contig, std::int64_t start_bp, std::int64_t num_bins,
              std::span<float> out) const override;

    [[nodiscard]] TrackReadCounts counts() const override;

    /// Contigs of the genome that any file lacks, in the order of the genome: to be told once.
    [[nodiscard]] const std::vector<MissingContig>& missing_contigs() const;
    [[nodiscard]] const TrackTransform& transform() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A BigWigTrackSource with the defaults; `blacklist` is the path of a BED file, or empty.
/// @throws UserError as the constructor and GenomeMask::load() do.
[[nodiscard]] std::shared_ptr<const BigWigTrackSource> open_track_source(
    const TrackTable& table, const TrackTransform& transform, std::int64_t bin_bp,
    const genomics::ContigTable& contigs, const genomics::ContigAliases& aliases = {},
    const std::string& blacklist = {});

}  // namespace flagen::data
