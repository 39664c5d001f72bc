#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"

namespace flagen::genomics {

/// How a bigWig file is written.
struct BigWigWriterOptions {
    /// Summaries at coarser steps, which genome browsers draw from: the first over about 8 values,
    /// each next over 4 of the one before, as many as the contigs allow up to this number.
    int max_zoom_levels = 10;
};

/// Writes a bigWig file of binned values.
///
/// The file appears under its name when finish() returns and is then on the disk; before, and after
/// an object that dies unfinished, nothing stands there but what stood there before. Memory holds
/// one block of values and 24 bytes for each 1,024 written.
///
/// Format: version 4, zlib-compressed, little-endian (see BigWigReader). Values are kept as they
/// come, one interval a bin; equal neighbours are not joined.
class BigWigWriter {
  public:
    /// `contigs` are numbered in their order; add() has to follow it.
    ///
    /// @throws UserError (kConfig) if the file cannot be created.
    /// @throws Error if there is no contig, a name is empty or stands twice, or a length is not in
    ///         1 .. 2^32 - 1.
    BigWigWriter(const std::string& path, std::vector<Contig> contigs,
                 const BigWigWriterOptions& options = {});
    ~BigWigWriter();
    BigWigWriter(BigWigWriter&&) noexcept;
    BigWigWriter& operator=(BigWigWriter&&) = delete;

    /// Adds values of adjacent bins: values[i] stands for the bases [start_bp + i * bin_bp,
    /// start_bp + (i + 1) * bin_bp), the last bin cut at the contig's end. NaN bins are left out.
    ///
    /// @throws Error if the contig is unknown or comes after a later one, a bin begins before the
    ///         contig, before the end of the bin added last, or past the contig's end, bin_bp is
    ///         not positive, a value is infinite, or a write fails (for example a full disk).
    void add(const std::string& contig, std::int64_t start_bp, std::span<const float> values,
             std::int64_t bin_bp);

    /// Writes index and zoom levels and publishes the file. Once only; a file without any value is
    /// sound.
    ///
    /// @throws Error if a write fails; an older file of that name is then untouched.
    void finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace flagen::genomics
