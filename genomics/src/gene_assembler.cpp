#include "gene_assembler.h"

#include <algorithm>

#include "flagen/error.h"

namespace flagen::genomics {

RowPlace place_of(const AnnotationRecord& record) {
    return {record.contig, record.strand, {record.start_bp, record.end_bp}, record.line_number};
}

std::string first_attribute(const AnnotationRecord& record,
                            std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
        const auto value = record.attribute(key);
        if (value && !value->empty()) {
            return std::string(*value);
        }
    }
    return {};
}

GeneAssembler::GeneDraft& GeneAssembler::draft(const std::string& key, const RowPlace& place) {
    const auto [found, is_new] = rows_.emplace(key, drafts_.size());
    if (is_new) {
        GeneDraft& added = drafts_.emplace_back();
        added.gene.contig = place.contig;
        added.gene.strand = place.strand;
        added.first_line = place.line_number;
    }
    GeneDraft& found_draft = drafts_[found->second];
    const Gene& gene = found_draft.gene;
    if (gene.contig != place.contig || gene.strand != place.strand) {
        const bool other_contig = gene.contig != place.contig;
        throw_user_error(UserFault::kInputFile, "rows of one gene lie on different ",
                         other_contig ? "contigs" : "strands", ": ", key, " on ",
                         other_contig ? gene.contig : std::string{strand_symbol(gene.strand)},
                         " and ",
                         other_contig ? place.contig : std::string{strand_symbol(place.strand)},
                         " (", path_, ":", found_draft.first_line, " and ", path_, ":",
                         place.line_number, "); take trans-spliced genes out of the file");
    }
    found_draft.first_line = std::min(found_draft.first_line, place.line_number);
    return found_draft;
}

Gene& GeneAssembler::gene(const std::string& key, const RowPlace& place) {
    return draft(key, place).gene;
}

void GeneAssembler::add_gene_row(const std::string& key, const RowPlace& place) {
    widen(draft(key, place).bounds.own, place.range);
}

GeneAssembler::TranscriptDraft& GeneAssembler::transcript_draft(const std::string& key,
                                                                const std::string& transcript_key,
                                                                const RowPlace& place) {
    GeneDraft& parent = draft(key, place);
    widen(parent.bounds.parts, place.range);
    const auto [found, is_new] =
        parent.transcript_rows.emplace(transcript_key, parent.transcripts.size());
    if (is_new) {
        parent.transcripts.emplace_back().transcript.id = transcript_key;
    }
    return parent.transcripts[found->second];
}

Transcript& GeneAssembler::transcript(const std::string& key, const std::string& transcript_key,
                                      const RowPlace& place) {
    return transcript_draft(key, transcript_key, place).transcript;
}

void GeneAssembler::add_transcript_row(const std::string& key, const std::string& transcript_key,
                                       const RowPlace& place) {
    widen(transcript_draft(key, transcript_key, place).bounds.own, place.range);
}

void GeneAssembler::add_exon(const std::string& key, const std::string& transcript_key,
                             const RowPlace& place) {
    TranscriptDraft& found = transcript_draft(key, transcript_key, place);
    widen(found.bounds.parts, place.range);
    found.transcript.exons.push_back(place.range);
}

void GeneAssembler::add_cds(const std::string& key, const std::string& transcript_key,
                            const RowPlace& place) {
    TranscriptDraft& found = transcript_draft(key, transcript_key, place);
    widen(found.bounds.parts, place.range);
    found.transcript.cds.push_back(place.range);
}

void GeneAssembler::widen(Range& range, const Range& by) {
    if (range.end_bp == 0) {
        range = by;
        return;
    }
    range.start_bp = std::min(range.start_bp, by.start_bp);
    range.end_bp = std::max(range.end_bp, by.end_bp);
}

std::vector<Gene> GeneAssembler::take() {
    std::stable_sort(drafts_.begin(), drafts_.end(),
                     [](const GeneDraft& left, const GeneDraft& right) {
                         return left.first_line < right.first_line;
                     });
    const auto by_start = [](const Range& left, const Range& right) {
        return std::pair(left.start_bp, left.end_bp) < std::pair(right.start_bp, right.end_bp);
    };
    std::vector<Gene> genes;
    genes.reserve(drafts_.size());
    for (GeneDraft& draft : drafts_) {
        Gene& gene = draft.gene;
        gene.start_bp = draft.bounds.result().start_bp;
        gene.end_bp = draft.bounds.result().end_bp;
        for (TranscriptDraft& child : draft.transcripts) {
            Transcript& transcript = child.transcript;
            transcript.start_bp = child.bounds.result().start_bp;
            transcript.end_bp = child.bounds.result().end_bp;
            std::sort(transcript.exons.begin(), transcript.exons.end(), by_start);
            std::sort(transcript.cds.begin(), transcript.cds.end(), by_start);
            gene.transcripts.push_back(std::move(transcript));
        }
        genes.push_back(std::move(gene));
    }
    drafts_.clear();
    rows_.clear();
    return genes;
}

}  // namespace flagen::genomics
