#include "flagen/genomics/reference_genome.h"

#include <utility>

#include "base_alphabet.h"
#include "flagen/error.h"

namespace flagen::genomics {

std::size_t ReferenceGenome::checked_contig(const Interval& interval,
                                            const std::string& source) const {
    const auto index = contigs().find(interval.contig);
    const Contig& contig = contigs().require(interval.contig, source);
    FLAGEN_CHECK(interval.start_bp >= 0 && interval.start_bp <= interval.end_bp &&
                     interval.end_bp <= contig.length_bp,
                 "interval [", interval.start_bp, ", ", interval.end_bp, ") of ", contig.name,
                 ", which has ", contig.length_bp, " bp");
    return *index;
}

InMemoryReference::InMemoryReference(std::vector<Sequence> sequences) {
    std::vector<Contig> contigs;
    contigs.reserve(sequences.size());
    bases_.reserve(sequences.size());
    for (Sequence& sequence : sequences) {
        BaseCounts counts;
        std::string& bases = sequence.bases;
        const std::size_t bad = normalise_bases(bases.data(), bases.size(), counts);
        FLAGEN_USER_CHECK(UserFault::kInputFile, bad == bases.size(),
                          "character is not a base: ", describe_character(bases[bad]), " (contig ",
                          sequence.name, ", base ", bad + 1, ")");
        contigs.push_back(
            {std::move(sequence.name), static_cast<std::int64_t>(bases.size()), sequence.circular});
        bases_.push_back(std::move(bases));
    }
    contigs_ = ContigTable(std::move(contigs));
}

std::string InMemoryReference::fetch(const Interval& interval) const {
    const std::size_t index = checked_contig(interval, "in memory");
    return bases_[index].substr(static_cast<std::size_t>(interval.start_bp),
                                static_cast<std::size_t>(interval.length_bp()));
}

}  // namespace flagen::genomics
