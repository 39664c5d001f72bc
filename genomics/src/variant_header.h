#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "flagen/genomics/contig_table.h"
#include "hts_handles.h"
#include "text_line_reader.h"

namespace flagen::genomics {

/// Header of a VCF or BCF file.
struct VariantHeader {
    BcfHeaderHandle handle;
    std::vector<Contig> contigs;  ///< In file order; length_bp 0 if not given.
    std::vector<std::string> samples;
    std::size_t num_columns = 8;  ///< Of a text line.
};

/// Reads the header of VCF text, up to and with the #CHROM line.
[[nodiscard]] VariantHeader read_vcf_header(TextLineReader& lines);

/// Reads the header of a BCF file.
[[nodiscard]] VariantHeader read_bcf_header(htsFile* file, const std::string& path);

}  // namespace flagen::genomics
