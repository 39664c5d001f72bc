// Training and evaluation windows on real genomes, against samtools, awk and the genetic code.
#include <gmock/gmock.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "flagen/data/evaluation_plan.h"
#include "flagen/data/gene_targets.h"
#include "flagen/data/window_dataset.h"
#include "flagen/genomics/fasta_reader.h"
#include "flagen/genomics/tokenizer.h"
#include "support/shared_data.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::data {
namespace {

using ::flagen::testing::shared_data;
using ::flagen::testing::tool_output;
using genomics::FastaReader;
using genomics::Split;
using genomics::Strand;
using genomics::Window;

constexpr std::int64_t kRing = 4'641'652;
const char* const kContig = "NC_000913.3";
const std::string kEcoliFasta = "ecoli_K12_MG1655/genome/NC_000913.3.fa.gz";
const std::string kEcoliGff = "ecoli_K12_MG1655/annotation/NC_000913.3.sorted.gff3.gz";
const std::string kEcoliMatrix = "ecoli_K12_MG1655/expression/log2tpm.tsv.gz";

/// The E. coli set with the design's blocks held out; opened once for all tests.
struct Ecoli {
    std::shared_ptr<FastaReader> genome;
    GeneTargets targets;
    std::shared_ptr<genomics::SplitPlan> plan;

    Ecoli() {
        genomics::FastaOptions options;
        options.circular_contigs = {kContig};
        genome =
            std::make_shared<FastaReader>(FastaReader::open(shared_data(kEcoliFasta), options));
        GeneTargetsConfig config;
        config.matrix = shared_data(kEcoliMatrix);
        config.annotation = shared_data(kEcoliGff);
        config.features = {"gene", "pseudogene"};
        config.gene_id = "locus_tag";
        config.coding_features = {"CDS"};
        config.value = "log2p1";
        targets = load_gene_targets(config, genome->contigs());
        genomics::SplitDefinition held_out;
        held_out.test_intervals = {{kContig, 1'572'864, 2'097'152}};
        held_out.valid_intervals = {{kContig, 3'145'728, 3'670'016}};
        plan = std::make_shared<genomics::SplitPlan>(genome->contigs(), held_out);
    }

    [[nodiscard]] WindowDataset dataset(WindowDatasetConfig config = {}) const {
        config.seed = 1;
        return WindowDataset(genome, targets.spans, *plan, config);
    }

