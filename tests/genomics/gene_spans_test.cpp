#include "flagen/genomics/gene_spans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>
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

constexpr const char* kGtf =
    "I\ts\tgene\t1\t400\t.\t+\t.\tgene_id \"a\"; gene_name \"A\";\n"
    "I\ts\texon\t301\t400\t.\t+\t.\tgene_id \"a\"; transcript_id \"t1\";\n"
    "I\ts\texon\t11\t20\t.\t+\t.\tgene_id \"a\"; transcript_id \"t1\";\n"
    "II\ts\texon\t5\t9\t.\t-\t.\tgene_id \"b\"; transcript_id \"t3\";\n"
    "I\ts\texon\t15\t40\t.\t+\t.\tgene_id \"a\"; transcript_id \"t2\";\n"
    "I\ts\texon\t41\t50\t.\t+\t.\tgene_id \"a\"; transcript_id \"t2\";\n";

TEST(GeneSpans, UnitesRowsOfOneGene) {
    const TempDir dir;
    GeneSpanCounts counts;
    const auto spans = load_gene_spans(dir.write("a.gtf", kGtf), {"exon"}, "gene_id", &counts);
    ASSERT_EQ(spans.size(), 2U);
    EXPECT_EQ(spans[0].id, "a");
    EXPECT_EQ(spans[0].interval(), (Interval{"I", 10, 400}));
    EXPECT_EQ(spans[0].strand, Strand::kForward);
    EXPECT_EQ(spans[0].pieces, (std::vector<Range>{{10, 50}, {300, 400}}));
    EXPECT_EQ(spans[1].id, "b");
    EXPECT_EQ(spans[1].interval(), (Interval{"II", 4, 9}));
    EXPECT_EQ(spans[1].strand, Strand::kReverse);
    EXPECT_EQ(counts.num_rows, 5);
    EXPECT_EQ(counts.num_rows_without_id, 0);
}

TEST(GeneSpans, ReadsGtfAsExonsOfGeneIdByDefault) {
    const TempDir dir;
    const auto spans = load_gene_spans(dir.write("a.gtf", kGtf));
    ASSERT_EQ(spans.size(), 2U);
    EXPECT_EQ(spans[0].start_bp, 10);
}

TEST(GeneSpans, GroupsByAnyAttributeAndSkipsRowsWithoutIt) {
    const TempDir dir;
    GeneSpanCounts counts;
    const auto spans =
        load_gene_spans(dir.write("a.gtf", kGtf), {"gene", "exon"}, "transcript_id", &counts);
    ASSERT_EQ(spans.size(), 3U);
    EXPECT_EQ(spans[0].id, "t1");
    EXPECT_EQ(spans[1].id, "t3");
    EXPECT_EQ(spans[2].pieces, (std::vector<Range>{{14, 50}}));
    EXPECT_EQ(counts.num_rows_without_id, 1);
}

TEST(GeneSpans, GivesARowToEachOfItsValues) {
    const TempDir dir;
    const auto spans = load_gene_spans(dir.write("a.gff3",
                                                 "c\ts\texon\t1\t5\t.\t+\t.\tParent=t1,t2\n"
                                                 "c\ts\texon\t11\t15\t.\t+\t.\tParent=t2\n"),
                                       {"exon"}, "Parent");
    ASSERT_EQ(spans.size(), 2U);
    EXPECT_EQ(spans[0].pieces, (std::vector<Range>{{0, 5}}));
    EXPECT_EQ(spans[1].pieces, (std::vector<Range>{{0, 5}, {10, 15}}));
}

TEST(GeneSpans, RejectsGenesOnTwoContigsOrStrands) {
    const TempDir dir;
    const std::string path = dir.write("a.gtf", kGtf);
    const std::string moved =
        dir.write("b.gtf", std::string(kGtf) + "II\ts\texon\t1\t9\t.\t+\t.\tgene_id \"a\";\n");
    FLAGEN_EXPECT_USER_ERROR(load_gene_spans(moved), kInputFile,
                             "rows of one gene lie on different contigs: a on I and II",
                             moved + ":2", moved + ":7");
    const std::string turned =
        dir.write("c.gtf", std::string(kGtf) + "I\ts\texon\t1\t9\t.\t-\t.\tgene_id \"a\";\n");
    FLAGEN_EXPECT_USER_ERROR(load_gene_spans(turned), kInputFile,
                             "rows of one gene lie on different strands: a on + and -");
}

TEST(GeneSpans, SaysWhatTheFileHasInstead) {
    const TempDir dir;
    const std::string gtf = dir.write("a.gtf", kGtf);
    const auto no_attribute = [&] { return load_gene_spans(gtf, {"exon"}, "locus_tag"); };
    FLAGEN_EXPECT_USER_ERROR(
        no_attribute(), kConfig,
        "no \"exon\" row of " + gtf + " has attribute \"locus_tag\"; seen: gene_id, transcript_id");
    const auto no_type = [&] { return load_gene_spans(gtf, {"mRNA", "CDS"}, "gene_id"); };
    FLAGEN_EXPECT_USER_ERROR(no_type(), kConfig, " is of type \"mRNA\", \"CDS\"; seen: exon, gene");
    const std::string gff3 = dir.write("a.gff3", "c\ts\tgene\t1\t5\t.\t+\t.\tID=a\n");
    FLAGEN_EXPECT_USER_ERROR(load_gene_spans(gff3), kConfig, "GFF3 annotation needs the feature");
    FLAGEN_EXPECT_USER_ERROR(load_gene_spans(dir.write("e.gtf", "# nothing\n")), kInputFile,
                             "annotation holds no feature row");
}

