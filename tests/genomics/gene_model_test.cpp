#include "flagen/genomics/gene_model.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using testing::TempDir;

constexpr const char* kEnsemblGtf =
    "1\te\tgene\t100\t900\t.\t-\t.\tgene_id \"G1\"; gene_name \"ABC\"; gene_biotype \"lncRNA\";\n"
    "1\te\ttranscript\t100\t900\t.\t-\t.\tgene_id \"G1\"; transcript_id \"T1\"; "
    "transcript_biotype \"retained_intron\";\n"
    "1\te\texon\t700\t900\t.\t-\t.\tgene_id \"G1\"; transcript_id \"T1\";\n"
    "1\te\texon\t100\t200\t.\t-\t.\tgene_id \"G1\"; transcript_id \"T1\";\n"
    "1\te\tCDS\t750\t800\t.\t-\t0\tgene_id \"G1\"; transcript_id \"T1\";\n"
    "1\te\tstop_codon\t747\t749\t.\t-\t0\tgene_id \"G1\"; transcript_id \"T1\";\n"
    "1\te\texon\t150\t250\t.\t-\t.\tgene_id \"G1\"; transcript_id \"T2\";\n";

TEST(GeneModel, ReadsEnsemblGtf) {
    const TempDir dir;
    const GeneModel model = GeneModel::load(dir.write("a.gtf", kEnsemblGtf));
    ASSERT_EQ(model.genes().size(), 1U);
    EXPECT_EQ(model.id_attribute(), "gene_id");
    const Gene& gene = model.genes()[0];
    EXPECT_EQ(gene.id, "G1");
    EXPECT_EQ(gene.name, "ABC");
    EXPECT_EQ(gene.biotype, "lncRNA");
    EXPECT_EQ(gene.interval(), (Interval{"1", 99, 900}));
    EXPECT_EQ(gene.strand, Strand::kReverse);
    ASSERT_EQ(gene.transcripts.size(), 2U);
    EXPECT_EQ(gene.transcripts[0].id, "T1");
    EXPECT_EQ(gene.transcripts[0].biotype, "retained_intron");
    EXPECT_EQ(gene.transcripts[0].exons, (std::vector<Range>{{99, 200}, {699, 900}}));
    EXPECT_EQ(gene.transcripts[0].cds, (std::vector<Range>{{749, 800}}));
    EXPECT_EQ(gene.transcripts[1].start_bp, 149);
    EXPECT_EQ(gene.transcripts[1].end_bp, 250);
    EXPECT_EQ(gene.exon_union(), (std::vector<Range>{{99, 250}, {699, 900}}));
    EXPECT_EQ(gene.cds_union(), (std::vector<Range>{{749, 800}}));
    EXPECT_EQ(model.find("G1"), &gene);
    EXPECT_EQ(model.find("T1"), nullptr);
}

TEST(GeneModel, ReadsGtfWithoutGeneAndTranscriptRows) {
    const TempDir dir;
    std::string text;
    for (const std::string line : {"G2\tt\texon\t11\t20\t.\t+\t.\tgene_id \"X\"; transcript_id "
                                   "\"XT\"; gene_type \"protein_coding\";\n",
                                   "G2\tt\tCDS\t31\t40\t.\t+\t0\tgene_id \"X\"; transcript_id "
                                   "\"XT\"; gene_name \"x1\";\n"}) {
        text += line;
    }
    const GeneModel model = GeneModel::load(dir.write("a.gtf", text));
    ASSERT_EQ(model.genes().size(), 1U);
    EXPECT_EQ(model.genes()[0].interval(), (Interval{"G2", 10, 40}));
    EXPECT_EQ(model.genes()[0].name, "x1");
    EXPECT_EQ(model.genes()[0].biotype, "protein_coding");
    ASSERT_EQ(model.num_transcripts(), 1U);
    EXPECT_EQ(model.genes()[0].transcripts[0].end_bp, 40);
}

