#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace flagen::data {

/// What to do with a journal of other inputs.
enum class OtherInputs { kDiscard, kRefuse };

/// Finished rows of a file of chunks that is being made (a track cache, predictions): a file that is
/// only appended to, so that a kill at any moment costs at most the row in flight.
///
/// One record a row: its number, the sizes of its chunks, the chunks as encode_chunk() gave them,
/// and last a CRC-32 of all that, which says that the record is done. The head holds a digest of
/// the inputs: a journal of other ones is thrown away, or refused if it holds a row. HDF5 files
/// cannot play this role: one that was being written when its process died does not open again.
class ChunkJournal {
  public:
    /// Opens or makes `path`, reads what is done, cuts an unfinished record off, and locks the file
    /// against a second writer.
    ///
    /// @throws UserError (kConfig) if it cannot be created, another process has it, or it is of
    ///         other inputs and `policy` refuses that; Error if reading or writing fails.
    ChunkJournal(std::string path, const std::string& inputs_digest, std::int64_t num_rows,
                 std::int64_t chunks_per_row, OtherInputs policy);
    ~ChunkJournal();
    ChunkJournal(const ChunkJournal&) = delete;
    ChunkJournal& operator=(const ChunkJournal&) = delete;

    /// Whether the file `path` is there and holds more than a head.
    [[nodiscard]] static bool holds_rows(const std::string& path);

    [[nodiscard]] bool is_done(std::int64_t row) const { return !place(row).sizes.empty(); }
    [[nodiscard]] std::int64_t num_done() const { return num_done_; }
    /// Whether the file held more than a head, of other inputs, and was emptied.
    [[nodiscard]] bool discarded_other() const { return discarded_other_; }

    /// Appends the chunks of a row. @throws Error naming the reason, for example a full disk.
    void append(std::int64_t row, const std::vector<std::vector<std::uint8_t>>& chunks);
    /// Flushes to the disk: a dead machine loses what came after. A dead process loses nothing.
    void sync() const;

    /// Chunk `index` of a finished row.
    [[nodiscard]] std::vector<std::uint8_t> read_chunk(std::int64_t row, std::int64_t index) const;

    /// Deletes the file. Nothing may be called after it.
    void remove();

  private:
    struct Place {
        std::int64_t offset_bytes = 0;  // of the first chunk
        std::vector<std::uint64_t> sizes;
    };

    [[nodiscard]] const Place& place(std::int64_t row) const {
        return places_.at(static_cast<std::size_t>(row));
    }
    void start(const std::string& head);
    void scan(const std::string& head, OtherInputs policy);
    [[nodiscard]] bool scan_record(std::int64_t file_bytes);
    void write(const void* data, std::size_t num_bytes);
    [[nodiscard]] bool read(void* data, std::size_t num_bytes, std::int64_t offset) const;

    std::string path_;
    int descriptor_ = -1;
    std::size_t chunks_per_row_;
    std::vector<Place> places_;  // by row
    std::int64_t num_done_ = 0;
    bool discarded_other_ = false;
    std::int64_t end_bytes_ = 0;  // of the last whole record
};

}  // namespace flagen::data