/// Sorted "id contig start end strand bases-in-pieces" lines.
std::string span_lines(const std::vector<GeneSpan>& spans) {
    std::set<std::string> lines;
    for (const GeneSpan& span : spans) {
        std::ostringstream line;
        line << span.id << ' ' << span.contig << ' ' << span.start_bp << ' ' << span.end_bp << ' '
             << strand_symbol(span.strand) << ' ' << total_bp(span.pieces) << '\n';
        lines.insert(line.str());
    }
    std::string text;
    for (const std::string& line : lines) {
        text += line;
    }
    return text;
}

/// The same by awk and bedtools: rows become BED with "id;contig" for a contig, so that bedtools
/// merges within genes only, and awk adds the merged pieces up.
std::string bedtools_lines(const std::string& path, const std::string& types,
                           const std::string& id_pattern, const std::string& cut) {
    return testing::tool_output(
        "zcat '" + path + "' | awk -F'\\t' -v OFS='\\t' '!/^#/ && $3 ~ /^(" + types +
        ")$/ && match($9, /" + id_pattern + "/) {id = substr($9, RSTART, RLENGTH); gsub(/" + cut +
        "/, \"\", id); print id \";\" $1 \";\" $7, $4 - 1, $5}' | LC_ALL=C sort -k1,1 -k2,2n"
        " | bedtools merge -i - | awk -F'\\t' '{if (!($1 in s)) s[$1] = $2; e[$1] = $3;"
        " n[$1] += $3 - $2} END {for (k in s) {split(k, p, \";\");"
        " print p[1], p[2], s[k], e[k], p[3], n[k]}}' | LC_ALL=C sort");
}

TEST(GeneSpans, YeastExonUnionsEqualBedtools) {
    FLAGEN_TOOL_OR_SKIP("bedtools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/annotation/R64-1-1.96.sorted.gtf.gz");
    const auto spans = load_gene_spans(path);
    EXPECT_EQ(spans.size(), 7036U);
    EXPECT_EQ(span_lines(spans), bedtools_lines(path, "exon", "gene_id \"[^\"]*", "gene_id \""));
}

TEST(GeneSpans, YeastCodingPiecesEqualBedtools) {
    FLAGEN_TOOL_OR_SKIP("bedtools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/annotation/R64-1-1.96.sorted.gtf.gz");
    const auto spans = load_gene_spans(path, {"CDS"}, "gene_id");
    EXPECT_EQ(spans.size(), 6600U);
    EXPECT_EQ(span_lines(spans), bedtools_lines(path, "CDS", "gene_id \"[^\"]*", "gene_id \""));
}

TEST(GeneSpans, EcoliSpansEqualBedtools) {
    FLAGEN_TOOL_OR_SKIP("bedtools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "ecoli_K12_MG1655/annotation/NC_000913.3.sorted.gff3.gz");
    const struct {
        std::vector<std::string> features;
        const char* types;
    } cases[] = {{{"gene", "pseudogene"}, "gene|pseudogene"}, {{"CDS"}, "CDS"}, {{"exon"}, "exon"}};
    for (const auto& [features, types] : cases) {
        const auto spans = load_gene_spans(path, features, "locus_tag");
        EXPECT_EQ(span_lines(spans), bedtools_lines(path, types, "locus_tag=[^;]*", "locus_tag="))
            << types;
    }
}

/// Genes with expression wholly inside each of the data set's windows, as its author counted them.
TEST(GeneSpans, YeastGenesPerWindowEqualThePublishedCounts) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/annotation/R64-1-1.96.sorted.gtf.gz");
    FLAGEN_SHARED_DATA_OR_SKIP(windows, "yeast_R64-1-1/windows_524288.bed");
    FLAGEN_SHARED_DATA_OR_SKIP(table, "yeast_R64-1-1/expression/gene_expression.tsv");
    auto spans = load_gene_spans(path, {"gene"}, "gene_id");
    std::istringstream ids(testing::tool_output("tail -n +2 '" + table + "' | cut -f 1"));
    const std::set<std::string> measured{std::istream_iterator<std::string>(ids), {}};
    std::erase_if(spans, [&](const GeneSpan& span) { return !measured.contains(span.id); });
    ASSERT_EQ(spans.size(), 7018U);
    std::istringstream rows(testing::tool_output("cat '" + windows + "'"));
    std::string contig;
    std::string split;
    std::int64_t start = 0;
    std::int64_t end = 0;
    std::int64_t published = 0;
    int num_windows = 0;
    while (rows >> contig >> start >> end >> split >> published) {
        const auto inside = std::count_if(spans.begin(), spans.end(), [&](const GeneSpan& span) {
            return span.contig == contig && span.start_bp >= start && span.end_bp <= end;
        });
        EXPECT_EQ(inside, published) << contig << ":" << start;
        ++num_windows;
    }
    EXPECT_EQ(num_windows, 36);
}

}  // namespace
}  // namespace flagen::genomics
