#include "flagen/data/window_list.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "flagen/error.h"
#include "flagen/genomics/bed_reader.h"
#include "flagen/json_object.h"

namespace flagen::data {
namespace {

constexpr std::int64_t kMaxLengthBp = std::int64_t{1} << 40;

}  // namespace

void WindowGeometry::check() const {
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      seq_length_bp >= 1 && seq_length_bp <= kMaxLengthBp && crop_bp >= 0 &&
                          bin_bp >= 1 && bin_bp <= kMaxLengthBp,
                      "lengths of a window are out of range: input ", seq_length_bp, " bp, crop ",
                      crop_bp, " bp, bins of ", bin_bp, " bp");
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      crop_bp < seq_length_bp && output_bp() >= bin_bp && output_bp() % bin_bp == 0,
                      "input of ", seq_length_bp, " bp less a crop of ", crop_bp,
                      " bp at each end is not a whole number of bins of ", bin_bp, " bp");
}

std::vector<std::pair<std::string, std::int64_t>> WindowList::label_counts() const {
    std::vector<std::pair<std::string, std::int64_t>> counts;
    for (const ListedWindow& window : windows) {
        const auto found = std::find_if(counts.begin(), counts.end(), [&](const auto& entry) {
            return entry.first == window.label;
        });
        if (found == counts.end()) {
            counts.emplace_back(window.label, 1);
        } else {
            ++found->second;
        }
    }
    return counts;
}

std::vector<ListedWindow> WindowList::with_label(const std::string& label) const {
    std::vector<ListedWindow> result;
    std::copy_if(windows.begin(), windows.end(), std::back_inserter(result),
                 [&](const ListedWindow& window) { return window.label == label; });
    return result;
}

std::string bed_text(const std::vector<ListedWindow>& rows) {
    std::string text;
    for (const ListedWindow& window : rows) {
        text.append(window.contig).append("\t");
        text.append(std::to_string(window.start_bp)).append("\t");
        text.append(std::to_string(window.end_bp)).append("\t");
        text.append(window.label).append("\n");
    }
    return text;
}

std::string WindowList::statistics_text(std::int64_t num_targets) const {
    JsonObject json;
    json.set("num_targets", num_targets);
    json.set("seq_length", geometry.seq_length_bp);
    json.set("seq_1hot", true);
    json.set("pool_width", geometry.bin_bp);
    json.set("crop_bp", geometry.crop_bp);
    json.set("target_length", geometry.num_bins());
    for (const auto& [label, count] : label_counts()) {
        json.set(label + "_seqs", count);
    }
    return json.dump(4) + "\n";
}

WindowList WindowList::read_bed(const std::string& path, const WindowGeometry& geometry,
                                const genomics::ContigTable& contigs,
                                const genomics::ContigAliases& aliases) {
    geometry.check();
    WindowList list;
    list.geometry = geometry;
    for (const genomics::BedRecord& record : genomics::read_bed(path)) {
        const std::string where = path + ":" + std::to_string(record.line_number);
        const auto index = aliases.find(contigs, record.interval.contig);
        const genomics::Contig& contig =
            index ? contigs.at(*index) : contigs.require(record.interval.contig, where);
        FLAGEN_USER_CHECK(UserFault::kInputFile, record.interval.end_bp <= contig.length_bp,
                          "window reaches past its contig: ", contig.name, ":",
                          record.interval.start_bp, "-", record.interval.end_bp, ", it has ",
                          contig.length_bp, " bp (", where, ")");
        FLAGEN_USER_CHECK(UserFault::kInputFile,
                          record.interval.length_bp() == geometry.output_bp(), "window is ",
                          record.interval.length_bp(), " bp long, the output of a model is ",
                          geometry.output_bp(), " bp: input ", geometry.seq_length_bp,
                          " bp less a crop of ", geometry.crop_bp, " bp at each end (", where, ")");
        list.windows.push_back({contig.name, record.interval.start_bp, record.interval.end_bp,
                                record.name.empty() ? "train" : record.name});
    }
    return list;
}

WindowList WindowList::read_folder(const std::string& folder, const genomics::ContigTable& contigs,
                                   const genomics::ContigAliases& aliases) {
    const std::filesystem::path base(folder);
    const std::string statistics = (base / "statistics.json").string();
    // Other programs' keys are theirs, so unknown ones are not refused.
    JsonObject json = JsonObject::read_file(statistics, UserFault::kInputFile);
    WindowGeometry geometry;
    geometry.seq_length_bp = json.require_int("seq_length", 1, kMaxLengthBp);
    geometry.bin_bp = json.require_int("pool_width", 1, kMaxLengthBp);
    geometry.crop_bp = json.get_int("crop_bp", 0, 0, kMaxLengthBp);
    const std::int64_t target_length = json.require_int("target_length", 1, kMaxLengthBp);
    json.problems().throw_if_any(statistics, UserFault::kInputFile);
    const bool fits = geometry.crop_bp < geometry.seq_length_bp &&
                      geometry.output_bp() == target_length * geometry.bin_bp;
    FLAGEN_USER_CHECK(
        UserFault::kInputFile, fits, "target_length is ", target_length,
        ", but (seq_length - 2 * crop_bp) / pool_width is another number: ", statistics);
    WindowList list = read_bed((base / "sequences.bed").string(), geometry, contigs, aliases);
    for (const auto& [label, count] : list.label_counts()) {
        const std::int64_t stated = json.get_int(label + "_seqs", count);
        FLAGEN_USER_CHECK(UserFault::kInputFile, stated == count, "sequences.bed has ", count,
                          " windows of ", label, ", statistics.json says ", stated, ": ", folder);
    }
    json.problems().throw_if_any(statistics, UserFault::kInputFile);
    return list;
}

}  // namespace flagen::data
