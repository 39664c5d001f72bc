#include "flagen/genomics/annotation_reader.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
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

std::vector<AnnotationRecord> read_all(const std::string& path) {
    std::vector<AnnotationRecord> records;
    AnnotationReader reader(path);
    for (AnnotationRecord record; reader.next(record);) {
        records.push_back(record);
    }
    return records;
}

/// A GTF row with one column replaced.
std::string row_with(std::size_t column, const std::string& value) {
    std::vector<std::string> columns{"I", "sgd", "exon", "335",           "649",
                                     ".", "+",   "0",    "gene_id \"a\";"};
    columns.at(column) = value;
    std::string row = columns[0];
    for (std::size_t i = 1; i < columns.size(); ++i) {
        row += "\t" + columns[i];
    }
    return row + "\n";
}

struct BadRow {
    const char* name;
    std::size_t column;
    const char* value;
    const char* fault;
};

class MalformedRow : public ::testing::TestWithParam<BadRow> {};

TEST_P(MalformedRow, IsAnErrorWithFileAndLine) {
    const TempDir dir;
    const BadRow& bad = GetParam();
    const std::string path =
        dir.write("bad.gtf", "#!x\n" + row_with(1, "ok") + row_with(bad.column, bad.value));
    FLAGEN_EXPECT_USER_ERROR(read_all(path), kInputFile, bad.fault, path + ":3");
}

INSTANTIATE_TEST_SUITE_P(
    Row52, MalformedRow,
    ::testing::Values(
        BadRow{"EndBeforeStart", 4, "334", "end lies before start: 335..334"},
        BadRow{"StartZero", 3, "0", "start is 0"},
        BadRow{"NegativeStart", 3, "-5", "start is not a whole number: \"-5\""},
        BadRow{"FractionalEnd", 4, "650.5", "end is not a whole number: \"650.5\""},
        BadRow{"StartInWords", 3, "five", "start is not a whole number: \"five\""},
        BadRow{"DottedStart", 3, ".", "start is not a whole number: \".\""},
        BadRow{"Overflow", 4, "99999999999999999999", "end is not a whole number"},
        BadRow{"EmptyContig", 0, "", "column 1 is empty"},
        BadRow{"EmptyEnd", 4, "", "column 5 is empty"},
        BadRow{"BadStrand", 6, "x", "strand is not one of + - . ?: \"x\""},
        BadRow{"BadPhase", 7, "3", "phase is not one of 0 1 2 .: \"3\""},
        BadRow{"BadScore", 5, "high", "score is not a number: \"high\""},
        BadRow{"UnclosedQuote", 8, "gene_id \"a; transcript_id b", "quote is not closed"},
        BadRow{"KeyAlone", 8, "gene_id;", "not of the form key \"value\": \"gene_id;\""},
        BadRow{"Gff3InGtf", 8, "ID=gene1;Name=x", "not of the form key \"value\""},
        BadRow{"TextAfterQuote", 8, "gene_id \"a\"b;", "text after the value of attribute gene_id"},
        BadRow{"TenthColumn", 8, "gene_id \"a\";\textra", "has 10 tab-separated columns"}),
    [](const auto& test) { return test.param.name; });

TEST(AnnotationReader, RejectsMissingColumns) {
    const TempDir dir;
    FLAGEN_EXPECT_USER_ERROR(read_all(dir.write("a.gtf", "I\tsgd\texon\t1\t5\t.\t+\t.\n")),
                             kInputFile, "has 8 tab-separated columns, not 9", "a.gtf:1");
    FLAGEN_EXPECT_USER_ERROR(read_all(dir.write("b.gtf", "I sgd exon 1 5 . + . gene_id \"a\";\n")),
                             kInputFile, "has 1 tab-separated columns");
}

TEST(AnnotationReader, RejectsMalformedGff3Attributes) {
    const TempDir dir;
    const std::string head = "##gff-version 3\nc\ts\tgene\t1\t5\t.\t+\t.\t";
    for (const std::string column : {"ID", "=x", "ID=a;gene_id \"b\""}) {
        FLAGEN_EXPECT_USER_ERROR(read_all(dir.write("a.gff3", head + column + "\n")), kInputFile,
                                 "GFF3 attribute is not of the form key=value", "a.gff3:2");
    }
    FLAGEN_EXPECT_USER_ERROR(read_all(dir.write("v.gff3", "##gff-version 4\n")), kInputFile,
                             "unknown GFF version: \"4\"", "v.gff3:1");
}

