#include "flagen/genomics/gene_model.h"

#include <utility>

#include "flagen/error.h"
#include "flagen/genomics/annotation_reader.h"
#include "gene_assembler.h"

namespace flagen::genomics {

std::vector<Range> Gene::exon_union() const {
    std::vector<Range> ranges;
    for (const Transcript& transcript : transcripts) {
        const auto& pieces = transcript.exons.empty() ? transcript.cds : transcript.exons;
        ranges.insert(ranges.end(), pieces.begin(), pieces.end());
        if (pieces.empty()) {
            ranges.push_back({transcript.start_bp, transcript.end_bp});
        }
    }
    if (transcripts.empty()) {
        ranges.push_back({start_bp, end_bp});
    }
    return united(std::move(ranges));
}

std::vector<Range> Gene::cds_union() const {
    std::vector<Range> ranges;
    for (const Transcript& transcript : transcripts) {
        ranges.insert(ranges.end(), transcript.cds.begin(), transcript.cds.end());
    }
    return united(std::move(ranges));
}

GeneModel::GeneModel(std::vector<Gene> genes, std::string id_attribute)
    : genes_(std::move(genes)), id_attribute_(std::move(id_attribute)) {
    for (std::size_t row = 0; row < genes_.size(); ++row) {
        rows_.emplace(genes_[row].id, row);
    }
}

GeneModel GeneModel::load(const std::string& path) {
    AnnotationReader reader(path);
    AnnotationRecord record;
    FLAGEN_USER_CHECK(UserFault::kInputFile, reader.next(record),
                      "annotation holds no feature row: ", path);
    std::pair<std::vector<Gene>, std::string> result;
    if (reader.format() == AnnotationFormat::kGff3) {
        result = assemble_gff3(reader, record);
    } else {
        result = {assemble_gtf(reader, record), "gene_id"};
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !result.first.empty(),
                      "annotation holds no gene: ", path);
    return {std::move(result.first), std::move(result.second)};
}

const Gene* GeneModel::find(const std::string& id) const {
    const auto found = rows_.find(id);
    return found == rows_.end() ? nullptr : &genes_[found->second];
}

std::size_t GeneModel::num_transcripts() const {
    std::size_t count = 0;
    for (const Gene& gene : genes_) {
        count += gene.transcripts.size();
    }
    return count;
}

}  // namespace flagen::genomics
