#include "flagen/genomics/expression_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using testing::TempDir;
using Strings = std::vector<std::string>;

TEST(ExpressionTable, ReadsCsvWithQuotes) {
    const TempDir dir;
    const auto table = ExpressionTable::load(dir.write(
        "a.csv", "\"\",s1,\"s, \"\"2\"\"\"\r\nb0001,1.5,-2\r\n\"b 0002\",\"3e-2\", +4 \r\n\r\n"));
    EXPECT_EQ(table.gene_ids(), (Strings{"b0001", "b 0002"}));
    EXPECT_EQ(table.samples(), (Strings{"s1", "s, \"2\""}));
    EXPECT_EQ(table.values(), (std::vector<float>{1.5F, -2.0F, 0.03F, 4.0F}));
    EXPECT_EQ(table.at(1, 0), 0.03F);
    EXPECT_EQ(table.find_gene("b 0002"), 1U);
    EXPECT_EQ(table.find_gene("b0003"), std::nullopt);
    EXPECT_EQ(table.find_sample("s1"), 0U);
    EXPECT_EQ(table.num_missing(), 0U);
}

TEST(ExpressionTable, ReadsMissingValues) {
    const TempDir dir;
    const auto table = ExpressionTable::load(dir.write(
        "a.tsv", "gene\ta\tb\tc\td\te\tf\ng\tNA\tNaN\tnan\t\t 7\tna\nh\t1\t2\t3\t4\t5\t\n"));
    EXPECT_EQ(table.num_missing(), 6U);
    EXPECT_EQ(table.at(0, 4), 7.0F);
    EXPECT_TRUE(std::isnan(table.at(0, 3)));
    EXPECT_TRUE(std::isnan(table.at(1, 5)));
}

TEST(ExpressionTable, ChoosesTheSeparatorByNameThenByHeader) {
    const TempDir dir;
    EXPECT_EQ(ExpressionTable::load(dir.write("a.csv", "g,x\ty,z\na,1,2\n")).samples(),
              (Strings{"x\ty", "z"}));
    EXPECT_EQ(ExpressionTable::load(dir.write("a.tsv", "g\tx,y\na\t1\n")).samples(),
              (Strings{"x,y"}));
    EXPECT_EQ(ExpressionTable::load(dir.write("a.txt", "g\tx,y\tz\na\t1\t2\n")).num_samples(), 2U);
    EXPECT_EQ(ExpressionTable::load(dir.write("b.txt", "g,x y,z\na,1,2\n")).num_samples(), 2U);
}

struct BadTable {
    const char* name;
    const char* text;
    const char* fault;
    int line;
};

class MalformedTable : public ::testing::TestWithParam<BadTable> {};

TEST_P(MalformedTable, IsAnErrorWithLineAndColumn) {
    const TempDir dir;
    const std::string path = dir.write("bad.csv", GetParam().text);
    const std::string place = GetParam().line == 0 ? "" : ":" + std::to_string(GetParam().line);
    FLAGEN_EXPECT_USER_ERROR(ExpressionTable::load(path), kInputFile, GetParam().fault,
                             path + place);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, MalformedTable,
    ::testing::Values(
        BadTable{"Empty", "", "expression table is empty", 0},
        BadTable{"HeaderOnly", "g,a,b\n", "expression table holds no gene", 0},
        BadTable{"NoSample", "gene\nx\n", "at least one sample, separated by commas", 1},
        BadTable{"DuplicateGene", "g,a\nx,1\ny,2\nx,3\n",
                 "gene stands twice in the expression table: \"x\" in lines 2 and 4", 4},
        BadTable{"DuplicateSample", "g,a,b,a\nx,1,2,3\n",
                 "sample stands twice in the header: \"a\" in columns 2 and 4", 1},
        BadTable{"EmptyGene", "g,a\n,1\n", "gene id is empty", 2},
        BadTable{"EmptySample", "g,a,,b\nx,1,2,3\n", "sample name is empty in column 3", 1},
        BadTable{"ShortRow", "g,a,b\nx,1,2\ny,1\n", "row has 2 columns, the header has 3", 3},
        BadTable{"LongRow", "g,a,b\nx,1,2,3,4\n", "row has 5 columns, the header has 3", 2},
        BadTable{"HeaderOfR", "a,b\nx,1,2\n", "a header needs a cell above the gene ids", 2},
        BadTable{"Text", "g,a,b\nx,1,high\n",
                 "value is not a number (NA or an empty field means missing): \"high\" for gene "
                 "\"x\", sample \"b\", column 3",
                 2},
        BadTable{"DecimalComma", "g,a\nx,\"1,5\"\n", "value is not a number", 2},
        BadTable{"Hexadecimal", "g,a\nx,0x10\n", "value is not a number", 2},
        BadTable{"TwoSigns", "g,a\nx,+-1\n", "value is not a number", 2},
        BadTable{"SignedNan", "g,a\nx,-nan\n", "value is not a number", 2},
        BadTable{"Infinite", "g,a\nx,inf\n", "value is infinite: \"inf\"", 2},
        BadTable{"MinusInfinite", "g,a\nx,-Infinity\n", "value is infinite", 2},
        BadTable{"AboveFloat", "g,a\nx,1e39\n", "value does not fit single precision", 2},
        BadTable{"AboveDouble", "g,a\nx,1e999\n", "value is not a number", 2},
        BadTable{"OpenQuote", "g,a\n\"x,1\ny\",2\n", "quoted field is not closed on its line", 2},
        BadTable{"TextAfterQuote", "g,a\n\"x\"y,1\n", "text after a closing quote, column 1", 2},
        BadTable{"BlankLineInside", "g,a\nx,1\n\ny,2\n", "blank line between rows", 4}),
    [](const auto& test) { return test.param.name; });