TEST(GeneModel, ReadsEnsemblGff3) {
    const TempDir dir;
    // Children stand before their parents, exons have two parents, UTRs are no transcripts.
    const GeneModel model = GeneModel::load(dir.write(
        "a.gff3",
        "##gff-version 3\n"
        "1\te\tchromosome\t1\t1000\t.\t.\t.\tID=chromosome:1\n"
        "1\te\texon\t101\t150\t.\t+\t.\tParent=transcript:T1,transcript:T2;Name=E1\n"
        "1\te\tfive_prime_UTR\t101\t110\t.\t+\t.\tParent=transcript:T1\n"
        "1\te\tCDS\t111\t150\t.\t+\t0\tID=CDS:P1;Parent=transcript:T1\n"
        "1\te\tCDS\t201\t220\t.\t+\t0\tID=CDS:P1;Parent=transcript:T1\n"
        "1\te\texon\t201\t250\t.\t+\t.\tParent=transcript:T1\n"
        "1\te\tmRNA\t101\t250\t.\t+\t.\tID=transcript:T1;Parent=gene:G1;transcript_id=T1;"
        "biotype=protein_coding\n"
        "1\te\tlnc_RNA\t101\t150\t.\t+\t.\tID=transcript:T2;Parent=gene:G1;transcript_id=T2\n"
        "1\te\tgene\t101\t250\t.\t+\t.\tID=gene:G1;gene_id=G1;Name=abc;biotype=protein_coding\n"
        "1\te\tncRNA_gene\t300\t400\t.\t-\t.\tID=gene:G2;gene_id=G2;biotype=snoRNA\n"
        "1\te\tsnoRNA\t300\t400\t.\t-\t.\tID=transcript:T3;Parent=gene:G2;transcript_id=T3\n"
        "1\te\tpseudogene\t500\t600\t.\t-\t.\tID=gene:G3;gene_id=G3\n"));
    ASSERT_EQ(model.genes().size(), 3U);
    EXPECT_EQ(model.id_attribute(), "gene_id");
    const Gene& gene = model.genes()[0];
    EXPECT_EQ(gene.id, "G1");
    EXPECT_EQ(gene.name, "abc");
    EXPECT_EQ(gene.biotype, "protein_coding");
    ASSERT_EQ(gene.transcripts.size(), 2U);
    EXPECT_EQ(gene.transcripts[0].id, "T1");
    EXPECT_EQ(gene.transcripts[0].exons, (std::vector<Range>{{100, 150}, {200, 250}}));
    EXPECT_EQ(gene.transcripts[0].cds, (std::vector<Range>{{110, 150}, {200, 220}}));
    EXPECT_EQ(gene.transcripts[1].id, "T2");
    EXPECT_EQ(gene.transcripts[1].biotype, "lnc_RNA");
    EXPECT_EQ(gene.transcripts[1].exons, (std::vector<Range>{{100, 150}}));
    EXPECT_EQ(model.find("G2")->biotype, "snoRNA");
    EXPECT_EQ(model.find("G2")->exon_union(), (std::vector<Range>{{299, 400}}));
    EXPECT_TRUE(model.find("G3")->transcripts.empty());
    EXPECT_EQ(model.find("G3")->biotype, "pseudogene");
    EXPECT_EQ(model.find("G3")->exon_union(), (std::vector<Range>{{499, 600}}));
}

TEST(GeneModel, ReadsNcbiGff3) {
    const TempDir dir;
    // gene -> CDS, gene -> RNA -> exon, a miRNA below a primary transcript, a gene over the origin.
    const GeneModel model = GeneModel::load(
        dir.write("a.gff3",
                  "##gff-version 3\n"
                  "c\tR\tregion\t1\t1000\t.\t+\t.\tID=c:1..1000;Is_circular=true\n"
                  "c\tR\tgene\t10\t99\t.\t+\t.\tID=gene-b1;Name=thrL;gene_biotype=protein_coding;"
                  "locus_tag=b1\n"
                  "c\tR\tCDS\t10\t50\t.\t+\t0\tID=cds-1;Parent=gene-b1;locus_tag=b1\n"
                  "c\tR\tCDS\t50\t99\t.\t+\t0\tID=cds-1;Parent=gene-b1;locus_tag=b1\n"
                  "c\tR\tgene\t200\t300\t.\t-\t.\tID=gene-b2;locus_tag=b2\n"
                  "c\tR\tprimary_transcript\t200\t300\t.\t-\t.\tID=rna-pri;Parent=gene-b2\n"
                  "c\tR\texon\t200\t300\t.\t-\t.\tID=exon-1;Parent=rna-pri\n"
                  "c\tR\tmiRNA\t210\t230\t.\t-\t.\tID=rna-mi;Parent=rna-pri\n"
                  "c\tR\texon\t210\t230\t.\t-\t.\tID=exon-2;Parent=rna-mi\n"
                  "c\tR\tgene\t950\t1040\t.\t+\t.\tID=gene-b3;locus_tag=b3\n"
                  "c\tR\trepeat_region\t400\t410\t.\t+\t.\tID=id-x\n"
                  "c\tR\tCDS\t500\t599\t.\t+\t0\tID=cds-lone;locus_tag=b4\n"));
    EXPECT_EQ(model.id_attribute(), "locus_tag");
    ASSERT_EQ(model.genes().size(), 4U);
    const Gene& thrL = *model.find("b1");
    EXPECT_EQ(thrL.name, "thrL");
    EXPECT_EQ(thrL.biotype, "protein_coding");
    ASSERT_EQ(thrL.transcripts.size(), 1U);
    EXPECT_EQ(thrL.transcripts[0].id, "cds-1");
    EXPECT_EQ(thrL.transcripts[0].cds, (std::vector<Range>{{9, 50}, {49, 99}}));
    EXPECT_TRUE(thrL.transcripts[0].exons.empty());
    EXPECT_EQ(thrL.exon_union(), (std::vector<Range>{{9, 99}}));
    ASSERT_EQ(model.find("b2")->transcripts.size(), 2U);
    EXPECT_EQ(model.find("b2")->transcripts[0].id, "rna-pri");
    EXPECT_EQ(model.find("b2")->transcripts[1].exons, (std::vector<Range>{{209, 230}}));
    EXPECT_EQ(model.find("b3")->interval(), (Interval{"c", 949, 1040}));
    EXPECT_EQ(model.find("b4")->interval(), (Interval{"c", 499, 599}));
    EXPECT_EQ(model.find("b4")->cds_union(), (std::vector<Range>{{499, 599}}));
}

