#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bigwig_tree.h"
#include "flagen/atomic_file.h"

namespace flagen::genomics {

/// A bigWig file in the making: bytes are appended, places that are known only later are patched
/// at the end, and the file appears under its name when it is whole.
class BigWigOutput {
  public:
    explicit BigWigOutput(std::string path);
    ~BigWigOutput();
    BigWigOutput(const BigWigOutput&) = delete;
    BigWigOutput& operator=(const BigWigOutput&) = delete;

    /// Offset of the next byte.
    [[nodiscard]] std::uint64_t offset() const { return offset_; }

    /// Path of the unfinished file, which may be read.
    [[nodiscard]] const std::string& part_path() const { return part_.path(); }

    void append(std::span<const unsigned char> bytes);

    /// Appends a compressed block and returns its index entry.
    [[nodiscard]] BigWigIndexEntry append_block(std::span<const unsigned char> bytes,
                                                std::uint32_t contig, std::uint32_t start,
                                                std::uint32_t end);

    /// Remembers bytes that publish() writes over those at `offset`.
    void patch(std::uint64_t offset, std::vector<unsigned char> bytes);

    /// Writes the patches, flushes to the disk and renames.
    void publish();

  private:
    std::string path_;
    DurableFile part_;
    std::uint64_t offset_ = 0;
    std::vector<std::pair<std::uint64_t, std::vector<unsigned char>>> patches_;
    std::vector<unsigned char> compressed_;
    bool published_ = false;
};

}  // namespace flagen::genomics
