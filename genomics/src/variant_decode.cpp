#include "variant_decode.h"

#include <cstdlib>
#include <string_view>

#include "text_line_reader.h"

namespace flagen::genomics {
namespace {

std::string_view text_of(const bcf_info_t& info) {
    return {reinterpret_cast<const char*>(info.vptr), static_cast<std::size_t>(info.vptr_len)};
}

// INFO/END. Files whose header does not declare it hold it as text.
std::optional<std::int64_t> end_of(const bcf_hdr_t* header, bcf1_t* record,
                                   const VariantPlace& place) {
    const bcf_info_t* info = bcf_get_info(header, record, "END");
    if (info == nullptr || info->vptr == nullptr) {
        return std::nullopt;
    }
    if (info->type == BCF_BT_CHAR) {
        const std::string_view text = text_of(*info);
        std::int64_t end = 0;
        if (text == ".") {
            return std::nullopt;
        }
        if (!parse_position(text, end)) {
            place.fail("INFO/END is not a whole number: ", quoted(text));
        }
        return end;
    }
    const std::int64_t value = info->v1.i;
    if (info->len != 1 || info->type == BCF_BT_FLOAT || info->type == BCF_BT_NULL) {
        place.fail("INFO/END is not one whole number");
    }
    const bool missing = (info->type == BCF_BT_INT8 && value == bcf_int8_missing) ||
                         (info->type == BCF_BT_INT16 && value == bcf_int16_missing) ||
                         (info->type == BCF_BT_INT32 && value == bcf_int32_missing) ||
                         (info->type == BCF_BT_INT64 && value == bcf_int64_missing);
    return missing ? std::nullopt : std::optional(value);
}

}  // namespace

VariantDecoder::~VariantDecoder() { std::free(values_); }

void VariantDecoder::decode(const bcf_hdr_t* header, bcf1_t* record, const VariantPlace& place,
                            VariantRecord& out) {
    const char* contig = record->rid >= 0 && record->rid < header->n[BCF_DT_CTG]
                             ? bcf_hdr_id2name(header, record->rid)
                             : nullptr;
    if (contig == nullptr || record->n_allele == 0 || record->pos < -1) {
        place.fail("record has no contig, no REF or a negative position");
    }
    if (bcf_unpack(record, genotypes_ ? BCF_UN_ALL : BCF_UN_INFO | BCF_UN_FLT) != 0) {
        place.fail("record is damaged");
    }
    out.contig = contig;
    out.start_bp = record->pos;
    const std::string_view id = record->d.id == nullptr ? "." : record->d.id;
    out.id = id == "." ? std::string_view{} : id;
    out.ref = record->d.allele[0];
    if (out.ref.empty()) {
        place.fail("REF is empty");
    }
    out.alts.resize(static_cast<std::size_t>(record->n_allele - 1));
    for (std::size_t i = 0; i < out.alts.size(); ++i) {
        out.alts[i] = record->d.allele[i + 1];
    }
    if (out.alts.size() == 1 && out.alts[0] == ".") {
        out.alts.clear();
    }
    out.quality = bcf_float_is_missing(record->qual) ? std::nullopt : std::optional(record->qual);
    out.filters.resize(static_cast<std::size_t>(record->d.n_flt));
    for (std::size_t i = 0; i < out.filters.size(); ++i) {
        const int number = record->d.flt[i];
        if (number < 0 || number >= header->n[BCF_DT_ID]) {
            place.fail("record has an unknown FILTER: ", number);
        }
        out.filters[i] = bcf_hdr_int2id(header, BCF_DT_ID, number);
    }
    out.end_bp = end_of(header, record, place);
    decode_genotypes(header, record, place, out);
}

void VariantDecoder::decode_genotypes(const bcf_hdr_t* header, bcf1_t* record,
                                      const VariantPlace& place, VariantRecord& out) {
    const int num_samples = bcf_hdr_nsamples(header);
    const bcf_fmt_t* format =
        genotypes_ && num_samples > 0 ? bcf_get_fmt(header, record, "GT") : nullptr;
    if (format == nullptr) {
        out.genotypes.reset();
        return;
    }
    // Of another type HTSlib would end the process.
    if (format->type != BCF_BT_INT8 && format->type != BCF_BT_INT16 &&
        format->type != BCF_BT_INT32) {
        place.fail("FORMAT/GT does not hold genotypes");
    }
    const int count =
        bcf_get_format_values(header, record, "GT", &values_, &num_values_, BCF_HT_INT);
    if (count <= 0 || count % num_samples != 0) {
        place.fail("FORMAT/GT cannot be read");
    }
    if (!out.genotypes) {
        out.genotypes.emplace();
    }
    VariantGenotypes& genotypes = *out.genotypes;
    const int ploidy = count / num_samples;
    genotypes.ploidy = ploidy;
    genotypes.alleles.resize(static_cast<std::size_t>(count));
    genotypes.phased.assign(static_cast<std::size_t>(num_samples), 1);
    const auto* values = static_cast<const std::int32_t*>(values_);
    for (int i = 0; i < count; ++i) {
        const std::int32_t value = values[i];
        const auto place_in_row = static_cast<std::size_t>(i);
        std::int32_t& allele = genotypes.alleles[place_in_row];
        if (value == bcf_int32_vector_end) {
            allele = VariantGenotypes::kNoAllele;
            continue;
        }
        if (i % ploidy != 0 && !bcf_gt_is_phased(value)) {
            genotypes.phased[static_cast<std::size_t>(i / ploidy)] = 0;
        }
        if (value == bcf_int32_missing || bcf_gt_is_missing(value)) {
            allele = VariantGenotypes::kMissing;
            continue;
        }
        allele = bcf_gt_allele(value);
        if (const int num_alleles = record->n_allele; allele < 0 || allele >= num_alleles) {
            place.fail("genotype of sample ", header->samples[i / ploidy], " names allele ", allele,
                       ", the record has ", num_alleles);
        }
    }
}

}  // namespace flagen::genomics