TEST(GeneModel, FallsBackToIdsThatTellGenesApart) {
    const TempDir dir;
    const GeneModel model =
        GeneModel::load(dir.write("a.gff3",
                                  "c\tR\tgene\t1\t9\t.\t+\t.\tID=gene-a;locus_tag=x\n"
                                  "c\tR\tgene\t11\t19\t.\t+\t.\tID=gene-a-2;locus_tag=x\n"));
    EXPECT_EQ(model.id_attribute(), "ID");
    EXPECT_NE(model.find("gene-a-2"), nullptr);
}

TEST(GeneModel, MakesAGeneOfAnRnaWithoutOne) {
    const TempDir dir;
    const GeneModel model = GeneModel::load(dir.write("a.gff3",
                                                      "c\tR\tmRNA\t1\t90\t.\t+\t.\tID=m1\n"
                                                      "c\tR\texon\t1\t90\t.\t+\t.\tParent=m1\n"));
    ASSERT_EQ(model.genes().size(), 1U);
    EXPECT_EQ(model.genes()[0].id, "m1");
    ASSERT_EQ(model.num_transcripts(), 1U);
    EXPECT_EQ(model.genes()[0].transcripts[0].exons, (std::vector<Range>{{0, 90}}));
}

TEST(GeneModel, RejectsBrokenHierarchies) {
    const TempDir dir;
    const std::string gene = "c\tR\tgene\t1\t90\t.\t+\t.\tID=g\n";
    FLAGEN_EXPECT_USER_ERROR(
        GeneModel::load(dir.write("p.gff3", gene + "c\tR\tCDS\t1\t9\t.\t+\t0\tParent=h\n")),
        kInputFile, "Parent is not the ID of any row: h", "p.gff3:2");
    FLAGEN_EXPECT_USER_ERROR(
        GeneModel::load(dir.write("r.gff3", gene + "c\tR\tmRNA\t1\t9\t.\t+\t.\tID=a;Parent=b\n"
                                                   "c\tR\tmRNA\t1\t9\t.\t+\t.\tID=b;Parent=a\n")),
        kInputFile, "Parent chain is circular: a", "r.gff3:2");
    FLAGEN_EXPECT_USER_ERROR(
        GeneModel::load(dir.write("s.gff3", gene + "c\tR\tCDS\t1\t9\t.\t-\t0\tParent=g\n")),
        kInputFile, "rows of one gene lie on different strands: g on + and -", "s.gff3:1",
        "s.gff3:2");
    FLAGEN_EXPECT_USER_ERROR(
        GeneModel::load(dir.write("i.gtf", "c\tR\texon\t1\t9\t.\t-\t.\ttranscript_id \"x\";\n")),
        kInputFile, "GTF row has no gene_id: exon", "i.gtf:1");
    FLAGEN_EXPECT_USER_ERROR(
        GeneModel::load(dir.write("n.gff3", "c\tR\tregion\t1\t9\t.\t-\t.\tID=x\n")), kInputFile,
        "annotation holds no gene");
    FLAGEN_EXPECT_USER_ERROR(GeneModel::load(dir.write("e.gtf", "")), kInputFile,
                             "annotation holds no feature row");
}

struct Totals {
    std::size_t num_genes = 0;
    std::size_t num_transcripts = 0;
    std::size_t num_exons = 0;
    std::size_t num_cds = 0;
    std::size_t num_forward = 0;
    std::size_t num_coding = 0;
    std::int64_t cds_union_bp = 0;
};

