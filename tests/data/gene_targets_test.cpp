#include "flagen/data/gene_targets.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/temp_dir.h"

namespace flagen::data {
namespace {

using genomics::ContigTable;
using genomics::Range;
using genomics::Strand;

/// A GFF3 with two coding genes, an RNA gene, one without strand, and the matrix that goes with it.
struct Files {
    ::flagen::testing::TempDir folder;
    std::string gff =
        "##gff-version 3\n"
        "chr\tx\tgene\t11\t50\t.\t+\t.\tID=g1;locus_tag=b1\n"
        "chr\tx\tCDS\t11\t20\t.\t+\t0\tID=c1;locus_tag=b1\n"
        "chr\tx\tCDS\t31\t50\t.\t+\t0\tID=c1;locus_tag=b1\n"
        "chr\tx\tgene\t61\t90\t.\t-\t.\tID=g2;locus_tag=b2\n"
        "chr\tx\tCDS\t61\t87\t.\t-\t0\tID=c2;locus_tag=b2\n"
        "chr\tx\tgene\t101\t120\t.\t-\t.\tID=g3;locus_tag=b3\n"
        "chr\tx\tgene\t131\t140\t.\t.\t.\tID=g4;locus_tag=b4\n";
    std::string matrix = "id\ts1\ts2\nb2\t1.5\t2\nb1\t3\tNA\nb3\t0\t4\n";
    ContigTable contigs{{{"chr", 200, false}}};
    GeneTargetsConfig config;

    Files() {
        config.features = {"gene"};
        config.gene_id = "locus_tag";
        config.value = "log2_tpm";
    }