TEST(ExpressionTable, ReadsValuesTooSmallForFloatAsNearlyZero) {
    const TempDir dir;
    const auto table = ExpressionTable::load(dir.write("a.csv", "g,a,b\nx,1e-400,-1e-60\n"));
    EXPECT_EQ(table.at(0, 0), 0.0F);
    EXPECT_EQ(table.at(0, 1), 0.0F);
}

TEST(ExpressionTable, ChecksWhatItIsMadeOf) {
    EXPECT_THROW(ExpressionTable({"a"}, {"s", "t"}, {1.0F}), Error);
    EXPECT_THROW(ExpressionTable({"a", "a"}, {"s"}, {1.0F, 2.0F}), Error);
    EXPECT_THROW(ExpressionTable({"a"}, {"s", "s"}, {1.0F, 2.0F}), Error);
}

/// Every value, name and missing entry against NumPy's own reading of the same file.
void expect_equal_to_numpy(const std::string& path) {
    const ExpressionTable table = ExpressionTable::load(path);
    const TempDir dir;
    const std::string values_path = (dir.path() / "values.bin").string();
    const std::string script = dir.write(
        "read.py",
        "import gzip, sys\nimport numpy as np\n"
        "rows = [line.rstrip('\\n').split('\\t') for line in gzip.open(sys.argv[1], 'rt')]\n"
        "values = np.array([[np.nan if v in ('', 'NA') else np.float64(v) for v in r[1:]]\n"
        "                   for r in rows[1:]]).astype(np.float32)\n"
        "values.tofile(sys.argv[2])\n"
        "print('\\n'.join(rows[0][1:] + [r[0] for r in rows[1:]]))\n");
    const std::string names = testing::tool_output(std::string(FLAGEN_VENV_PYTHON) + " '" + script +
                                                   "' '" + path + "' '" + values_path + "'");
    std::string ours;
    for (const auto* list : {&table.samples(), &table.gene_ids()}) {
        for (const std::string& name : *list) {
            ours += name + "\n";
        }
    }
    EXPECT_EQ(ours, names);
    const std::string bytes = testing::tool_output("cat '" + values_path + "'");
    ASSERT_EQ(bytes.size(), table.values().size() * sizeof(float));
    std::vector<float> theirs(table.values().size());
    std::memcpy(theirs.data(), bytes.data(), bytes.size());
    std::size_t num_different = 0;
    for (std::size_t i = 0; i < theirs.size(); ++i) {
        const bool both_missing = std::isnan(theirs[i]) && std::isnan(table.values()[i]);
        num_different += !both_missing && theirs[i] != table.values()[i] ? 1 : 0;
    }
    EXPECT_EQ(num_different, 0U);
}

TEST(ExpressionTable, YeastEqualsNumpy) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "yeast_R64-1-1/expression/gene_tpm.tsv.gz");
    const ExpressionTable table = ExpressionTable::load(path);
    EXPECT_EQ(table.num_genes(), 7018U);
    EXPECT_EQ(table.num_samples(), 99U);
    expect_equal_to_numpy(path);
}

TEST(ExpressionTable, EcoliEqualsNumpy) {
    FLAGEN_SHARED_DATA_OR_SKIP(path, "ecoli_K12_MG1655/expression/log2tpm.tsv.gz");
    const ExpressionTable table = ExpressionTable::load(path);
    EXPECT_EQ(table.num_genes(), 4355U);
    EXPECT_EQ(table.num_samples(), 275U);
    EXPECT_EQ(table.num_missing(), 400U);
    expect_equal_to_numpy(path);
}

}  // namespace
}  // namespace flagen::genomics
