#include "flagen/error.h"
#include "gene_assembler.h"

namespace flagen::genomics {

namespace {

/// Sets `text` once; the first row that knows a value wins.
void fill(std::string& text, std::string value) {
    if (text.empty()) {
        text = std::move(value);
    }
}

void add_row(GeneAssembler& genes, const AnnotationRecord& record, const std::string& path) {
    const bool is_gene = record.type == "gene";
    const bool is_transcript = record.type == "transcript";
    const bool is_exon = record.type == "exon";
    if (!is_gene && !is_transcript && !is_exon && record.type != "CDS") {
        return;
    }
    const std::string id = first_attribute(record, {"gene_id"});
    FLAGEN_USER_CHECK(UserFault::kInputFile, !id.empty(), "GTF row has no gene_id: ", record.type,
                      " (", path, ":", record.line_number, ")");
    const RowPlace place = place_of(record);
    Gene& gene = genes.gene(id, place);
    gene.id = id;
    fill(gene.name, first_attribute(record, {"gene_name", "gene"}));
    fill(gene.biotype, first_attribute(record, {"gene_biotype", "gene_type"}));
    if (is_gene) {
        genes.add_gene_row(id, place);
        return;
    }
    std::string transcript_id = first_attribute(record, {"transcript_id"});
    fill(transcript_id, id);
    fill(genes.transcript(id, transcript_id, place).biotype,
         first_attribute(record, {"transcript_biotype", "transcript_type"}));
    if (is_transcript) {
        genes.add_transcript_row(id, transcript_id, place);
    } else if (is_exon) {
        genes.add_exon(id, transcript_id, place);
    } else {
        genes.add_cds(id, transcript_id, place);
    }
}

}  // namespace

std::vector<Gene> assemble_gtf(AnnotationReader& reader, AnnotationRecord& record) {
    GeneAssembler genes(reader.path());
    do {
        add_row(genes, record, reader.path());
    } while (reader.next(record));
    return genes.take();
}

}  // namespace flagen::genomics
