#pragma once

#include <cstdint>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "flagen/genomics/variant_reader.h"

namespace flagen::testing {

/// One line a record, as `bcftools query` prints it with the format kVariantFormat.
inline constexpr const char* kVariantFormat =
    R"(%CHROM\t%POS\t%ID\t%REF\t%ALT\t%QUAL\t%FILTER\t%INFO/END)";

inline std::string joined(const std::vector<std::string>& parts, char separator) {
    std::string text;
    for (const std::string& part : parts) {
        text += (text.empty() ? "" : std::string(1, separator)) + part;
    }
    return text.empty() ? "." : text;
}

inline std::string genotype_text(const genomics::VariantGenotypes& genotypes, std::size_t sample) {
    std::string text;
    for (std::int64_t i = 0; i < genotypes.ploidy; ++i) {
        const auto place = sample * static_cast<std::size_t>(genotypes.ploidy);
        const std::int32_t allele = genotypes.alleles[place + static_cast<std::size_t>(i)];
        if (allele == genomics::VariantGenotypes::kNoAllele) {
            break;
        }
        if (i > 0) {
            text += genotypes.phased[sample] != 0 ? '|' : '/';
        }
        text += allele == genomics::VariantGenotypes::kMissing ? "." : std::to_string(allele);
    }
    return text;
}

/// The same line from a record of ours; genotypes follow, each after a tab.
inline std::string variant_text(const genomics::VariantRecord& record) {
    std::ostringstream out;
    out << record.contig << '\t' << record.start_bp + 1 << '\t'
        << (record.id.empty() ? "." : record.id) << '\t' << record.ref << '\t'
        << joined(record.alts, ',') << '\t';
    if (record.quality) {
        out << *record.quality;
    } else {
        out << '.';
    }
    out << '\t' << joined(record.filters, ';') << '\t';
    if (record.end_bp) {
        out << *record.end_bp;
    } else {
        out << '.';
    }
    if (record.genotypes) {
        for (std::size_t i = 0; i < record.genotypes->phased.size(); ++i) {
            out << '\t' << genotype_text(*record.genotypes, i);
        }
    }
    return out.str() + "\n";
}

/// All records that `reader` still gives.
inline std::string all_variants(genomics::VariantReader& reader) {
    std::string text;
    for (genomics::VariantRecord record; reader.next(record);) {
        text += variant_text(record);
    }
    return text;
}

/// A header with two contigs, all tags of random_vcf() and the named samples.
inline std::string vcf_header(const std::vector<std::string>& samples = {}) {
    std::string text =
        "##fileformat=VCFv4.2\n"
        "##FILTER=<ID=PASS,Description=\"All filters passed\">\n"
        "##FILTER=<ID=q10,Description=\"Quality below 10\">\n"
        "##FILTER=<ID=s50,Description=\"Less than half of the samples\">\n"
        "##INFO=<ID=END,Number=1,Type=Integer,Description=\"End\">\n"
        "##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">\n"
        "##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n"
        "##FORMAT=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">\n"
        "##contig=<ID=chr2,length=100000>\n"
        "##contig=<ID=chr1,length=50000>\n"
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO";
    if (!samples.empty()) {
        text += "\tFORMAT";
    }
    for (const std::string& sample : samples) {
        text += "\t" + sample;
    }
    return text + "\n";
}

/// A sorted VCF of `count` records a contig with what the format allows: indels, several ALTs,
/// symbolic alleles with END, breakends, missing fields, genotypes of 1 to 3 alleles.
inline std::string random_vcf(std::size_t count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t limit) { return random() % limit; };
    std::ostringstream out;
    out << vcf_header({"s1", "s2", "s3"});
    for (const char* contig : {"chr2", "chr1"}) {
        std::uint64_t position = 1;
        for (std::size_t i = 0; i < count; ++i) {
            position += below(12);
            std::string ref;
            for (std::uint64_t n = below(4) == 0 ? 1 + below(20) : 1; n > 0; --n) {
                ref += "ACGT"[below(4)];
            }
            std::vector<std::string> alts;
            std::string info = "DP=" + std::to_string(below(90));
            if (below(12) == 0) {
                alts = {"<DEL>"};
                info += ";END=" + std::to_string(position + below(3000));
            } else if (below(12) != 0) {
                alts.push_back(ref + "T");
                if (below(5) == 0) {
                    alts.push_back(below(2) == 0 ? "*" : "G]chr1:77]");
                }
            }
            out << contig << '\t' << position << '\t' << (below(2) == 0 ? "." : "rs1;x") << '\t'
                << ref << '\t' << joined(alts, ',') << '\t';
            if (below(3) == 0) {
                out << ".\t.\t";
            } else {
                out << static_cast<double>(below(400)) / 4.0 << '\t'
                    << (below(2) == 0 ? "PASS\t" : "q10;s50\t");
            }
            out << info << "\tGT:DP";
            for (int sample = 0; sample < 3; ++sample) {
                out << '\t';
                const char separator = below(2) == 0 ? '|' : '/';
                for (std::uint64_t n = 1 + below(3), at = 0; at < n; ++at) {
                    out << (at == 0 ? "" : std::string(1, separator));
                    const std::uint64_t allele = below(alts.size() + 2);
                    out << (allele > alts.size() ? "." : std::to_string(allele));
                }
                out << ":" << below(50);
            }
            out << '\n';
        }
    }
    return out.str();
}

}  // namespace flagen::testing
