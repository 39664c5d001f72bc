#include "flagen/data/track_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "flagen/error.h"
#include "flagen/sha256.h"
#include "track_table_rows.h"

namespace flagen::data {
namespace {

namespace fs = std::filesystem;

constexpr float kNoLimit = std::numeric_limits<float>::infinity();
constexpr std::int64_t kMaxIndex = 1 << 24;  // no head comes near
constexpr const char* kHeader =
    "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription\tgroup\n";

struct Columns {
    explicit Columns(const TabSeparatedRows& rows)
        : identifier(rows.require_column("identifier")),
          file(rows.require_column("file")),
          sum_stat(rows.require_column("sum_stat")),
          clip(rows.column("clip")),
          clip_soft(rows.column("clip_soft")),
          scale(rows.column("scale")),
          strand_pair(rows.column("strand_pair")),
          description(rows.column("description")),
          group(rows.column("group")) {}
    std::int64_t identifier, file, sum_stat, clip, clip_soft, scale, strand_pair, description,
        group;

    /// Names of the columns that are none of these; the first is the index, whatever its name.
    [[nodiscard]] std::vector<std::string> others(const TabSeparatedRows& rows) const {
        std::vector<std::string> names;
        for (std::size_t i = 1; i < rows.header().size(); ++i) {
            const auto place = static_cast<std::int64_t>(i);
            const auto known = {identifier, file,        sum_stat,    clip, clip_soft,
                                scale,      strand_pair, description, group};
            if (std::find(known.begin(), known.end(), place) == known.end()) {
                names.emplace_back(rows.header()[i]);
            }
        }
        return names;
    }
};

std::string checked_text(const TabSeparatedRows& rows, std::int64_t column, const char* name) {
    const std::string_view text = rows.field(column);
    if (text.empty()) {
        rows.fail(name, " is empty");
    }
    return std::string(text);
}

float positive_number(const TabSeparatedRows& rows, std::int64_t column, float fallback) {
    if (rows.field(column).empty()) {
        return fallback;
    }
    const double value = rows.number(column);
    const auto narrow = static_cast<float>(value);
    if (!(narrow > 0.0F) || !std::isfinite(narrow)) {
        rows.fail(rows.header()[static_cast<std::size_t>(column)],
                  " is not a finite number above 0: ", rows.field(column));
    }
    return narrow;
}

std::string checked_statistic(const TabSeparatedRows& rows, std::int64_t column) {
    const std::string name = checked_text(rows, column, "sum_stat");
    for (const char* known : {"sum", "mean", "sum_sqrt", "mean_sqrt", "sum_exp75"}) {
        if (name == known) {
            return name;
        }
    }
    if (name == "avg" || name == "avg_sqrt") {
        return "mean" + name.substr(3);
    }
    rows.fail("sum_stat is not one of sum, mean, sum_sqrt, mean_sqrt, sum_exp75: \"", name, "\"");
}

std::string resolved_file(const std::string& file, const std::string& base_folder) {
    // Addresses of files elsewhere are not resolved, and not fetched either: opening says so.
    if (file.find("://") != std::string::npos || fs::path(file).is_absolute()) {
        return file;
    }
    return (fs::path(base_folder) / file).lexically_normal().string();
}

Track read_track(const TabSeparatedRows& rows, const Columns& columns,
                 const std::string& base_folder) {
    Track track;
    track.index = rows.whole_number(0);
    if (track.index < 0 || track.index > kMaxIndex) {
        rows.fail("index is not between 0 and ", kMaxIndex, ": ", track.index);
    }
    track.identifier = checked_text(rows, columns.identifier, "identifier");
    track.file = resolved_file(checked_text(rows, columns.file, "file"), base_folder);
    track.sum_stat = checked_statistic(rows, columns.sum_stat);
    track.clip = positive_number(rows, columns.clip, kNoLimit);
    track.clip_soft = positive_number(rows, columns.clip_soft, kNoLimit);
    track.scale = positive_number(rows, columns.scale, 1.0F);
    track.strand_pair = rows.field(columns.strand_pair).empty()
                            ? track.index
                            : rows.whole_number(columns.strand_pair);
    track.description = rows.field(columns.description).empty()
                            ? track.identifier
                            : std::string(rows.field(columns.description));
    track.group = rows.field(columns.group).empty()
                      ? track.description.substr(0, track.description.find(':'))
                      : std::string(rows.field(columns.group));
    return track;
}

/// Replaces strand_pair by rows and checks that pairs are pairs. `lines` are the rows' lines.
std::vector<std::int64_t> paired_rows(const TabSeparatedRows& rows,
                                      const std::vector<Track>& tracks,
                                      const std::vector<std::int64_t>& lines) {
    std::unordered_map<std::int64_t, std::size_t> row_of_index;
    for (std::size_t row = 0; row < tracks.size(); ++row) {
        row_of_index.emplace(tracks[row].index, row);
    }
    std::vector<std::int64_t> pairs;
    std::int64_t last_partner = -1;
    for (std::size_t row = 0; row < tracks.size(); ++row) {
        const Track& track = tracks[row];
        const auto found = row_of_index.find(track.strand_pair);
        if (found == row_of_index.end()) {
            rows.fail_at(lines[row], "strand_pair of track ", track.index,
                         " is not in the table: ", track.strand_pair,
                         "; a subset must hold both strands");
        }
        const Track& partner = tracks[found->second];
        pairs.push_back(static_cast<std::int64_t>(found->second));
        if (found->second == row) {
            continue;
        }
        if (partner.strand_pair != track.index) {
            rows.fail_at(lines[row], "strand_pair of track ", track.index, " is ", partner.index,
                         ", whose own strand_pair is ", partner.strand_pair);
        }
        const char strand = track.identifier.back();
        if ((strand != '+' && strand != '-') ||
            partner.identifier.back() != (strand == '+' ? '-' : '+')) {
            rows.fail_at(lines[row],
                         "identifiers of a stranded pair must end in + and -: ", track.identifier,
                         " and ", partner.identifier);
        }
        if (strand == '-') {
            if (pairs.back() < last_partner) {
                rows.fail_at(lines[row],
                             "'-' tracks stand in another order than their '+' partners: ",
                             track.identifier);
            }
            last_partner = pairs.back();
        }
    }
    return pairs;
}

void append_number(std::string& text, float value) {
    text += '\t';
    if (std::isfinite(value)) {
        char digits[32];
        const auto result = std::to_chars(digits, digits + sizeof(digits), value);
        text.append(digits, result.ptr);
    }
}

std::string table_text(const std::vector<Track>& tracks, bool with_files) {
    std::string text = kHeader;
    for (const Track& track : tracks) {
        text += std::to_string(track.index);
        text.append("\t").append(track.identifier).append("\t");
        if (with_files) {
            text += track.file.find("://") != std::string::npos
                        ? track.file
                        : fs::absolute(track.file).lexically_normal().string();
        }
        append_number(text, track.clip);
        append_number(text, track.clip_soft);
        append_number(text, track.scale);
        text.append("\t").append(track.sum_stat).append("\t");
        text.append(std::to_string(track.strand_pair)).append("\t");
        text.append(track.description).append("\t").append(track.group).append("\n");
    }
    return text;
}

}  // namespace

TrackTable TrackTable::load(const std::string& path, const TrackTableOptions& options) {
    TabSeparatedRows rows(path);
    const Columns columns(rows);
    const std::string base_folder =
        options.base_folder.empty() ? fs::path(path).parent_path().string() : options.base_folder;
    TrackTable table;
    table.ignored_columns = columns.others(rows);
    std::vector<std::int64_t> lines;
    std::unordered_map<std::int64_t, std::int64_t> line_of_index;
    while (rows.next()) {
        Track track = read_track(rows, columns, base_folder);
        const auto index = line_of_index.emplace(track.index, rows.line_number());
        if (!index.second) {
            rows.fail("index stands twice: ", track.index, ", first in line ", index.first->second);
        }
        table.tracks.push_back(std::move(track));
        lines.push_back(rows.line_number());
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !table.tracks.empty(), "table holds no track: ", path);
    table.strand_pair_rows = paired_rows(rows, table.tracks, lines);
    return table;
}

char TrackTable::strand(std::size_t row) const {
    const bool stranded = strand_pair_rows.at(row) != static_cast<std::int64_t>(row);
    return stranded ? tracks[row].identifier.back() : '.';
}

std::string TrackTable::to_text() const { return table_text(tracks, true); }

std::string TrackTable::digest() const { return sha256_of(table_text(tracks, false)); }

}  // namespace flagen::data
