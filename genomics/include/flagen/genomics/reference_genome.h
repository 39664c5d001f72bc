#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"

namespace flagen::genomics {

/// Bases of a genome by interval.
///
/// Every implementation delivers upper-case A, C, G, T and N only: soft-masked (lower-case) bases
/// are upper-cased, U is read as T, the other IUPAC codes (RYSWKMBDHV) as N.
class ReferenceGenome {
  public:
    virtual ~ReferenceGenome() = default;

    [[nodiscard]] virtual const ContigTable& contigs() const = 0;

    /// Bases of `interval` on the forward strand, `interval.length_bp()` letters. Thread-safe.
    ///
    /// The interval lies inside its contig; fetch_window() in window.h pads and wraps.
    ///
    /// @throws flagen::UserError if the contig is unknown, flagen::Error if the interval is
    ///         reversed or reaches over an end of the contig.
    [[nodiscard]] virtual std::string fetch(const Interval& interval) const = 0;

  protected:
    ReferenceGenome() = default;
    ReferenceGenome(const ReferenceGenome&) = default;
    ReferenceGenome(ReferenceGenome&&) = default;
    ReferenceGenome& operator=(const ReferenceGenome&) = default;
    ReferenceGenome& operator=(ReferenceGenome&&) = default;

    /// Index of the interval's contig, after the checks that fetch() promises. `source` names the
    /// genome in messages.
    [[nodiscard]] std::size_t checked_contig(const Interval& interval,
                                             const std::string& source) const;
};

/// A genome held in memory, for tests and for short sequences.
class InMemoryReference final : public ReferenceGenome {
  public:
    /// One contig as a FASTA record would spell it.
    struct Sequence {
        std::string name;
        std::string bases;
        bool circular = false;
    };

    /// @throws flagen::UserError (kInputFile) if a sequence holds another letter than a FASTA may,
    ///         flagen::Error as ContigTable does.
    explicit InMemoryReference(std::vector<Sequence> sequences);

    [[nodiscard]] const ContigTable& contigs() const override { return contigs_; }
    [[nodiscard]] std::string fetch(const Interval& interval) const override;

  private:
    ContigTable contigs_;
    std::vector<std::string> bases_;
};

}  // namespace flagen::genomics