    GeneTargets load(const genomics::ContigAliases& aliases = {}) {
        config.annotation = folder.write("genes.gff3", gff);
        config.matrix = folder.write("matrix.tsv", matrix);
        return load_gene_targets(config, contigs, aliases);
    }
};

TEST(GeneTargetsTest, JoinsMatrixAndAnnotationInMatrixOrder) {
    Files files;
    const GeneTargets targets = files.load();
    ASSERT_EQ(targets.num_genes(), 3);
    EXPECT_THAT(targets.samples, ::testing::ElementsAre("s1", "s2"));
    EXPECT_EQ(targets.spans[0].id, "b2");
    EXPECT_EQ(targets.spans[0].start_bp, 60);
    EXPECT_EQ(targets.spans[0].end_bp, 90);
    EXPECT_EQ(targets.spans[0].strand, Strand::kReverse);
    EXPECT_THAT(targets.spans[0].pieces, ::testing::ElementsAre(Range{60, 90}));
    EXPECT_EQ(targets.spans[1].id, "b1");
    EXPECT_EQ(targets.value, "log2_tpm");
    EXPECT_TRUE(targets.dropped.empty());
    EXPECT_EQ(targets.values.sizes(), (std::vector<std::int64_t>{3, 2}));
    EXPECT_EQ(targets.values[0][0].item<float>(), 1.5F);
    EXPECT_TRUE(std::isnan(targets.values[1][1].item<float>()));
    EXPECT_EQ(targets.values[2][1].item<float>(), 4.0F);
}

TEST(GeneTargetsTest, CodingRowsBecomeThePieces) {
    Files files;
    files.config.coding_features = {"CDS"};
    const GeneTargets targets = files.load();
    EXPECT_EQ(targets.spans[0].end_bp, 90) << "the span stays that of the gene";
    EXPECT_THAT(targets.spans[0].pieces, ::testing::ElementsAre(Range{60, 87}));
    EXPECT_THAT(targets.spans[1].pieces, ::testing::ElementsAre(Range{10, 20}, Range{30, 50}));
    EXPECT_TRUE(targets.spans[2].pieces.empty()) << "an RNA gene has none";
    files.config.coding_gene_id = "ID";
    EXPECT_TRUE(files.load().spans[0].pieces.empty()) << "no CDS row has the ID b2";
}

TEST(GeneTargetsTest, DroppedIdsAreListedAndLimited) {
    Files files;
    files.matrix += "b4\t1\t1\nnowhere\t2\t2\n";
    FLAGEN_EXPECT_USER_ERROR(files.load(), kInputFile, "2 of 5", "5 %", "b4 (no strand",
                             "nowhere (not in the annotation)", "matrix.tsv", "genes.gff3");
    files.config.max_missing_genes = 0.4;
    const GeneTargets targets = files.load();
    EXPECT_EQ(targets.num_genes(), 3);
    EXPECT_EQ(dropped_genes_tsv(targets.dropped),
              "gene_id\treason\nb4\tno strand in the annotation\nnowhere\tnot in the annotation\n");
}

TEST(GeneTargetsTest, AllIdsDroppedIsAnErrorWhateverTheLimit) {
    Files files;
    files.matrix = "id\ts1\nx\t1\n";
    files.config.max_missing_genes = 1.0;
    FLAGEN_EXPECT_USER_ERROR(files.load(), kInputFile, "1 of 1");
}

TEST(GeneTargetsTest, ContigNamesAreResolvedByTheTableOnly) {
    Files files;
    files.contigs = ContigTable({{"1", 200, false}});
    FLAGEN_EXPECT_USER_ERROR(files.load(), kInputFile, "chr", "genes.gff3");
    const auto aliases = genomics::ContigAliases::load(files.folder.write("alias.tsv", "chr\t1\n"));
    EXPECT_EQ(files.load(aliases).spans[0].contig, "1");
}

TEST(GeneTargetsTest, UnmeasuredGenesMayLieAnywhere) {
    Files files;
    files.gff += "elsewhere\tx\tgene\t1\t5\t.\t+\t.\tID=g9;locus_tag=b9\n";
    EXPECT_EQ(files.load().num_genes(), 3);
}

TEST(GeneTargetsTest, GeneMustLieOnItsContig) {
    Files files;
    files.contigs = ContigTable({{"chr", 110, false}});
    FLAGEN_EXPECT_USER_ERROR(files.load(), kInputFile, "b3", "chr:101-120", "110 bp");
    files.contigs = ContigTable({{"chr", 110, true}});
    EXPECT_EQ(files.load().spans[2].end_bp, 120) << "over the origin of a ring";
}

TEST(GeneTargetsTest, CodingRowsMustBelongToTheirGene) {
    Files files;
    files.config.coding_features = {"CDS"};
    const std::string good = files.gff;
    files.gff = good + "chr\tx\tCDS\t119\t125\t.\t-\t0\tID=c3;locus_tag=b3\n";
    FLAGEN_EXPECT_USER_ERROR(files.load(), kInputFile, "reach over their gene", "b3", "119-125");
    files.gff = good + "chr\tx\tCDS\t105\t110\t.\t+\t0\tID=c3;locus_tag=b3\n";
    FLAGEN_EXPECT_USER_ERROR(files.load(), kInputFile, "another strand", "b3");
    files.gff = good + "chr2\tx\tCDS\t105\t110\t.\t-\t0\tID=c3;locus_tag=b3\n";
    FLAGEN_EXPECT_USER_ERROR(files.load(), kInputFile, "another contig", "b3");
}

TEST(GeneTargetsTest, ReadsItsConfigurationAndReportsAllFaults) {
    JsonObject good = JsonObject::parse(
        R"({"matrix":"m.csv","annotation":"g.gff3","feature":"gene","gene_id":"locus_tag",
            "coding_feature":["CDS"],"value":"counts","transform":"log2p1_zscore",
            "max_missing_genes":0.1})",
        "p.json");
    const auto config = GeneTargetsConfig::from_json(good);
    good.finish();
    EXPECT_TRUE(good.problems().empty());
    EXPECT_THAT(config.features, ::testing::ElementsAre("gene"));
    EXPECT_THAT(config.coding_features, ::testing::ElementsAre("CDS"));
    EXPECT_EQ(config.transform, "log2p1_zscore");
    EXPECT_DOUBLE_EQ(config.max_missing_genes, 0.1);
    JsonObject bad = JsonObject::parse(
        R"({"annotation":"g.gff3","value":"log2_tpm","transform":"log2p1_zscore",
            "max_missing_genes":2})",
        "p.json");
    static_cast<void>(GeneTargetsConfig::from_json(bad));
    const std::string report = bad.problems().report("p.json");
    EXPECT_EQ(bad.problems().size(), 3U);
    EXPECT_THAT(report, ::testing::HasSubstr("second logarithm of log2_tpm; use zscore"));
}

}  // namespace
}  // namespace flagen::data
