#include "flagen/genomics/bigwig_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "bigwig_format.h"
#include "bigwig_output.h"
#include "bigwig_tree.h"
#include "bigwig_zoom.h"
#include "flagen/error.h"

namespace flagen::genomics {
namespace {

using bigwig::store;

constexpr std::size_t kItemsPerSection = 1024;
constexpr std::uint64_t kValuesPerFirstStep = 8;

/// Items of one section, on one contig.
struct Section {
    std::uint32_t contig = 0;
    std::vector<std::uint32_t> starts;
    std::vector<std::uint32_t> ends;
    std::vector<float> values;

    [[nodiscard]] std::size_t size() const { return starts.size(); }
    [[nodiscard]] std::uint32_t span() const { return ends[0] - starts[0]; }
    [[nodiscard]] std::uint32_t step() const { return size() > 1 ? starts[1] - starts[0] : span(); }

    // The tightest kind that holds the items.
    [[nodiscard]] std::uint8_t kind() const {
        bool fixed = true;
        for (std::size_t i = 0; i < size(); ++i) {
            if (ends[i] - starts[i] != span()) {
                return bigwig::kBedGraph;
            }
            fixed = fixed && (i == 0 || starts[i] - starts[i - 1] == step());
        }
        return fixed ? bigwig::kFixedStep : bigwig::kVariableStep;
    }

    void render(std::vector<unsigned char>& bytes) const {
        const std::uint8_t type = kind();
        bytes.assign(bigwig::kSectionHeaderBytes + size() * bigwig::kBedGraphBytes, 0);
        store(bytes.data(), contig);
        store(bytes.data() + 4, starts.front());
        store(bytes.data() + 8, ends.back());
        store(bytes.data() + 12, type == bigwig::kFixedStep ? step() : std::uint32_t{0});
        store(bytes.data() + 16, type == bigwig::kBedGraph ? std::uint32_t{0} : span());
        store(bytes.data() + 20, type);
        store(bytes.data() + 22, static_cast<std::uint16_t>(size()));
        unsigned char* place = bytes.data() + bigwig::kSectionHeaderBytes;
        for (std::size_t i = 0; i < size(); ++i) {
            if (type != bigwig::kFixedStep) {
                store(place, starts[i]);
                place += sizeof(starts[i]);
            }
            if (type == bigwig::kBedGraph) {
                store(place, ends[i]);
                place += sizeof(ends[i]);
            }
            store(place, values[i]);
            place += sizeof(values[i]);
        }
        bytes.resize(static_cast<std::size_t>(place - bytes.data()));
    }

    void clear() {
        starts.clear();
        ends.clear();
        values.clear();
    }
};

/// Statistics over all covered bases.
struct Summary {
    std::uint64_t num_bases = 0;
    std::uint64_t num_items = 0;
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();
    double sum = 0.0;
    double sum_squares = 0.0;

    void add(std::uint32_t bases, double value) {
        num_bases += bases;
        ++num_items;
        min = std::min(min, value);
        max = std::max(max, value);
        sum += bases * value;
        sum_squares += bases * value * value;
    }

    void render(unsigned char* bytes) const {
        store(bytes, num_bases);
        store(bytes + 8, num_items == 0 ? 0.0 : min);
        store(bytes + 16, num_items == 0 ? 0.0 : max);
        store(bytes + 24, sum);
        store(bytes + 32, sum_squares);
    }
};

}  // namespace

struct BigWigWriter::State {
    State(const std::string& path, std::vector<Contig> contig_list, int max_levels)
        : contigs(std::move(contig_list)), max_zoom_levels(max_levels), output(path) {
        FLAGEN_CHECK(contigs.size() > 0, "no contig for: ", path);
        FLAGEN_CHECK(max_levels >= 0 && max_levels <= 32, "number of zoom levels: ", max_levels);
        for (std::size_t i = 0; i < contigs.size(); ++i) {
            longest_bp = std::max(longest_bp, contigs.at(i).length_bp);
        }
        FLAGEN_CHECK(longest_bp <= std::numeric_limits<std::uint32_t>::max(),
                     "a bigWig file holds contigs up to 2^32 - 1 bp: ", longest_bp);
        output.append(head(0, {}));
    }

    // Everything before the first data block. Its size is known from the start, its content last.
    [[nodiscard]] std::vector<unsigned char> head(
        std::uint64_t index_offset, const std::vector<BigWigZoomHeader>& zoom_headers) const {
        const std::size_t summary_offset =
            bigwig::kHeaderBytes +
            static_cast<std::size_t>(max_zoom_levels) * bigwig::kZoomHeaderBytes;
        const std::size_t tree_offset = summary_offset + bigwig::kSummaryBytes;
        const auto tree = render_bigwig_contig_tree(contigs, tree_offset);
        const std::size_t data_offset = tree_offset + tree.size();
        std::vector<unsigned char> bytes(data_offset + sizeof(std::uint64_t));
        store(bytes.data(), bigwig::kMagic);
        store(bytes.data() + 4, bigwig::kVersion);
        store(bytes.data() + 6, static_cast<std::uint16_t>(zoom_headers.size()));
        store(bytes.data() + 8, static_cast<std::uint64_t>(tree_offset));
        store(bytes.data() + 16, static_cast<std::uint64_t>(data_offset));
        store(bytes.data() + 24, index_offset);
        store(bytes.data() + 44, static_cast<std::uint64_t>(summary_offset));
        store(bytes.data() + 52, largest_block_bytes());
        unsigned char* place = bytes.data() + bigwig::kHeaderBytes;
        for (const BigWigZoomHeader& zoom : zoom_headers) {
            store(place, zoom.step_bp);
            store(place + 8, zoom.data_offset);
            store(place + 16, zoom.index_offset);
            place += bigwig::kZoomHeaderBytes;
        }
        summary.render(bytes.data() + summary_offset);
        std::copy(tree.begin(), tree.end(), bytes.data() + tree_offset);
        store(bytes.data() + data_offset, static_cast<std::uint64_t>(entries.size()));
        return bytes;
    }