    static const Ecoli& instance() {
        static const Ecoli ecoli;
        return ecoli;
    }
};

/// Bases of a window by samtools alone: one or two regions, then turned by rev and tr.
std::string samtools_bases(const std::string& fasta, const Window& window, std::int64_t ring_bp) {
    const std::int64_t first_end = std::min(window.end_bp(), ring_bp);
    std::string regions =
        window.contig + ":" + std::to_string(window.start_bp + 1) + "-" + std::to_string(first_end);
    if (window.end_bp() > ring_bp) {
        regions += " " + window.contig + ":1-" + std::to_string(window.end_bp() - ring_bp);
    }
    std::string command =
        "samtools faidx " + fasta + " " + regions + " | grep -v '>' | tr -d '\\n'";
    if (window.strand == Strand::kReverse) {
        command += " | rev | tr ACGT TGCA";
    }
    return tool_output(command);
}

bool starts_like_a_coding_gene(const std::string& read, const PlacedGene& gene) {
    const std::string codon = read.substr(static_cast<std::size_t>(gene.start_bp), 3);
    return codon == "ATG" || codon == "GTG" || codon == "TTG";
}

TEST(GenomeWindowsTest, EcoliTrainingWindowsEqualSamtools) {
    FLAGEN_SHARED_DATA_OR_SKIP(fasta, kEcoliFasta);
    FLAGEN_TOOL_OR_SKIP("samtools");
    const WindowDataset dataset = Ecoli::instance().dataset();
    int wrapping = 0;
    int reverse = 0;
    int wrapping_reverse = 0;
    for (std::int64_t i = 0; i < 40; ++i) {
        const SampleId id{i, (i * 7) % dataset.num_examples()};
        const Window window = dataset.window(id);
        const bool wraps = window.end_bp() > kRing;
        const bool turned = window.strand == Strand::kReverse;
        if (i >= 6 && !wraps) {
            continue;
        }
        const WindowExample example = dataset.example(id);
        ASSERT_EQ(example.tokens.size(), 524'288U);
        EXPECT_TRUE(genomics::decode_bases(example.tokens) == samtools_bases(fasta, window, kRing))
            << genomics::window_name(window);
        EXPECT_EQ(example.num_padded_bp, 0);
        wrapping += wraps ? 1 : 0;
        reverse += turned ? 1 : 0;
        wrapping_reverse += wraps && turned ? 1 : 0;
    }
    EXPECT_GE(wrapping, 3);
    EXPECT_GE(reverse, 3);
    EXPECT_GE(wrapping_reverse, 1);
}

TEST(GenomeWindowsTest, EcoliWindowsShareNoBaseWithTheHeldOutBlocks) {
    FLAGEN_SHARED_DATA_OR_SKIP(fasta, kEcoliFasta);
    const WindowDataset dataset = Ecoli::instance().dataset();
    std::int64_t lowest = kRing;
    std::int64_t highest = 0;
    for (std::int64_t epoch = 0; epoch < 500; ++epoch) {
        for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
            const Window window = dataset.window({epoch, index});
            for (const std::int64_t turn : {std::int64_t{0}, kRing}) {
                for (const auto& [start, end] :
                     {std::pair<std::int64_t, std::int64_t>{1'572'864, 2'097'152},
                      {3'145'728, 3'670'016}}) {
                    ASSERT_TRUE(window.end_bp() <= start + turn || window.start_bp >= end + turn)
                        << genomics::window_name(window);
                }
            }
            if (window.start_bp >= 2'097'152 && window.start_bp < 3'145'728) {
                lowest = std::min(lowest, window.start_bp);
                highest = std::max(highest, window.end_bp());
            }
        }
    }
    EXPECT_EQ(lowest, 2'097'152) << "training uses the bases right beside the test block";
    EXPECT_EQ(highest, 3'145'728) << "and right before the validation block";
}

/// BED of the measured genes' spans by awk alone: rows of one locus_tag united.
std::string spans_by_awk(const ::flagen::testing::TempDir& folder) {
    const std::string script = folder.write("spans.awk", R"awk(
BEGIN { FS = "\t"; OFS = "\t" }
NR == FNR { if (FNR > 1) measured[$1] = 1; next }
($3 == "gene" || $3 == "pseudogene") && match($9, /locus_tag=[^;]*/) {
    tag = substr($9, RSTART + 10, RLENGTH - 10)
    if (!(tag in measured)) next
    if (!(tag in start) || $4 - 1 < start[tag]) start[tag] = $4 - 1
    if (!(tag in end) || $5 > end[tag]) end[tag] = $5
    contig[tag] = $1; strand[tag] = $7
}
END { for (tag in start) print contig[tag], start[tag], end[tag], tag, 0, strand[tag] }
)awk");
    const std::string prefix = folder.path().string() + "/";
    tool_output("zcat " + shared_data(kEcoliMatrix) + " > " + prefix + "matrix.tsv && zcat " +
                shared_data(kEcoliGff) + " > " + prefix + "genes.gff3 && awk -f " + script + " " +
                prefix + "matrix.tsv " + prefix + "genes.gff3 > " + prefix + "spans.bed");
    return prefix + "spans.bed";
}

TEST(GenomeWindowsTest, EcoliSplitCountsEqualAwk) {
    FLAGEN_SHARED_DATA_OR_SKIP(gff, kEcoliGff);
    FLAGEN_SHARED_DATA_OR_SKIP(matrix, kEcoliMatrix);
    const Ecoli& ecoli = Ecoli::instance();
    const SplitCounts counts = count_splits(splits_of_genes(ecoli.targets.spans, *ecoli.plan));
    const ::flagen::testing::TempDir folder;
    const std::string script = folder.write("splits.awk", R"awk(
$2 >= 1572864 && $3 <= 2097152 { test++; next }
$2 >= 3145728 && $3 <= 3670016 { valid++; next }
($2 < 2097152 && $3 > 1572864) || ($2 < 3670016 && $3 > 3145728) { straddling++; next }
{ train++ }
END { print train, valid, test, straddling }
)awk");
    const std::string wanted = tool_output("awk -f " + script + " " + spans_by_awk(folder));
    EXPECT_EQ(std::to_string(counts.train) + " " + std::to_string(counts.valid) + " " +
                  std::to_string(counts.test) + " " + std::to_string(counts.straddling) + "\n",
              wanted);
    std::cout << "train, valid, test, straddling: " << wanted;
    EXPECT_GT(counts.test, 450);
    EXPECT_GT(counts.straddling, 0);
}

TEST(GenomeWindowsTest, EcoliGenesBeginWithAStartCodonInEitherOrientation) {
    FLAGEN_SHARED_DATA_OR_SKIP(fasta, kEcoliFasta);
    const Ecoli& ecoli = Ecoli::instance();
    WindowDatasetConfig config;
    config.strand_mode = StrandMode::kBoth;
    const WindowDataset dataset = ecoli.dataset(config);
    std::map<Strand, int> coding;
    std::map<Strand, int> total;
    int in_frame = 0;
    int with_pieces = 0;
    for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
        const WindowExample example = dataset.example({0, index});
        const std::string read = genomics::decode_bases(example.tokens);
        for (const PlacedGene& gene : example.genes) {
            ASSERT_GE(gene.start_bp, 0);
            ASSERT_LE(gene.end_bp, 524'288);
            if (gene.strand != 1) {
                continue;
            }
            ++total[example.window.strand];
            coding[example.window.strand] += starts_like_a_coding_gene(read, gene) ? 1 : 0;
            if (gene.pieces.empty()) {
                continue;
            }
            // The joined pieces are a reading frame: whole codons, a stop at the end only.
            std::string frame;
            for (const genomics::Range& piece : gene.pieces) {
                frame += read.substr(static_cast<std::size_t>(piece.start_bp),
                                     static_cast<std::size_t>(piece.length_bp()));
            }
            ++with_pieces;
            bool good = frame.size() % 3 == 0;
            for (std::size_t at = 0; good && at < frame.size(); at += 3) {
                const std::string codon = frame.substr(at, 3);
                const bool stop = codon == "TAA" || codon == "TAG" || codon == "TGA";
                good = stop == (at + 3 == frame.size());
            }
            in_frame += good ? 1 : 0;
        }
    }
    for (const Strand strand : {Strand::kForward, Strand::kReverse}) {
        EXPECT_GT(total[strand], 1000);
        EXPECT_GT(coding[strand], 0.98 * total[strand]) << total[strand];
    }
    EXPECT_GT(with_pieces, 4000);
    EXPECT_GT(in_frame, 0.98 * with_pieces) << with_pieces;
}

TEST(GenomeWindowsTest, EcoliEvaluationPredictsEveryGeneOnceWithItsBases) {
    FLAGEN_SHARED_DATA_OR_SKIP(fasta, kEcoliFasta);
    const Ecoli& ecoli = Ecoli::instance();
    EvaluationOptions options;
    options.stride_bp = 262'144;
    options.start_shifts_bp = {0, 24};
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < ecoli.targets.num_genes(); ++row) {
        rows.push_back(row);
    }
    const auto plan = std::make_shared<EvaluationPlan>(
        plan_gene_evaluation(ecoli.targets.spans, rows, ecoli.genome->contigs(), options));
    EXPECT_EQ(plan->num_unreachable, 0);
    const EvaluationSource source(ecoli.genome, plan);
    std::vector<int> times(rows.size(), 0);
    std::vector<std::string> first_read(rows.size());
    int coding = 0;
    for (std::int64_t pass = 0; pass < source.num_examples(); ++pass) {
        const WindowExample example = source.example({0, pass});
        const std::string read = genomics::decode_bases(example.tokens);
        for (const PlacedGene& gene : example.genes) {
            const auto row = static_cast<std::size_t>(gene.gene_index);
            const std::string bases =
                read.substr(static_cast<std::size_t>(gene.start_bp),
                            static_cast<std::size_t>(gene.end_bp - gene.start_bp));
            ++times[row];
            coding += starts_like_a_coding_gene(read, gene) ? 1 : 0;
            if (first_read[row].empty()) {
                first_read[row] = bases;
            } else {
                EXPECT_TRUE(first_read[row] == bases) << "the shift moves the gene with it";
            }
        }
    }
    EXPECT_THAT(times, ::testing::Each(2));