Totals totals_of(const GeneModel& model) {
    Totals totals;
    totals.num_genes = model.genes().size();
    totals.num_transcripts = model.num_transcripts();
    for (const Gene& gene : model.genes()) {
        totals.num_forward += gene.strand == Strand::kForward ? 1 : 0;
        totals.num_coding += gene.biotype == "protein_coding" ? 1 : 0;
        totals.cds_union_bp += total_bp(gene.cds_union());
        for (const Transcript& transcript : gene.transcripts) {
            totals.num_exons += transcript.exons.size();
            totals.num_cds += transcript.cds.size();
        }
    }
    return totals;
}

std::size_t awk_count(const std::string& path, const std::string& condition) {
    return std::stoul(testing::tool_output("zcat '" + path + "' | awk -F'\\t' '!/^#/ && (" +
                                           condition + ") {n++} END {print n + 0}'"));
}

TEST(GeneModel, YeastEqualsAwk) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/annotation/R64-1-1.96.sorted.gtf.gz");
    const Totals totals = totals_of(GeneModel::load(path));
    EXPECT_EQ(totals.num_genes, awk_count(path, "$3 == \"gene\""));
    EXPECT_EQ(totals.num_transcripts, awk_count(path, "$3 == \"transcript\""));
    EXPECT_EQ(totals.num_exons, awk_count(path, "$3 == \"exon\""));
    EXPECT_EQ(totals.num_cds, awk_count(path, "$3 == \"CDS\""));
    EXPECT_EQ(totals.num_forward, awk_count(path, "$3 == \"gene\" && $7 == \"+\""));
    EXPECT_EQ(totals.num_coding,
              awk_count(path, "$3 == \"gene\" && $9 ~ /gene_biotype \"protein_coding\"/"));
    EXPECT_EQ(totals.num_genes, 7036U);
    EXPECT_EQ(totals.num_coding, 6600U);
}

/// Exonic bases of every gene against the table that the data set's author computed.
TEST(GeneModel, YeastExonUnionsEqualThePublishedLengths) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/annotation/R64-1-1.96.sorted.gtf.gz");
    FLAGEN_SHARED_DATA_OR_SKIP(table, "yeast_R64-1-1/expression/gene_expression.tsv");
    const GeneModel model = GeneModel::load(path);
    std::string ours;
    std::string theirs = testing::tool_output(
        "awk -F'\\t' 'NR > 1 {print $1, $2, $3, $4, $5, $7, $8}' '" + table + "'");
    std::istringstream rows(theirs);
    for (std::string row; std::getline(rows, row);) {
        const Gene* gene = model.find(row.substr(0, row.find(' ')));
        ASSERT_NE(gene, nullptr) << row;
        ours += gene->id + " " + gene->contig + " " + std::to_string(gene->start_bp + 1) + " " +
                std::to_string(gene->end_bp) + " " + strand_symbol(gene->strand) + " " +
                gene->biotype + " " + std::to_string(total_bp(gene->exon_union())) + "\n";
    }
    EXPECT_EQ(ours, theirs);
    EXPECT_GT(theirs.size(), 100'000U);
}

TEST(GeneModel, EcoliEqualsAwk) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "ecoli_K12_MG1655/annotation/NC_000913.3.sorted.gff3.gz");
    const GeneModel model = GeneModel::load(path);
    const Totals totals = totals_of(model);
    // Nineteen genes stand in two rows of one ID.
    const std::string first_row =
        "$3 ~ /^(gene|pseudogene)$/ && match($9, /ID=[^;]*/) && "
        "!seen[substr($9, RSTART, RLENGTH)]++";
    EXPECT_EQ(totals.num_genes, awk_count(path, first_row));
    EXPECT_EQ(totals.num_genes, 4566U);
    EXPECT_EQ(model.id_attribute(), "locus_tag");
    EXPECT_EQ(totals.num_exons, awk_count(path, "$3 == \"exon\""));
    EXPECT_EQ(totals.num_cds, awk_count(path, "$3 == \"CDS\""));
    EXPECT_EQ(totals.num_forward, awk_count(path, first_row + " && $7 == \"+\""));
    EXPECT_EQ(totals.num_coding,
              awk_count(path, "$3 == \"gene\" && $9 ~ /gene_biotype=protein_coding/"));
    // Transcripts are the RNA rows, and the CDS IDs, which all stand right below a gene.
    EXPECT_EQ(totals.num_transcripts,
              awk_count(path,
                        "$3 ~ /RNA/ || ($3 == \"CDS\" && match($9, /ID=[^;]*/) && "
                        "!seen[substr($9, RSTART, RLENGTH)]++)"));
}

}  // namespace
}  // namespace flagen::genomics