    // Readers size their buffer by it.
    [[nodiscard]] static std::uint32_t largest_block_bytes() {
        constexpr std::size_t kData =
            bigwig::kSectionHeaderBytes + kItemsPerSection * bigwig::kBedGraphBytes;
        constexpr std::size_t kZoom = kItemsPerSection * bigwig::kZoomRecordBytes;
        return static_cast<std::uint32_t>(std::max(kData, kZoom));
    }

    void flush() {
        if (section.size() > 0) {
            section.render(bytes);
            entries.push_back(output.append_block(bytes, section.contig, section.starts.front(),
                                                  section.ends.back()));
            section.clear();
        }
    }

    ContigTable contigs;
    int max_zoom_levels;
    BigWigOutput output;
    std::int64_t longest_bp = 0;
    std::int64_t last_end_bp = 0;  // Of the bin added last, on section.contig.
    Section section;
    Summary summary;
    std::vector<BigWigIndexEntry> entries;
    std::vector<unsigned char> bytes;
    bool finished = false;
};

BigWigWriter::BigWigWriter(const std::string& path, std::vector<Contig> contigs,
                           const BigWigWriterOptions& options)
    : state_(std::make_unique<State>(path, std::move(contigs), options.max_zoom_levels)) {}
BigWigWriter::~BigWigWriter() = default;
BigWigWriter::BigWigWriter(BigWigWriter&&) noexcept = default;

void BigWigWriter::add(const std::string& contig, std::int64_t start_bp,
                       std::span<const float> values, std::int64_t bin_bp) {
    State& state = *state_;
    const auto index = state.contigs.find(contig);
    FLAGEN_CHECK(!state.finished, "bigWig file is finished: ", state.output.part_path());
    FLAGEN_CHECK(index, "contig is not among those of the bigWig file: ", contig);
    FLAGEN_CHECK(bin_bp > 0, "width of a bin: ", bin_bp);
    const auto number = static_cast<std::uint32_t>(*index);
    FLAGEN_CHECK(number >= state.section.contig, "contig comes after a later one: ", contig);
    if (number > state.section.contig) {
        state.flush();
        state.section.contig = number;
        state.last_end_bp = 0;
    }
    FLAGEN_CHECK(start_bp >= state.last_end_bp, "bin of ", contig, " begins at ", start_bp,
                 ", before the end of the one before it: ", state.last_end_bp);
    const std::int64_t length_bp = state.contigs.at(*index).length_bp;
    std::int64_t from = start_bp;
    for (const float value : values) {
        FLAGEN_CHECK(from < length_bp, "bin of ", contig, " begins at ", from,
                     ", past the contig's end: ", length_bp);
        FLAGEN_CHECK(!std::isinf(value), "infinite value at ", contig, ":", from);
        const std::int64_t to = bin_bp < length_bp - from ? from + bin_bp : length_bp;
        if (!std::isnan(value)) {
            if (state.section.size() == kItemsPerSection) {
                state.flush();
            }
            state.section.starts.push_back(static_cast<std::uint32_t>(from));
            state.section.ends.push_back(static_cast<std::uint32_t>(to));
            state.section.values.push_back(value);
            state.summary.add(static_cast<std::uint32_t>(to - from), value);
        }
        from = to;
        state.last_end_bp = to;
    }
}

void BigWigWriter::finish() {
    State& state = *state_;
    FLAGEN_CHECK(!state.finished, "bigWig file is finished: ", state.output.part_path());
    state.finished = true;
    state.flush();
    BigWigOutput& output = state.output;
    const std::uint64_t index_offset = output.offset();
    output.append(render_bigwig_index(state.entries, index_offset, kItemsPerSection));
    const std::uint64_t num_items = std::max<std::uint64_t>(state.summary.num_items, 1);
    const std::uint64_t mean_bp = (state.summary.num_bases + num_items / 2) / num_items;
    const auto zoom_headers = write_bigwig_zoom_levels(
        output, state.entries, std::max<std::uint64_t>(mean_bp, 1) * kValuesPerFirstStep,
        static_cast<std::uint64_t>(state.longest_bp), state.max_zoom_levels);
    std::vector<unsigned char> magic(sizeof(bigwig::kMagic));
    store(magic.data(), bigwig::kMagic);
    output.append(magic);
    output.patch(0, state.head(index_offset, zoom_headers));
    output.publish();
}

}  // namespace flagen::genomics
