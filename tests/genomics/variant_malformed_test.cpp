#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "flagen/genomics/variant_reader.h"
#include "genomics/user_error_of.h"
#include "genomics/variant_text.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::genomics {
namespace {

using testing::random_vcf;
using testing::TempDir;
using testing::tool_output;
using testing::vcf_header;

std::string read_all(const std::string& path) {
    VariantReader reader = VariantReader::open(path);
    return testing::all_variants(reader);
}

struct BadLine {
    const char* name;
    const char* line;
    const char* fault;
};

class MalformedVariant : public ::testing::TestWithParam<BadLine> {};

TEST_P(MalformedVariant, IsAnErrorWithFileAndLine) {
    const TempDir dir;
    const std::string path =
        dir.write("t.vcf", vcf_header() + "chr1\t1\t.\tA\tC\t.\t.\t.\n" + GetParam().line + "\n");
    FLAGEN_EXPECT_USER_ERROR(read_all(path), kInputFile, GetParam().fault, path + ":13");
}

INSTANTIATE_TEST_SUITE_P(
    Rows, MalformedVariant,
    ::testing::Values(
        BadLine{"Row37PositionIsText", "chr1\tfive\t.\tA\tC\t.\t.\t.", "POS is not a whole number"},
        BadLine{"Row37PositionIsNegative", "chr1\t-3\t.\tA\tC\t.\t.\t.", "POS is not a whole"},
        BadLine{"Row38PositionIsHuge", "chr1\t99999999999999999999\t.\tA\tC\t.\t.\t.", "POS is"},
        BadLine{"PositionIsAFraction", "chr1\t1.5\t.\tA\tC\t.\t.\t.", "POS is not a whole"},
        BadLine{"Row40RefIsEmpty", "chr1\t5\t.\t\tC\t.\t.\t.", "REF is empty"},
        BadLine{"AltIsEmpty", "chr1\t5\t.\tA\t\t.\t.\t.", "ALT is empty"},
        BadLine{"AltHoldsNothing", "chr1\t5\t.\tA\tC,,G\t.\t.\t.", "ALT holds an empty allele"},
        BadLine{"AltEndsWithComma", "chr1\t5\t.\tA\tC,\t.\t.\t.", "ALT holds an empty allele"},
        BadLine{"Row41TooFewColumns", "chr1\t5\t.\tA\tC", "VCF line has 5 tab-separated columns"},
        BadLine{"Blanks", "chr1 5 . A C . . .", "VCF line has 1 tab-separated columns"},
        BadLine{"TooManyColumns", "chr1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1", "VCF line has 10 tab"},
        BadLine{"EmptyLine", "", "VCF line has 1 tab-separated columns"},
        BadLine{"EmptyContig", "\t5\t.\tA\tC\t.\t.\t.", "CHROM is empty"},
        BadLine{"UnknownContig", "chr3\t5\t.\tA\tC\t.\t.\t.",
                "contig is not in the header of the VCF: chr3"},
        BadLine{"OtherPrefix", "1\t5\t.\tA\tC\t.\t.\t.", "contig is not in the header"},
        BadLine{"NonAsciiAllele", "chr1\t5\t.\tA\t\xC3\x9C\t.\t.\t.", "not printable ASCII"},
        BadLine{"BlankInAllele", "chr1\t5\t.\tA \tC\t.\t.\t.", "REF holds a blank"},
        BadLine{"ControlInId", "chr1\t5\ta\x01\tA\tC\t.\t.\t.", "ID holds a blank or a character"},
        BadLine{"QualityIsText", "chr1\t5\t.\tA\tC\thigh\t.\t.", "QUAL is not a number: \"high\""},
        BadLine{"QualityIsInfinite", "chr1\t5\t.\tA\tC\tinf\t.\t.", "QUAL is not a number"},
        BadLine{"EndIsText", "chr1\t5\t.\tA\tC\t.\t.\tDP=3;END=x",
                "INFO/END is not a whole number: \"x\""},
        BadLine{"EndIsNegative", "chr1\t5\t.\tA\tC\t.\t.\tEND=-7;DP=3",
                "INFO/END is not a whole number: \"-7\""}),
    [](const auto& test) { return test.param.name; });

class MalformedVariants : public ::testing::Test {
  protected:
    void refuse(const std::string& contents, const std::string& reason) {
        const std::string path = dir_.write("t.vcf", contents);
        FLAGEN_EXPECT_USER_ERROR(read_all(path), kInputFile, reason, path);
    }
    // Writes random variants with a tool; the path of the result.
    std::string make(const std::string& name, const std::string& command) {
        const std::string plain = dir_.write("plain.vcf", random_vcf(2000, 5));
        const std::string path = (dir_.path() / name).string();
        static_cast<void>(tool_output(command + " '" + plain + "' > '" + path + "'"));
        return path;
    }