TEST(AnnotationReader, ConvertsGtfRows) {
    const TempDir dir;
    const auto records = read_all(dir.write(
        "a.gtf",
        "#!genome-build X\n"
        "chr1\tHAVANA\tCDS\t100\t250\t12.5\t-\t2\tgene_id \"ENSG1.4\"; level 2; tag \"basic\"; "
        "note \"a; b = \"; tag \"CCDS\"; empty \"\"; last 5\n"
        "chr1\tHAVANA\tgene\t1\t1\t.\t.\t.\tgene_id \"g\" ; # comment \"\n"));
    ASSERT_EQ(records.size(), 2U);
    const AnnotationRecord& cds = records[0];
    EXPECT_EQ(cds.contig, "chr1");
    EXPECT_EQ(cds.source, "HAVANA");
    EXPECT_EQ(cds.type, "CDS");
    EXPECT_EQ(cds.start_bp, 99);
    EXPECT_EQ(cds.end_bp, 250);
    EXPECT_EQ(cds.strand, Strand::kReverse);
    EXPECT_EQ(cds.phase, 2);
    EXPECT_EQ(cds.line_number, 2);
    EXPECT_EQ(cds.attribute("gene_id"), "ENSG1.4");
    EXPECT_EQ(cds.attribute("level"), "2");
    EXPECT_EQ(cds.attribute("note"), "a; b = ");
    EXPECT_EQ(cds.attribute("empty"), "");
    EXPECT_EQ(cds.attribute("last"), "5");
    EXPECT_EQ(cds.attribute("absent"), std::nullopt);
    EXPECT_EQ(cds.attribute_values("tag"), (std::vector<std::string_view>{"basic", "CCDS"}));
    EXPECT_EQ(records[1].start_bp, 0);
    EXPECT_EQ(records[1].end_bp, 1);
    EXPECT_EQ(records[1].strand, Strand::kUnknown);
    EXPECT_EQ(records[1].phase, AnnotationRecord::kNoPhase);
    ASSERT_EQ(records[1].attributes.size(), 1U);
}

TEST(AnnotationReader, DecodesGff3Rows) {
    const TempDir dir;
    const std::string path =
        dir.write("a.gff3",
                  "##gff-version 3.1.26\n##sequence-region c%7C1 1 900\n###\n# comment\n\n"
                  "c%7C1\tRef%09Seq\tgene\t5\t5\t.\t?\t.\tID=gene:a,b;Name=x%2Cy;Dbxref=A:1,B:2;"
                  "product=50%25 of%3B 5% and %ZZ;Parent=p1,p2%2C3;empty= ;\n"
                  "c1\ts\tregion\t1\t9\t.\t+\t.\t.\n"
                  "##FASTA\n>c1\nACGT\nthis is no row\n");
    const auto records = read_all(path);
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0].contig, "c|1");
    EXPECT_EQ(records[0].source, "Ref\tSeq");
    EXPECT_EQ(records[0].attribute("ID"), "gene:a,b");
    EXPECT_EQ(records[0].attribute("Name"), "x,y");
    EXPECT_EQ(records[0].attribute_values("Dbxref"), (std::vector<std::string_view>{"A:1", "B:2"}));
    EXPECT_EQ(records[0].attribute_values("Parent"), (std::vector<std::string_view>{"p1", "p2,3"}));
    EXPECT_EQ(records[0].attribute("product"), "50% of; 5% and %ZZ");
    EXPECT_EQ(records[0].attribute("empty"), "");
    EXPECT_EQ(records[0].strand, Strand::kUnknown);
    EXPECT_TRUE(records[1].attributes.empty());
    EXPECT_EQ(read_all(dir.write("b.gff3", "c\ts\tgene\t1\t5\t.\t+\t.\tID=a\n>c\nACGT\n")).size(),
              1U);
}

TEST(AnnotationReader, TellsFormatsApartByContent) {
    const TempDir dir;
    const auto format_of = [&](const std::string& text) {
        AnnotationReader reader(dir.write("any.txt", text));
        AnnotationRecord record;
        EXPECT_EQ(reader.format() == AnnotationFormat::kUnknown, true);
        EXPECT_TRUE(reader.next(record));
        return reader.format();
    };
    EXPECT_EQ(format_of("c\ts\tgene\t1\t5\t.\t+\t.\tID=a;note=\"x y\"\n"), AnnotationFormat::kGff3);
    EXPECT_EQ(format_of("c\ts\tgene\t1\t5\t.\t+\t.\tgene_id \"a=b\"\n"), AnnotationFormat::kGtf);
    EXPECT_EQ(format_of("c\ts\tgene\t1\t5\t.\t+\t.\texon_number 1;\n"), AnnotationFormat::kGtf);
    EXPECT_EQ(format_of("##gff-version   3\nc\ts\tgene\t1\t5\t.\t+\t.\t.\n"),
              AnnotationFormat::kGff3);
    EXPECT_EQ(format_of("##gff-version 2\nc\ts\tgene\t1\t5\t.\t+\t.\tgene_id \"a\"\n"),
              AnnotationFormat::kGtf);
}

