#include "flagen/genomics/variant_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "genomics/variant_text.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using testing::all_variants;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kVariantFormat;
using testing::random_vcf;
using testing::TempDir;
using testing::tool_output;
using testing::vcf_header;

std::string read_all(const std::string& path, const VariantOptions& options = {}) {
    VariantReader reader = VariantReader::open(path, options);
    return all_variants(reader);
}

std::string query(const std::string& path, const std::string& format,
                  const std::string& options = "") {
    return tool_output("bcftools query " + options + " -f '" + format + "\\n' '" + path + "'");
}

std::size_t num_lines(const std::string& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// Not EXPECT_EQ: on failure it would print megabytes.
void expect_same_text(const std::string& found, const std::string& expected) {
    const auto [left, right] =
        std::mismatch(found.begin(), found.end(), expected.begin(), expected.end());
    EXPECT_TRUE(left == found.end() && right == expected.end())
        << "at byte " << (left - found.begin()) << ": \""
        << std::string(left, left + std::min<std::ptrdiff_t>(found.end() - left, 90))
        << "\" instead of \""
        << std::string(right, right + std::min<std::ptrdiff_t>(expected.end() - right, 90)) << '"';
}

TEST(VariantReader, EqualsBcftoolsOnYeast) {
    FLAGEN_TOOL_OR_SKIP("bcftools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/variants/SGRP_ensembl109.vcf.gz");
    VariantReader reader = VariantReader::open(path);
    EXPECT_EQ(reader.contigs().size(), 17U);
    EXPECT_EQ(reader.contigs().front().name, "I");
    EXPECT_EQ(reader.contigs().front().length_bp, 230'218);
    EXPECT_THAT(reader.samples(), IsEmpty());
    std::string text;
    std::uint64_t row = 0;
    std::size_t multi_allelic = 0;
    for (VariantRecord record; reader.next(record); ++row) {
        ASSERT_EQ(record.row, row);
        ASSERT_FALSE(record.genotypes);
        multi_allelic += record.alts.size() > 1 ? 1 : 0;
        text += record.contig + "\t" + std::to_string(record.start_bp + 1) + "\t" +
                (record.id.empty() ? "." : record.id) + "\t" + record.ref + "\t" +
                testing::joined(record.alts, ',') + "\n";
    }
    EXPECT_EQ(row, 260'526U);
    EXPECT_EQ(multi_allelic, 2'814U);
    expect_same_text(text, query(path, "%CHROM\\t%POS\\t%ID\\t%REF\\t%ALT"));
}

TEST(VariantReader, EqualsBcftoolsOnHumanSlice) {
    FLAGEN_TOOL_OR_SKIP("bcftools");
    FLAGEN_SHARED_DATA_OR_SKIP(path, "human_slices/grch37_chr20/1000Gp3.chr20_1-2Mb.sites.vcf.gz");
    const std::string text = read_all(path);
    EXPECT_EQ(num_lines(text), 28'998U);
    expect_same_text(text, query(path, kVariantFormat));
    VariantReader reader = VariantReader::open(path);
    std::size_t symbolic = 0;
    std::size_t with_end = 0;
    for (VariantRecord record; reader.next(record);) {
        symbolic += std::any_of(record.alts.begin(), record.alts.end(),
                                [](const std::string& alt) { return alt.front() == '<'; });
        with_end += record.end_bp ? 1 : 0;
    }
    EXPECT_EQ(symbolic, 24U);
    EXPECT_EQ(with_end, 17U);
}

class RandomVariants : public ::testing::Test {
  protected:
    void SetUp() override {
        FLAGEN_TOOL_OR_SKIP("bcftools");
        FLAGEN_TOOL_OR_SKIP("tabix");
        plain_ = dir_.write("t.vcf", random_vcf(1500, 4));
        expected_ = query(plain_, std::string(kVariantFormat) + "[\\t%GT]");
    }
    // A converted copy of the plain file.
    [[nodiscard]] std::string converted(const std::string& name, const std::string& command) const {
        const std::string path = (dir_.path() / name).string();
        static_cast<void>(tool_output(command + " '" + plain_ + "' > '" + path + "'"));
        return path;
    }

    TempDir dir_;
    std::string plain_;
    std::string expected_;
};

TEST_F(RandomVariants, TextGzipBgzipAndBcfGiveWhatBcftoolsGives) {
    ASSERT_EQ(num_lines(expected_), 3000U);
    expect_same_text(read_all(plain_), expected_);
    expect_same_text(read_all(converted("t.vcf.gz", "bgzip -c")), expected_);
    expect_same_text(read_all(converted("u.vcf.gz", "gzip -c")), expected_);
    expect_same_text(read_all(converted("t.bcf", "bcftools view -Ob")), expected_);
    expect_same_text(read_all(converted("u.bcf", "bcftools view -Ou")), expected_);
    // The name of a file says nothing.
    expect_same_text(read_all(converted("bcf.vcf", "bcftools view -Ob")), expected_);
}

TEST_F(RandomVariants, GenotypesAreLeftOutWhereNotWanted) {
    const std::string sites = query(plain_, kVariantFormat);
    expect_same_text(read_all(plain_, {false}), sites);
    expect_same_text(read_all(converted("t.bcf", "bcftools view -Ob"), {false}), sites);
}

TEST_F(RandomVariants, RegionsEqualBcftools) {
    const std::string bgzip = converted("t.vcf.gz", "bgzip -c");
    const std::string csi = converted("csi.vcf.gz", "bgzip -c");
    const std::string bcf = converted("t.bcf", "bcftools view -Ob");
    static_cast<void>(tool_output("tabix -p vcf '" + bgzip + "' && bcftools index '" + csi +
                                  "' && bcftools index '" + bcf + "'"));
    std::mt19937_64 random(8);
    std::size_t total = 0;
    for (int round = 0; round < 60; ++round) {
        std::vector<Interval> regions;
        std::string words;
        for (std::uint64_t i = 1 + random() % 4; i > 0; --i) {
            const auto start = static_cast<std::int64_t>(random() % 9000);
            const auto end = start + 1 + static_cast<std::int64_t>(random() % 400);
            regions.push_back({"chr" + std::to_string(1 + random() % 2), start, end});
            words += (words.empty() ? "" : ",") + regions.back().contig + ":" +
                     std::to_string(start + 1) + "-" + std::to_string(end);
        }
        for (const std::string& path : {bgzip, csi, bcf}) {
            VariantReader reader = VariantReader::open(path);
            VariantRecord skipped;
            ASSERT_TRUE(reader.next(skipped));
            reader.set_regions(regions);
            std::string found = all_variants(reader);
            std::string expected =
                query(path, std::string(kVariantFormat) + "[\\t%GT]", "-r " + words);
            total += num_lines(found);
            if (regions.size() > 1) {
                // bcftools sorts regions by the header's contigs, we keep the order given.
                const auto sorted = [](const std::string& text) {
                    std::vector<std::string> lines(1);
                    for (const char letter : text) {
                        if (letter == '\n') {
                            lines.emplace_back();
                        } else {
                            lines.back() += letter;
                        }
                    }
                    std::sort(lines.begin(), lines.end());
                    return testing::joined(lines, '\n');
                };
                found = sorted(found);
                expected = sorted(expected);
            }
            expect_same_text(found, expected);
        }
    }
    EXPECT_GT(total, 5000U);
}

TEST(VariantReader, RegionsOfRealFilesEqualBcftools) {
    FLAGEN_TOOL_OR_SKIP("bcftools");
    FLAGEN_SHARED_DATA_OR_SKIP(human, "human_slices/grch37_chr20/1000Gp3.chr20_1-2Mb.sites.vcf.gz");
    FLAGEN_SHARED_DATA_OR_SKIP(yeast, "yeast_R64-1-1/variants/SGRP_ensembl109.vcf.gz");
    struct Case {
        const std::string& path;
        Interval region;
    };
    for (const Case& item :
         {Case{human, {"20", 1'000'000, 1'100'000}}, Case{human, {"20", 1'016'000, 1'016'500}},
          Case{human, {"20", 0, 1'000'010}}, Case{human, {"20", 1'999'000, kContigEnd}},
          Case{yeast, {"XVI", 500'000, 600'000}}, Case{yeast, {"Mito", 0, 85'779}},
          Case{yeast, {"I", 83, 84}}}) {
        VariantReader reader = VariantReader::open(item.path);
        reader.set_regions({item.region});
        const std::string end =
            item.region.end_bp == kContigEnd ? "" : std::to_string(item.region.end_bp);
        const std::string found = all_variants(reader);
        const bool has_end = item.path == human;
        expect_same_text(found,
                         query(item.path,
                               has_end ? kVariantFormat
                                       : "%CHROM\\t%POS\\t%ID\\t%REF\\t%ALT\\t%QUAL\\t%FILTER\\t.",
                               "-r " + item.region.contig + ":" +
                                   std::to_string(item.region.start_bp + 1) + "-" + end));
    }
}

TEST(VariantReader, KeepsOddRecordsAsTheyAre) {
    const TempDir dir;
    const std::string path =
        dir.write("t.vcf", vcf_header() +
                               "chr1\t0\t.\tN\t<DUP>\t.\t.\t.\n"
                               "chr1\t50001\tlast\tacgT\tC,<DEL>,*\t0\tPASS\tEND=9\n"
                               "chr2\t99\t.\tA\t]chr1:7]A,G!x\t1e-3\tq10;new\tNOVEL=1;FLAG\n"
                               "chr2\t5\t.\tA\tA,A\t3.5\t.\tEND=.\n"
                               "chr1\t9007199254740992\t.\tR\t.\t.\t.\t.");
    VariantReader reader = VariantReader::open(path);
    ASSERT_EQ(reader.contigs().size(), 2U);
    EXPECT_EQ(reader.contigs()[0].name, "chr2");
    EXPECT_EQ(reader.contigs()[1].length_bp, 50'000);
    VariantRecord record;
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.start_bp, -1);
    EXPECT_EQ(record.ref, "N");
    EXPECT_THAT(record.alts, ElementsAre("<DUP>"));
    EXPECT_EQ(record.quality, std::nullopt);
    EXPECT_THAT(record.filters, IsEmpty());
    EXPECT_EQ(record.end_bp, std::nullopt);
    EXPECT_EQ(record.row, 0U);
    EXPECT_EQ(record.line_number, 12);
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.start_bp, 50'000);
    EXPECT_EQ(record.id, "last");
    EXPECT_EQ(record.ref, "acgT");
    EXPECT_THAT(record.alts, ElementsAre("C", "<DEL>", "*"));
    EXPECT_EQ(record.quality, 0.0F);
    EXPECT_THAT(record.filters, ElementsAre("PASS"));
    EXPECT_EQ(record.end_bp, 9);
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.contig, "chr2");
    EXPECT_EQ(record.id, "");
    EXPECT_THAT(record.alts, ElementsAre("]chr1:7]A", "G!x"));
    EXPECT_EQ(record.quality, 1e-3F);
    EXPECT_THAT(record.filters, ElementsAre("q10", "new"));
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.start_bp, 4);
    EXPECT_THAT(record.alts, ElementsAre("A", "A"));
    EXPECT_EQ(record.end_bp, std::nullopt);
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.start_bp, (std::int64_t{1} << 53) - 1);
    EXPECT_THAT(record.alts, IsEmpty());
    EXPECT_EQ(record.row, 4U);
    EXPECT_EQ(record.line_number, 16);
    EXPECT_FALSE(reader.next(record));
    EXPECT_FALSE(reader.next(record));
}

TEST(VariantReader, DecodesGenotypes) {
    const TempDir dir;
    const std::string path =
        dir.write("t.vcf", vcf_header({"a", "b", "c d", "e"}) +
                               "chr1\t7\t.\tA\tC,G\t.\t.\t.\tGT\t0|2\t./1\t1\t.\n"
                               "chr1\t8\t.\tA\tC\t.\t.\t.\tDP\t1\t2\t3\t4\n"
                               "chr1\t9\t.\tA\tC\t.\t.\t.\tDP:GT\t1:0\t2:1\t.:.\t3\n");
    VariantReader reader = VariantReader::open(path);
    EXPECT_THAT(reader.samples(), ElementsAre("a", "b", "c d", "e"));
    constexpr std::int32_t kMissing = VariantGenotypes::kMissing;
    constexpr std::int32_t kNone = VariantGenotypes::kNoAllele;
    VariantRecord record;
    ASSERT_TRUE(reader.next(record));
    ASSERT_TRUE(record.genotypes);
    EXPECT_EQ(record.genotypes->ploidy, 2);
    EXPECT_THAT(record.genotypes->alleles,
                ElementsAre(0, 2, kMissing, 1, 1, kNone, kMissing, kNone));
    EXPECT_THAT(record.genotypes->phased, ElementsAre(1, 0, 1, 1));
    ASSERT_TRUE(reader.next(record));
    EXPECT_FALSE(record.genotypes);
    ASSERT_TRUE(reader.next(record));
    ASSERT_TRUE(record.genotypes);
    EXPECT_EQ(record.genotypes->ploidy, 1);
    EXPECT_THAT(record.genotypes->alleles, ElementsAre(0, 1, kMissing, kMissing));
}

TEST(VariantReader, HeaderWithoutContigsOrLengthsIsAccepted) {
    const TempDir dir;
    const std::string columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\r\n";
    const std::string path =
        dir.write("t.vcf", "\xEF\xBB\xBF##fileformat=VCFv4.0\r\n" + columns +
                               "b\t1\t.\tA\tC\t.\t.\tEND=12\r\na\t2\t.\tA\tC\t.\tx\tFLAG\r\n");
    VariantReader reader = VariantReader::open(path);
    EXPECT_THAT(reader.contigs(), IsEmpty());
    VariantRecord record;
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.contig, "b");
    EXPECT_EQ(record.end_bp, 12);  // Undeclared, so HTSlib holds it as text.
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.contig, "a");
    EXPECT_THAT(record.filters, ElementsAre("x"));
    EXPECT_FALSE(reader.next(record));
    EXPECT_THAT(reader.contigs(), IsEmpty());

    const std::string other =
        dir.write("u.vcf", "##fileformat=VCFv4.5\n##contig=<ID=x>\n" + columns);
    VariantReader empty = VariantReader::open(other);
    ASSERT_EQ(empty.contigs().size(), 1U);
    EXPECT_EQ(empty.contigs()[0].length_bp, 0);
    EXPECT_FALSE(empty.next(record));
}

TEST(VariantReader, RecordsOfSeveralRegionsComeOnce) {
    FLAGEN_TOOL_OR_SKIP("tabix");
    const TempDir dir;
    const std::string path = dir.write("t.vcf", vcf_header() +
                                                    "chr2\t10\tlong\tA\t<DEL>\t.\t.\tEND=90\n"
                                                    "chr2\t30\tx\tA\tC\t.\t.\t.\n"
                                                    "chr2\t60\ty\tA\tC\t.\t.\t.\n"
                                                    "chr1\t5\tz\tA\tC\t.\t.\t.\n");
    static_cast<void>(tool_output("bgzip '" + path + "' && tabix -p vcf '" + path + ".gz'"));
    VariantReader reader = VariantReader::open(path + ".gz");
    const auto ids = [&](const std::vector<Interval>& regions) {
        reader.set_regions(regions);
        std::vector<std::string> found;
        for (VariantRecord record; reader.next(record);) {
            EXPECT_EQ(record.row, found.size());
            EXPECT_EQ(record.line_number, 0);
            found.push_back(record.id);
        }
        return found;
    };
    EXPECT_THAT(ids({{"chr2", 50, 70}, {"chr2", 25, 35}}), ElementsAre("long", "x", "y"));
    EXPECT_THAT(ids({{"chr2", 80, 85}, {"chr2", 20, 22}}), ElementsAre("long"));
    EXPECT_THAT(ids({{"chr1", 0, 9}, {"chr2", 59, 60}, {"chr1", 2, 7}}),
                ElementsAre("z", "long", "y"));
    EXPECT_THAT(ids({{"chr2", 90, 99}}), IsEmpty());
    EXPECT_THAT(ids({{"chr2", 30, 30}}), IsEmpty());
    EXPECT_THAT(ids({}), IsEmpty());
    EXPECT_THAT(ids({{"chr2", 0, kContigEnd}}), ElementsAre("long", "x", "y"));
    FLAGEN_EXPECT_USER_ERROR(reader.set_regions({{"2", 0, 9}}), kInputFile,
                             "contig of the region is not in the file of variants: 2", path,
                             "it has chr2, chr1");
    EXPECT_THROW(reader.set_regions({{"chr2", 9, 8}}), Error);
}

}  // namespace
}  // namespace flagen::genomics