    TempDir dir_;
};

TEST_F(MalformedVariants, Row42HeadersAreChecked) {
    const std::string record = "chr1\t1\t.\tA\tC\t.\t.\t.\n";
    const std::string columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";
    refuse("", "VCF file is empty");
    refuse(record, "VCF file has no header; it begins with \"chr1?1");
    refuse(columns + record, "does not begin with ##fileformat");
    refuse("##contig=<ID=chr1>\n" + columns, "does not begin with ##fileformat");
    refuse("##fileformat=VCFv9.9\n" + columns, "VCF version is not one of VCFv4.x: \"VCFv9.9\"");
    refuse("##fileformat=VCFv3.3\n" + columns, "VCF version is not one of VCFv4.x");
    refuse("##fileformat=VCFv4.2\n" + record, "VCF header has no #CHROM line before");
    refuse("##fileformat=VCFv4.2\n##contig=<ID=chr1>\n", "VCF header has no #CHROM line");
    refuse("##fileformat=VCFv4.2\n#CHROM POS ID REF ALT QUAL FILTER INFO\n", "separated by tabs");
    refuse("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tDATA\n",
           "ninth column of the VCF is not FORMAT");
    refuse(vcf_header({"a", "b", "a"}), "sample of the VCF has no name or stands twice: \"a\"");
    refuse(vcf_header({"a", ""}), "sample of the VCF has no name");
}

TEST_F(MalformedVariants, OtherFilesAreNamed) {
    refuse(std::string("##fileformat=VCFv4.2\n\0\n", 23), "NUL byte");
    refuse("BAM\1 and so on", "not a VCF or BCF file but BAM");
    const std::string folder = dir_.path().string();
    FLAGEN_EXPECT_USER_ERROR(read_all(folder), kInputFile, "not a regular file", folder);
    FLAGEN_EXPECT_USER_ERROR(read_all(folder + "/no.vcf"), kInputFile, "No such file", "no.vcf");
    FLAGEN_EXPECT_USER_ERROR(read_all("s3://bucket/t.vcf"), kInputFile,
                             "not read over the network");
}

TEST_F(MalformedVariants, GenotypesAreChecked) {
    const std::string header = vcf_header({"a", "b"});
    refuse(header + "chr1\t1\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/2\n",
           "genotype of sample b names allele 2, the record has 2");
    refuse(header + "chr1\t1\t.\tA\tC\t.\t.\t.\tGT\t0/1\n", "VCF line has 10 tab-separated");
    refuse(header + "chr1\t1\t.\tA\tC\t.\t.\t.\tGT\t0/1:3\t0/1\n", "VCF line cannot be parsed");
}

TEST_F(MalformedVariants, Row50LineLengthIsLimited) {
    std::string text = vcf_header() + "chr1\t1\t.\tA\tC\t.\t.\tDP=1;X=";
    text.append(std::size_t{65} << 20, 'x');
    refuse(text + "\n", "line is longer than");
}

TEST_F(MalformedVariants, Row44And45TruncatedFilesAreErrors) {
    FLAGEN_TOOL_OR_SKIP("bcftools");
    for (const auto& [name, command] :
         {std::pair{"t.vcf.gz", "bgzip -c"}, std::pair{"t.bcf", "bcftools view -Ob"}}) {
        const std::string path = make(name, command);
        ASSERT_GT(read_all(path).size(), 100'000U);
        const auto size = std::filesystem::file_size(path);
        for (const auto left :
             {size - 1, size - 28, size - 29, size / 2, size / 5, std::uintmax_t{40}}) {
            std::filesystem::resize_file(path, left);
            FLAGEN_EXPECT_USER_ERROR(read_all(path), kInputFile, path);
        }
    }
    // Without compression nothing but a cut record shows.
    const std::string path = make("u.bcf", "bcftools view -Ou");
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
    FLAGEN_EXPECT_USER_ERROR(read_all(path), kInputFile, "truncated or damaged", path,
                             "record 4000");
}

TEST_F(MalformedVariants, CutGzipIsAnError) {
    FLAGEN_TOOL_OR_SKIP("gzip");
    const std::string path = make("t.vcf.gz", "gzip -c");
    std::filesystem::resize_file(path, std::filesystem::file_size(path) * 2 / 3);
    FLAGEN_EXPECT_USER_ERROR(read_all(path), kInputFile, "truncated or damaged", path);
}

TEST_F(MalformedVariants, Row46FlippedBitsAreErrorsOrCaught) {
    FLAGEN_TOOL_OR_SKIP("bcftools");
    std::mt19937_64 random(6);
    for (const auto& [name, command] :
         {std::pair{"t.vcf.gz", "bgzip -c"}, std::pair{"t.bcf", "bcftools view -Ob"}}) {
        const std::string path = make(name, command);
        std::ifstream in(path, std::ios::binary);
        const std::string whole{std::istreambuf_iterator<char>(in),
                                std::istreambuf_iterator<char>()};
        const std::string sound = read_all(path);
        for (int round = 0; round < 60; ++round) {
            std::string bytes = whole;
            const std::size_t place = random() % (bytes.size() - 28);
            bytes[place] = static_cast<char>(bytes[place] ^ (1 << (random() % 8)));
            dir_.write(name, bytes);
            std::string found;
            const auto caught = testing::user_error_of([&] { found = read_all(path); });
            // Each block carries a CRC: what is read at all is right. Only fields of the gzip
            // header that nobody reads may be flipped unseen.
            EXPECT_TRUE(caught.fault || found == sound) << name << " byte " << place;
        }
    }
}

TEST_F(MalformedVariants, MutatedTextAndRawBcfNeverCrash) {
    FLAGEN_TOOL_OR_SKIP("bcftools");
    std::mt19937_64 random(7);
    const std::clock_t begin = std::clock();
    const std::string plain = vcf_header({"a", "b"}) +
                              "chr1\t1\tx\tA\tC,<DEL>\t3\tq10\tDP=4;END=20\tGT:DP\t0|1:3\t./2:4\n"
                              "chr2\t7\t.\tACG\tA\t.\tPASS\tDP=4\tGT\t0\t1\n";
    const std::string source = dir_.write("source.vcf", plain);
    const std::string raw_path = (dir_.path() / "source.bcf").string();
    static_cast<void>(tool_output("bcftools view -Ou '" + source + "' > '" + raw_path + "'"));
    std::ifstream in(raw_path, std::ios::binary);
    const std::string raw{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    ASSERT_GT(raw.size(), 500U);
    int refused = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string bytes = round % 2 == 0 ? plain : raw;
        for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
            // Mostly in the records, which stand last.
            const std::size_t place =
                random() % 4 == 0 ? random() % bytes.size() : bytes.size() - 1 - random() % 140;
            bytes[place] = static_cast<char>(
                random() % 2 == 0 ? random() % 256 : bytes[place] ^ (1 << random() % 8));
        }
        const std::string path = dir_.write("t", bytes);
        refused += testing::user_error_of([&] { static_cast<void>(read_all(path)); }).fault ? 1 : 0;
    }
    EXPECT_GT(refused, 500);
    EXPECT_LT(std::clock() - begin, 120 * CLOCKS_PER_SEC);
}

class RegionFaults : public MalformedVariants {
  protected:
    void SetUp() override {
        FLAGEN_TOOL_OR_SKIP("bcftools");
        FLAGEN_TOOL_OR_SKIP("tabix");
    }
    static void query(const std::string& path) {
        VariantReader reader = VariantReader::open(path);
        reader.set_regions({{"chr1", 0, 20'000}});
        static_cast<void>(testing::all_variants(reader));
    }
};

TEST_F(RegionFaults, Row47MissingIndexAndPlainFilesNameTheCommand) {
    const std::string bgzip = make("t.vcf.gz", "bgzip -c");
    FLAGEN_EXPECT_USER_ERROR(query(bgzip), kInputFile, "needs an index", "tabix -p vcf " + bgzip);
    const std::string bcf = make("t.bcf", "bcftools view -Ob");
    FLAGEN_EXPECT_USER_ERROR(query(bcf), kInputFile, "needs an index", "bcftools index " + bcf);
    const std::string gzip = make("u.vcf.gz", "gzip -c");
    FLAGEN_EXPECT_USER_ERROR(query(gzip), kInputFile, "compressed with bgzip: " + gzip,
                             "zcat " + gzip + " | bgzip -c");
    const std::string plain = make("u.vcf", "cat");
    FLAGEN_EXPECT_USER_ERROR(query(plain), kInputFile, "compressed with bgzip: " + plain,
                             "bgzip -c " + plain);
    const std::string raw = make("u.bcf", "bcftools view -Ou");
    FLAGEN_EXPECT_USER_ERROR(query(raw), kInputFile, "compressed BCF file: " + raw);
}

TEST_F(RegionFaults, Row48OldIndexIsAnError) {
    const std::string path = make("t.vcf.gz", "bgzip -c");
    static_cast<void>(tool_output("tabix -p vcf '" + path + "'"));
    query(path);
    const std::string index = path + ".tbi";
    std::filesystem::last_write_time(
        index, std::filesystem::last_write_time(path) - std::chrono::seconds(5));
    FLAGEN_EXPECT_USER_ERROR(query(path), kInputFile, "index is older than its file: " + index,
                             "tabix -p vcf -f " + path);
}

TEST_F(RegionFaults, Row49IndexOfAnotherFileIsAnError) {
    const std::string path = make("t.vcf.gz", "bgzip -c");
    const std::string other =
        dir_.write("o.vcf",
                   "##fileformat=VCFv4.2\n##contig=<ID=x>\n"
                   "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nx\t1\t.\tA\tC\t.\t.\t.\n");
    static_cast<void>(tool_output("bgzip '" + other + "' && tabix -p vcf '" + other + ".gz'"));
    std::filesystem::copy_file(other + ".gz.tbi", path + ".tbi");
    FLAGEN_EXPECT_USER_ERROR(
        query(path), kInputFile,
        "index belongs to another file, it lists a contig that the header does "
        "not: x",
        "tabix -p vcf -f " + path);
    const auto overwrite = std::filesystem::copy_options::overwrite_existing;
    const std::string bed = dir_.write("b.bed", "chr1\t5\t9\n");
    static_cast<void>(tool_output("bgzip '" + bed + "' && tabix -p bed '" + bed + ".gz'"));
    std::filesystem::copy_file(bed + ".gz.tbi", path + ".tbi", overwrite);
    FLAGEN_EXPECT_USER_ERROR(query(path), kInputFile, "not that of a VCF");
    dir_.write("t.vcf.gz.tbi", "garbage");
    FLAGEN_EXPECT_USER_ERROR(query(path), kInputFile, "not that of a VCF");
}

TEST_F(RegionFaults, MutatedIndexNeverCrashes) {
    std::mt19937_64 random(1);
    for (const auto& [command, suffix] :
         {std::pair{"tabix -f -p vcf ", ".tbi"}, std::pair{"tabix -f -C -p vcf ", ".csi"}}) {
        const std::string path = make(std::string("t") + suffix + ".vcf.gz", "bgzip -c");
        static_cast<void>(tool_output(command + ("'" + path + "'")));
        const std::string index = path + suffix;
        const std::string whole = tool_output("bgzip -dc '" + index + "'");
        ASSERT_GT(whole.size(), 200U);
        int refused = 0;
        for (int round = 0; round < 400; ++round) {
            std::string bytes = whole;
            for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
                bytes[random() % bytes.size()] = static_cast<char>(random());
            }
            // Uncompressed, which HTSlib reads as well.
            dir_.write(std::filesystem::path(index).filename().string(), bytes);
            refused += testing::user_error_of([&] { query(path); }).fault ? 1 : 0;
        }
        EXPECT_GT(refused, 100) << suffix;
    }
}

TEST_F(RegionFaults, DamagedBlockInARegionIsAnError) {
    const std::string path = make("t.vcf.gz", "bgzip -c");
    static_cast<void>(tool_output("tabix -p vcf '" + path + "'"));
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(path) * 3 / 4));
    file.write("\0\0\0\0\0\0\0\0", 8);
    file.close();
    std::filesystem::last_write_time(path + ".tbi", std::filesystem::last_write_time(path));
    FLAGEN_EXPECT_USER_ERROR(query(path), kInputFile, "file of variants is damaged", path);
}

}  // namespace
}  // namespace flagen::genomics
