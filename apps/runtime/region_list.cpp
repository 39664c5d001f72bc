#include "apps/runtime/region_list.h"

#include "flagen/error.h"
#include "flagen/genomics/bed_reader.h"

namespace flagen::apps {
namespace {

// A contig's name as the FASTA spells it, through the alias table only; empty if it is unknown.
std::string name_in_genome(const std::string& name, const genomics::ContigTable& contigs,
                           const genomics::ContigAliases& aliases) {
    const auto index = aliases.find(contigs, name);
    return index ? contigs.at(*index).name : std::string{};
}

ListedRegion region_of(const genomics::BedRecord& record, const std::string& source,
                       const genomics::ContigTable& contigs, const genomics::ContigAliases& aliases,
                       UnknownContig policy) {
    ListedRegion region;
    region.interval = record.interval;
    region.strand = record.strand;
    const std::string name = name_in_genome(record.interval.contig, contigs, aliases);
    if (!name.empty()) {
        region.interval.contig = name;
    } else if (policy == UnknownContig::kKeep) {
        region.known_contig = false;
    } else {
        static_cast<void>(contigs.require(record.interval.contig, source));
    }
    return region;
}

}  // namespace

std::vector<ListedRegion> list_regions(const RegionSources& sources, const genomics::ContigTable& contigs,
                                       const genomics::ContigAliases& aliases, UnknownContig policy) {
    std::vector<ListedRegion> regions;
    if (!sources.bed.empty()) {
        for (const auto& record : genomics::read_bed(sources.bed)) {
            const std::string source = sources.bed + ":" + std::to_string(record.line_number);
            regions.push_back(region_of(record, source, contigs, aliases, policy));
        }
    }
    for (const std::string& locus : sources.loci) {
        regions.push_back({genomics::parse_region(locus, contigs)});
    }
    for (const std::string& given : sources.contigs) {
        if (given == "all" && !aliases.find(contigs, given)) {
            for (std::size_t i = 0; i < contigs.size(); ++i) {
                regions.push_back({{contigs.at(i).name, 0, contigs.at(i).length_bp}, genomics::Strand::kForward, true});
            }
            continue;
        }
        const std::string name = name_in_genome(given, contigs, aliases);
        const auto& contig = contigs.require(name.empty() ? given : name, "--chrom");
        regions.push_back({{contig.name, 0, contig.length_bp}, genomics::Strand::kForward, true});
    }
    FLAGEN_USER_CHECK(UserFault::kConfig, !regions.empty(), "no region was asked for: give --bed, --locus or --chrom");
    return regions;
}

}  // namespace flagen::apps
