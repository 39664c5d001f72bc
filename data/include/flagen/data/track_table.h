#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace flagen::data {

/// One measured track: a row of targets.txt.
struct Track {
    std::int64_t index = 0;  ///< Output of the model's head, the table's unnamed first column.
    std::string identifier;  ///< Of a stranded track the last character is its strand.
    std::string file;        ///< bigWig; absolute, or relative to the working folder.
    float clip = 0.0F;       ///< Largest value kept; infinite where the table gives none.
    float clip_soft = 0.0F;  ///< Where the square root sets in; infinite likewise.
    float scale = 1.0F;      ///< Factor on the measured values, above 0.
    std::string sum_stat;    ///< sum, mean, sum_sqrt, mean_sqrt or sum_exp75.
    std::int64_t strand_pair =
        0;  ///< Index of the track of the other strand; its own if unstranded.
    std::string description;
    std::string group;  ///< Column `group`, else the description up to its first ':' (the assay).
};

/// How TrackTable::load() reads.
struct TrackTableOptions {
    /// Folder that relative `file` entries count from; empty: the folder of the table.
    std::string base_folder = {};
};

/// Measured tracks in the order of a table: Borzoi's targets.txt, unchanged.
///
/// Tab-separated with a header. The first column, whatever its name, is the index in the model's
/// head; the others are found by name, in any order, and unknown ones are passed over:
///
/// | column                          | if absent or empty                                       |
/// |---------------------------------|----------------------------------------------------------|
/// | identifier, file, sum_stat      | error                                                    |
/// | clip, clip_soft                 | no limit                                                 |
/// | scale                           | 1                                                        |
/// | strand_pair                     | unstranded                                               |
/// | description, group              | the identifier; the assay, as Track says                 |
///
/// `avg` and `avg_sqrt` are read as mean and mean_sqrt. Blank lines, CRLF and a byte order mark are
/// accepted. A table may hold some of a model's tracks only; then rows choose outputs by index.
/// Source: calico/baskerville, src/baskerville/scripts/hound_data.py.
struct TrackTable {
    std::vector<Track> tracks;
    /// [T] Row of the track of the other strand, or the own row: strand_pair with indexes replaced
    /// by rows. What a reverse complement permutes the tracks by.
    std::vector<std::int64_t> strand_pair_rows;
    std::vector<std::string> ignored_columns;  ///< Of the file: those that have no effect here.

    /// @throws UserError (kInputFile) naming the fault, the value, the file and the line: a missing
    ///         column, a wrong number of fields, a value that does not parse or is out of range, an
    ///         index that stands twice; a strand_pair that is not in the table, that does not point
    ///         back, or whose identifiers do not end in + and -; '-' rows in another order than
    ///         their partners (tables collapsed to one strand would mix them up).
    [[nodiscard]] static TrackTable load(const std::string& path,
                                         const TrackTableOptions& options = {});

    [[nodiscard]] std::int64_t num_tracks() const {
        return static_cast<std::int64_t>(tracks.size());
    }
    /// '+', '-' or '.' for an unstranded track.
    [[nodiscard]] char strand(std::size_t row) const;

    /// The table as targets.txt, all columns with `group`; files are made absolute, so that it
    /// reads back from any folder. The shortest numbers that read back exactly.
    [[nodiscard]] std::string to_text() const;
    /// SHA-256 of to_text() without the column `file`: what decides numbers, wherever files lie.
    [[nodiscard]] std::string digest() const;
};

}  // namespace flagen::data
