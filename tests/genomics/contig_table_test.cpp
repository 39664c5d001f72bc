#include "flagen/genomics/contig_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flagen/error.h"
#include "support/temp_dir.h"

namespace flagen::genomics {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

ContigTable table_of(const std::vector<std::string>& names) {
    std::vector<Contig> contigs;
    for (const std::string& name : names) {
        contigs.push_back({name, 100, false});
    }
    return ContigTable(std::move(contigs));
}

TEST(ContigTable, FindsExactNamesOnly) {
    const ContigTable table({{"chr1", 10, false}, {"chrM", 16'569, true}});
    EXPECT_EQ(table.size(), 2U);
    EXPECT_THAT(table.names(), ElementsAre("chr1", "chrM"));
    EXPECT_EQ(table.total_length_bp(), 16'579);
    EXPECT_EQ(table.find("chrM"), 1U);
    EXPECT_TRUE(table.at(1).circular);
    EXPECT_EQ(table.find("1"), std::nullopt);
    EXPECT_EQ(table.find("CHR1"), std::nullopt);
    EXPECT_EQ(table.require("chr1", "x.bed").length_bp, 10);
}

TEST(ContigTable, RefusesBrokenTables) {
    EXPECT_THROW(ContigTable({{"", 10, false}}), Error);
    EXPECT_THROW(ContigTable({{"a", 0, false}}), Error);
    EXPECT_THROW(ContigTable({{"a", 1, false}, {"a", 2, false}}), Error);
}

TEST(ContigTable, NamesTheUnknownContigItsSourceAndTheLikelyOne) {
    const ContigTable table = table_of({"chr1", "chr2"});
    EXPECT_THAT(
        [&] { static_cast<void>(table.require("2", "x.bed")); },
        ThrowsMessage<UserError>(AllOf(HasSubstr("contig is not in the FASTA: 2 (x.bed)"),
                                       HasSubstr("likely \"chr2\""), HasSubstr("alias table"))));
    EXPECT_THAT([&] { static_cast<void>(table.require("scaffold_9", "x.bed")); },
                ThrowsMessage<UserError>(::testing::Not(HasSubstr("likely"))));
}

TEST(ContigTable, SuggestsOtherSpellings) {
    const ContigTable ucsc = table_of({"chr1", "chr10", "chrX", "chrM", "chrIV"});
    EXPECT_EQ(ucsc.likely_alias("1"), "chr1");
    EXPECT_EQ(ucsc.likely_alias("Chr10"), "chr10");
    EXPECT_EQ(ucsc.likely_alias("MT"), "chrM");
    EXPECT_EQ(ucsc.likely_alias("chromosome4"), "chrIV");
    EXPECT_EQ(ucsc.likely_alias("04"), "chrIV");
    EXPECT_EQ(ucsc.likely_alias("Y"), std::nullopt);
    EXPECT_EQ(ucsc.likely_alias("11"), std::nullopt);
    EXPECT_EQ(ucsc.likely_alias(""), std::nullopt);
    EXPECT_EQ(ucsc.likely_alias("chr"), std::nullopt);

    const ContigTable ensembl_yeast = table_of({"I", "IX", "XVI", "Mito"});
    EXPECT_EQ(ensembl_yeast.likely_alias("chr16"), "XVI");
    EXPECT_EQ(ensembl_yeast.likely_alias("chrM"), "Mito");

    const ContigTable refseq = table_of({"NC_000913.3"});
    EXPECT_EQ(refseq.likely_alias("NC_000913"), "NC_000913.3");
    EXPECT_EQ(refseq.likely_alias("NC_000913.2"), "NC_000913.3");
    EXPECT_EQ(refseq.likely_alias("NC_000914.3"), std::nullopt);
}

TEST(ContigAliases, ResolvesByTheTableAlone) {
    const testing::TempDir dir;
    const ContigAliases aliases = ContigAliases::load(
        dir.write("alias.tsv", "# names of the annotation\r\n\nchr1\t1\r\nchrX\tX\nchrX\tX"));
    EXPECT_EQ(aliases.size(), 2U);
    EXPECT_EQ(aliases.resolve("chr1"), "1");
    EXPECT_EQ(aliases.resolve("1"), "1");
    EXPECT_EQ(aliases.resolve("chr2"), "chr2");

    const ContigTable contigs = table_of({"1", "2"});
    EXPECT_EQ(aliases.find(contigs, "chr1"), 0U);
    EXPECT_EQ(aliases.find(contigs, "2"), 1U);
    EXPECT_EQ(aliases.find(contigs, "chr2"), std::nullopt);
    EXPECT_EQ(aliases.find(contigs, "chrX"), std::nullopt);
}

TEST(ContigAliases, PrefersTheContigOfExactlyThatName) {
    const testing::TempDir dir;
    const ContigAliases aliases = ContigAliases::load(dir.write("alias.tsv", "a\tb\n"));
    EXPECT_EQ(aliases.find(table_of({"b", "a"}), "a"), 1U);
}

TEST(ContigAliases, RejectsMalformedRows) {
    const testing::TempDir dir;
    for (const char* text : {"chr1\n", "chr1\t\n", "\t1\n", "chr1\t1\tx\n", "chr1 1\n"}) {
        const std::string path = dir.write("bad.tsv", std::string("a\tb\n") + text);
        EXPECT_THAT([&] { static_cast<void>(ContigAliases::load(path)); },
                    ThrowsMessage<UserError>(
                        AllOf(HasSubstr(path + ", line 2"), HasSubstr("alias<TAB>name"))))
            << text;
    }
    const std::string twice = dir.write("twice.tsv", "chr1\t1\nchr1\t2\n");
    EXPECT_THAT(
        [&] { static_cast<void>(ContigAliases::load(twice)); },
        ThrowsMessage<UserError>(AllOf(HasSubstr("chr1 for 1 and 2"), HasSubstr("line 2"))));
    EXPECT_THROW(static_cast<void>(ContigAliases::load((dir.path() / "none.tsv").string())),
                 UserError);
}

}  // namespace
}  // namespace flagen::genomics
