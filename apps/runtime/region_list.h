#pragma once

#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "flagen/genomics/interval.h"

namespace flagen::apps {

/// Where regions on the command line come from; all sources may be combined.
struct RegionSources {
    std::string bed;                   ///< --bed: BED file, plain or gzip.
    std::vector<std::string> loci;     ///< --locus: 1-based and closed, as samtools has them.
    std::vector<std::string> contigs;  ///< --chrom: whole contigs; "all" is every one.

    [[nodiscard]] bool empty() const { return bed.empty() && loci.empty() && contigs.empty(); }
};

/// One region, named as the genome does.
struct ListedRegion {
    genomics::Interval interval;
    genomics::Strand strand = genomics::Strand::kForward;  ///< Column 6 of a BED file.
    bool whole_contig = false;
    bool known_contig = true;
};

/// What to do with a BED row on a contig that the genome lacks.
enum class UnknownContig { kError, kKeep };

/// The regions in the order BED, loci, contigs.
/// @throws UserError naming file and line, or the option, for what does not parse or is not in the genome.
[[nodiscard]] std::vector<ListedRegion> list_regions(const RegionSources& sources, const genomics::ContigTable& contigs,
                                                     const genomics::ContigAliases& aliases, UnknownContig policy);

}  // namespace flagen::apps