    // The same share of start codons as bedtools reads at the spans that awk finds.
    FLAGEN_TOOL_OR_SKIP("bedtools");
    FLAGEN_TOOL_OR_SKIP("samtools");
    const ::flagen::testing::TempDir folder;
    const std::string spans = spans_by_awk(folder);
    const std::string plain = folder.path().string() + "/genome.fa";
    tool_output("samtools faidx " + fasta + " " + kContig + " > " + plain);
    const std::string codons = tool_output(
        "awk 'BEGIN { OFS = \"\\t\" } $6 == \"+\" { $3 = $2 + 3 } $6 == \"-\" { $2 = $3 - 3 } "
        "{ print $1, $2, $3, $4, $5, $6 }' " +
        spans + " | bedtools getfasta -s -tab -fi " + plain +
        " -bed - 2> /dev/null | cut -f2 | grep -c -E '^(ATG|GTG|TTG)$'");
    EXPECT_EQ(coding, 2 * std::stoi(codons));
    EXPECT_GT(coding, 2 * 4300);
}

TEST(GenomeWindowsTest, YeastChromosomesSplitAsMeasured) {
    FLAGEN_SHARED_DATA_OR_SKIP(fasta, "yeast_R64-1-1/genome/R64-1-1.fa.gz");
    const FastaReader genome = FastaReader::open(fasta);
    GeneTargetsConfig config;
    config.matrix = shared_data("yeast_R64-1-1/expression/gene_tpm.tsv.gz");
    config.annotation = shared_data("yeast_R64-1-1/annotation/R64-1-1.96.sorted.gtf.gz");
    config.coding_features = {"CDS"};
    config.value = "raw";
    const GeneTargets targets = load_gene_targets(config, genome.contigs());
    EXPECT_EQ(targets.num_genes(), 7018);
    EXPECT_EQ(targets.num_samples(), 99);
    genomics::SplitDefinition held_out;
    held_out.test_contigs = {"XVI"};
    held_out.valid_contigs = {"XI"};
    const genomics::SplitPlan plan(genome.contigs(), held_out);
    const auto splits = splits_of_genes(targets.spans, plan);
    const SplitCounts counts = count_splits(splits);
    EXPECT_EQ(counts.test, 536);
    EXPECT_EQ(counts.valid, 369);
    EXPECT_EQ(counts.straddling, 0);
    std::int64_t mito = 0;
    for (const genomics::GeneSpan& span : targets.spans) {
        mito += span.contig == "Mito" ? 1 : 0;
    }
    EXPECT_EQ(counts.train - mito, 6062);

    // Introns: joined pieces of the spliced genes read in frame too.
    WindowDatasetConfig windows;
    const WindowDataset dataset(std::make_shared<FastaReader>(FastaReader::open(fasta)),
                                targets.spans, plan, windows);
    int spliced = 0;
    int in_frame = 0;
    for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
        const WindowExample example = dataset.example({1, index});
        EXPECT_NE(example.window.contig, "XVI");
        EXPECT_NE(example.window.contig, "XI");
        const std::string read = genomics::decode_bases(example.tokens);
        for (const PlacedGene& gene : example.genes) {
            if (gene.pieces.size() < 2) {
                continue;
            }
            std::string frame;
            for (const genomics::Range& piece : gene.pieces) {
                frame += read.substr(static_cast<std::size_t>(piece.start_bp),
                                     static_cast<std::size_t>(piece.length_bp()));
            }
            ++spliced;
            in_frame += frame.size() % 3 == 0 && frame.starts_with("ATG") ? 1 : 0;
        }
    }
    EXPECT_GT(spliced, 100);
    EXPECT_GT(in_frame, 0.8 * spliced) << spliced;
}

}  // namespace
}  // namespace flagen::data