TEST(AnnotationReader, NormalisesCrlf) {
    const TempDir dir;
    const auto records =
        read_all(dir.write("a.gff3", "##gff-version 3\r\nc\ts\tgene\t1\t5\t.\t+\t.\tID=a\r\n\r\n"));
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].attribute("ID"), "a");
}

TEST(AnnotationReader, RejectsLinesAboveTheLimit) {
    const TempDir dir;
    const std::string path =
        dir.write("long.gff3", "##gff-version 3\n#" + std::string(17 << 20, 'x') + "\n");
    FLAGEN_EXPECT_USER_ERROR(read_all(path), kInputFile, "line is longer than 16777216 bytes",
                             path + ":2");
}

std::string slurp(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

class CompressedAnnotation : public ::testing::TestWithParam<const char*> {};

TEST_P(CompressedAnnotation, EveryTruncationIsAnError) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    std::string text;
    for (int i = 0; i < 40; ++i) {
        text += row_with(8, "gene_id \"g" + std::to_string(i * i) + "\";");
    }
    const std::string plain = dir.write("a.gtf", text);
    testing::tool_output(std::string(GetParam()) + " -c '" + plain + "' > '" + plain + ".gz'");
    const std::string packed = slurp(plain + ".gz");
    ASSERT_EQ(read_all(plain + ".gz").size(), 40U);
    ::testing::internal::CaptureStderr();  // Keeps HTSlib's own messages out of the log.
    // Below 2 bytes nothing says that the file is compressed; the text then fails as a row.
    for (std::size_t size = 1; size < packed.size(); ++size) {
        const std::string path = dir.write("cut.gtf.gz", packed.substr(0, size));
        const auto caught = testing::user_error_of([&] { static_cast<void>(read_all(path)); });
        ASSERT_EQ(caught.fault, UserFault::kInputFile) << size << " of " << packed.size();
        ASSERT_NE(caught.message.find(path), std::string::npos) << caught.message;
    }
    static_cast<void>(::testing::internal::GetCapturedStderr());
}

TEST_P(CompressedAnnotation, EveryFlippedByteIsAnErrorOrHarmless) {
    FLAGEN_TOOL_OR_SKIP("bgzip");
    const TempDir dir;
    const std::string plain = dir.write("a.gtf", row_with(0, "chrI") + row_with(0, "chrII"));
    testing::tool_output(std::string(GetParam()) + " -c '" + plain + "' > '" + plain + ".gz'");
    const std::string packed = slurp(plain + ".gz");
    ::testing::internal::CaptureStderr();
    std::size_t num_rejected = 0;
    for (std::size_t i = 0; i < packed.size(); ++i) {
        std::string damaged = packed;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
        const std::string path = dir.write("flip.gtf.gz", damaged);
        try {
            const auto records = read_all(path);
            // Header fields such as the time stamp do not touch the text.
            ASSERT_EQ(records.size(), 2U) << "byte " << i;
            ASSERT_EQ(records[1].contig, "chrII") << "byte " << i;
        } catch (const UserError&) {
            ++num_rejected;
        }
    }
    static_cast<void>(::testing::internal::GetCapturedStderr());
    EXPECT_GT(num_rejected, packed.size() / 2);
}

INSTANTIATE_TEST_SUITE_P(Kinds, CompressedAnnotation, ::testing::Values("gzip", "bgzip"));

/// "type count" lines of the feature rows, as awk prints them.
std::string counts_by_type(const std::string& path) {
    std::map<std::string, int> counts;
    for (const AnnotationRecord& record : read_all(path)) {
        ++counts[record.type];
    }
    std::string text;
    for (const auto& [type, count] : counts) {
        text += type + " " + std::to_string(count) + "\n";
    }
    return text;
}

std::string awk_counts(const std::string& path) {
    return testing::tool_output("zcat '" + path +
                                "' | awk -F'\\t' '!/^#/ {n[$3]++} END {for (t in n) print t, n[t]}'"
                                " | LC_ALL=C sort");
}

TEST(AnnotationReader, CountsYeastFeaturesAsAwkDoes) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/annotation/R64-1-1.96.sorted.gtf.gz");
    EXPECT_EQ(counts_by_type(path), awk_counts(path));
}

TEST(AnnotationReader, CountsEcoliFeaturesAsAwkDoes) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "ecoli_K12_MG1655/annotation/NC_000913.3.sorted.gff3.gz");
    EXPECT_EQ(counts_by_type(path), awk_counts(path));
}

}  // namespace
}  // namespace flagen::genomics
