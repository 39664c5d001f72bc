#include "bigwig_zoom.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "bigwig_file.h"
#include "bigwig_format.h"
#include "bigwig_section.h"
#include "flagen/error.h"

namespace flagen::genomics {
namespace {

static_assert(sizeof(BigWigZoomRecord) == bigwig::kZoomRecordBytes);

constexpr std::size_t kRecordsPerBlock = 1024;
constexpr std::uint64_t kStepFactor = 4;

/// A record whose sums are still growing.
struct Sums {
    BigWigZoomRecord record;
    double sum = 0.0;
    double sum_squares = 0.0;
};

/// Writes one level: joins what falls into the same step, in ascending order, into one record.
class LevelWriter {
  public:
    LevelWriter(BigWigOutput& output, std::uint32_t step_bp)
        : output_(output), header_{step_bp, output.offset(), 0} {
        const std::vector<unsigned char> count(4);  // Number of records, known at the end.
        output_.append(count);
    }

    // Adds one interval of one value, cut where a step ends.
    void add(std::uint32_t contig, const BigWigInterval& interval) {
        const double value = interval.value;
        const std::int64_t step = header_.step_bp;
        for (std::int64_t from = interval.start_bp; from < interval.end_bp;) {
            const std::int64_t to = std::min((from / step + 1) * step, interval.end_bp);
            const auto bases = static_cast<double>(to - from);
            add({{contig, static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to),
                  static_cast<std::uint32_t>(to - from), interval.value, interval.value},
                 bases * value,
                 bases * value * value});
            from = to;
        }
    }

    // Adds a part that lies in one step.
    void add(const Sums& part) {
        const BigWigZoomRecord& next = part.record;
        BigWigZoomRecord& now = current_.record;
        if (now.num_bases == 0 || now.contig != next.contig ||
            now.start / header_.step_bp != next.start / header_.step_bp) {
            end_record();
            current_ = part;
            return;
        }
        now.end = next.end;
        now.num_bases += next.num_bases;
        now.min = std::min(now.min, next.min);
        now.max = std::max(now.max, next.max);
        current_.sum += part.sum;
        current_.sum_squares += part.sum_squares;
    }

    // Writes what is left and the level's index.
    [[nodiscard]] BigWigZoomHeader finish() {
        end_record();
        end_block();
        header_.index_offset = output_.offset();
        output_.append(render_bigwig_index(entries_, output_.offset(),
                                           static_cast<std::uint32_t>(kRecordsPerBlock)));
        std::vector<unsigned char> count(4);
        bigwig::store(count.data(), static_cast<std::uint32_t>(num_records_));
        output_.patch(header_.data_offset, std::move(count));
        return header_;
    }

    [[nodiscard]] const std::vector<BigWigIndexEntry>& entries() const { return entries_; }
    [[nodiscard]] std::uint64_t num_records() const { return num_records_; }

  private:
    void end_record() {
        BigWigZoomRecord& record = current_.record;
        if (record.num_bases == 0) {
            return;
        }
        if (records_.size() == kRecordsPerBlock ||
            (!records_.empty() && records_.back().contig != record.contig)) {
            end_block();
        }
        record.sum = static_cast<float>(current_.sum);
        record.sum_squares = static_cast<float>(current_.sum_squares);
        records_.push_back(record);
        ++num_records_;
        current_ = {};
    }

    void end_block() {
        if (records_.empty()) {
            return;
        }
        const auto* bytes = reinterpret_cast<const unsigned char*>(records_.data());
        entries_.push_back(output_.append_block({bytes, records_.size() * sizeof(BigWigZoomRecord)},
                                                records_.front().contig, records_.front().start,
                                                records_.back().end));
        records_.clear();
    }

    BigWigOutput& output_;
    BigWigZoomHeader header_;
    Sums current_;
    std::vector<BigWigZoomRecord> records_;
    std::vector<BigWigIndexEntry> entries_;
    std::uint64_t num_records_ = 0;
};

// Feeds the values of all data blocks to the first level.
void add_values(const BigWigOutput& output, const std::vector<BigWigIndexEntry>& entries,
                LevelWriter& level) {
    const BigWigFile file(output.part_path());
    BigWigSections sections(true);
    std::vector<BigWigInterval> items;
    for (const BigWigIndexEntry& entry : entries) {
        items.clear();
        std::int64_t previous_end = 0;
        sections.read(file, {entry.offset, entry.size_bytes, entry.start, entry.end}, entry.contig,
                      0, std::numeric_limits<std::uint32_t>::max(), previous_end, items);
        for (const BigWigInterval& item : items) {
            level.add(entry.contig, item);
        }
    }
}

// Feeds the records of a finished level to the next.
void add_records(const BigWigOutput& output, const std::vector<BigWigIndexEntry>& entries,
                 LevelWriter& level) {
    const BigWigFile file(output.part_path());
    std::vector<unsigned char> stored;
    std::vector<BigWigZoomRecord> records(kRecordsPerBlock);
    for (const BigWigIndexEntry& entry : entries) {
        file.read(entry.offset, entry.size_bytes, "zoom block", stored);
        uLongf size = kRecordsPerBlock * sizeof(BigWigZoomRecord);
        const int status = uncompress(reinterpret_cast<unsigned char*>(records.data()), &size,
                                      stored.data(), stored.size());
        FLAGEN_CHECK_EQ(status, Z_OK, "cannot read back a zoom block: ", output.part_path());
        for (std::size_t i = 0; i < size / sizeof(BigWigZoomRecord); ++i) {
            level.add({records[i], records[i].sum, records[i].sum_squares});
        }
    }
}

}  // namespace

std::vector<BigWigZoomHeader> write_bigwig_zoom_levels(BigWigOutput& output,
                                                       const std::vector<BigWigIndexEntry>& entries,
                                                       std::uint64_t first_step_bp,
                                                       std::uint64_t longest_bp, int max_levels) {
    std::vector<BigWigZoomHeader> headers;
    std::vector<BigWigIndexEntry> finer = entries;
    std::uint64_t num_finer = std::numeric_limits<std::uint64_t>::max();
    // Browsers want one level at least, however short the contigs are.
    std::uint64_t step = std::min(first_step_bp, longest_bp);
    for (; !entries.empty() && static_cast<int>(headers.size()) < max_levels && step <= longest_bp;
         step *= kStepFactor) {
        LevelWriter level(output, static_cast<std::uint32_t>(step));
        if (headers.empty()) {
            add_values(output, finer, level);
        } else {
            add_records(output, finer, level);
        }
        headers.push_back(level.finish());
        finer = level.entries();
        if (level.num_records() == num_finer) {
            break;  // Coarser steps join nothing any more.
        }
        num_finer = level.num_records();
    }
    return headers;
}

}  // namespace flagen::genomics
