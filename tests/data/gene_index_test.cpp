#include "flagen/data/gene_index.h"

#include <gmock/gmock.h>

#include <random>
#include <string>
#include <vector>

#include "flagen/error.h"

namespace flagen::data {
namespace {

using genomics::ContigTable;
using genomics::GeneSpan;
using genomics::Split;
using genomics::Strand;
using genomics::Window;

GeneSpan gene(const std::string& id, const std::string& contig, std::int64_t start,
              std::int64_t end, Strand strand) {
    return {id, contig, start, end, strand, {{start, end}}};
}

ContigTable contigs() { return ContigTable({{"line", 1000, false}, {"ring", 300, true}}); }

std::vector<std::int64_t> all_rows(const std::vector<GeneSpan>& genes) {
    std::vector<std::int64_t> rows;
    for (std::size_t i = 0; i < genes.size(); ++i) {
        rows.push_back(static_cast<std::int64_t>(i));
    }
    return rows;
}

GeneIndex index_of(std::vector<GeneSpan> genes) {
    auto rows = all_rows(genes);
    return GeneIndex(std::move(genes), rows, contigs());
}

std::vector<std::int64_t> rows_in(const GeneIndex& index, const Window& window,
                                  std::int64_t margin = 0, StrandMode mode = StrandMode::kBoth) {
    std::vector<std::int64_t> rows;
    for (const PlacedGene& placed : index.genes_in(window, margin, mode)) {
        rows.push_back(placed.gene_index);
    }
    return rows;
}

TEST(GeneIndexTest, TakesGenesWhollyInsideTheUsablePart) {
    const GeneIndex index = index_of({gene("at_both_ends", "line", 100, 200, Strand::kForward),
                                      gene("one_before", "line", 99, 150, Strand::kForward),
                                      gene("one_after", "line", 150, 201, Strand::kForward),
                                      gene("within", "line", 110, 190, Strand::kForward)});
    EXPECT_THAT(rows_in(index, {"line", 100, 100}), ::testing::ElementsAre(0, 3));
    EXPECT_THAT(rows_in(index, {"line", 99, 102}), ::testing::ElementsAre(1, 0, 3, 2));
    EXPECT_THAT(rows_in(index, {"line", 100, 100}, 10), ::testing::ElementsAre(3));
    EXPECT_THAT(rows_in(index, {"line", 100, 100}, 11), ::testing::ElementsAre());
    EXPECT_THAT(rows_in(index, {"ring", 100, 100}), ::testing::ElementsAre());
    EXPECT_THAT(rows_in(index, {"line", -500, 5000}), ::testing::ElementsAre(1, 0, 3, 2));
}

TEST(GeneIndexTest, ReverseComplementTurnsSpansPiecesAndStrands) {
    GeneSpan spliced = gene("spliced", "line", 120, 180, Strand::kReverse);
    spliced.pieces = {{120, 130}, {150, 180}};
    const GeneIndex index = index_of({spliced, gene("plus", "line", 100, 110, Strand::kForward)});
    const auto forward = index.genes_in({"line", 100, 100}, 0, StrandMode::kBoth);
    ASSERT_EQ(forward.size(), 2U);
    EXPECT_EQ(forward[0], (PlacedGene{1, 0, 10, 1, {{0, 10}}}));
    EXPECT_EQ(forward[1], (PlacedGene{0, 20, 80, -1, {{20, 30}, {50, 80}}}));
    const auto reverse = index.genes_in({"line", 100, 100, Strand::kReverse}, 0, StrandMode::kBoth);
    ASSERT_EQ(reverse.size(), 2U);
    EXPECT_EQ(reverse[0], (PlacedGene{0, 20, 80, 1, {{20, 50}, {70, 80}}}));
    EXPECT_EQ(reverse[1], (PlacedGene{1, 90, 100, -1, {{90, 100}}}));
}

TEST(GeneIndexTest, SenseModeTakesTheStrandThatIsRead) {
    const GeneIndex index = index_of({gene("plus", "line", 100, 110, Strand::kForward),
                                      gene("minus", "line", 150, 160, Strand::kReverse)});
    const auto sense = [&](Strand strand) {
        return rows_in(index, {"line", 100, 100, strand}, 0, StrandMode::kSense);
    };
    EXPECT_THAT(sense(Strand::kForward), ::testing::ElementsAre(0));
    EXPECT_THAT(sense(Strand::kReverse), ::testing::ElementsAre(1));
}

TEST(GeneIndexTest, FindsGenesAllRoundARing) {
    const GeneIndex index = index_of({gene("over_origin", "ring", 280, 320, Strand::kForward),
                                      gene("first", "ring", 0, 10, Strand::kForward)});
    const auto placed = [&](std::int64_t start, std::int64_t length) {
        std::vector<std::pair<std::int64_t, std::int64_t>> result;
        for (const auto& g : index.genes_in({"ring", start, length}, 0, StrandMode::kBoth)) {
            result.emplace_back(g.gene_index, g.start_bp);
        }
        return result;
    };
    using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;
    EXPECT_EQ(placed(250, 100), (Pairs{{0, 30}, {1, 50}}));
    EXPECT_EQ(placed(-50, 100), (Pairs{{0, 30}, {1, 50}}));
    EXPECT_EQ(placed(550, 100), (Pairs{{0, 30}, {1, 50}}));
    EXPECT_EQ(placed(290, 100), (Pairs{{1, 10}}));
    EXPECT_EQ(placed(0, 100), (Pairs{{1, 0}}));
    // 1000 bases of a ring of 300: the copy nearest the middle at 500.
    EXPECT_EQ(placed(0, 1000), (Pairs{{0, 580}, {1, 600}}));
}

TEST(GeneIndexTest, PlaceAgreesWithGenesIn) {
    std::mt19937_64 random(4);
    std::vector<GeneSpan> genes;
    for (int i = 0; i < 60; ++i) {
        const bool ring = i % 2 == 0;
        const auto start = static_cast<std::int64_t>(random() % (ring ? 300 : 900));
        genes.push_back(gene("g" + std::to_string(i), ring ? "ring" : "line", start,
                             start + 1 + static_cast<std::int64_t>(random() % 100),
                             random() % 2 == 0 ? Strand::kForward : Strand::kReverse));
    }
    const GeneIndex index = index_of(genes);
    int found = 0;
    for (int trial = 0; trial < 200; ++trial) {
        const Window window{random() % 2 == 0 ? "ring" : "line",
                            static_cast<std::int64_t>(random() % 1200) - 100,
                            50 + static_cast<std::int64_t>(random() % 250),
                            random() % 2 == 0 ? Strand::kForward : Strand::kReverse};
        const auto placed = index.genes_in(window, 5, StrandMode::kBoth);
        std::size_t next = 0;
        std::vector<bool> inside(genes.size(), false);
        for (const PlacedGene& one : placed) {
            inside[static_cast<std::size_t>(one.gene_index)] = true;
            EXPECT_EQ(index.place(one.gene_index, window, 5), one);
            ++next;
        }
        for (std::size_t row = 0; row < genes.size(); ++row) {
            EXPECT_EQ(index.place(static_cast<std::int64_t>(row), window, 5).has_value(),
                      inside[row]);
        }
        found += static_cast<int>(next);
    }
    EXPECT_GT(found, 500);
}

TEST(GeneIndexTest, RefusesGenesThatCannotBePlaced) {
    EXPECT_THROW(index_of({gene("x", "none", 1, 2, Strand::kForward)}), Error);
    EXPECT_THROW(index_of({gene("x", "line", 990, 1001, Strand::kForward)}), Error);
    EXPECT_THROW(index_of({gene("x", "line", 5, 5, Strand::kForward)}), Error);
    EXPECT_THROW(index_of({gene("x", "line", 5, 9, Strand::kUnknown)}), Error);
    EXPECT_THROW(index_of({gene("x", "ring", 300, 310, Strand::kForward)}), Error);
    EXPECT_NO_THROW(index_of({gene("x", "ring", 299, 310, Strand::kForward)}));
}

TEST(GeneIndexTest, SplitsAreByTheWholeGene) {
    genomics::SplitDefinition held_out;
    held_out.test_intervals = {{"line", 100, 200}};
    held_out.valid_intervals = {{"line", 300, 400}};
    const genomics::SplitPlan plan(contigs(), held_out);
    const std::vector<GeneSpan> genes = {gene("train", "line", 0, 100, Strand::kForward),
                                         gene("test", "line", 100, 200, Strand::kForward),
                                         gene("in", "line", 99, 101, Strand::kForward),
                                         gene("valid", "line", 350, 360, Strand::kForward),
                                         gene("out", "line", 390, 401, Strand::kForward),
                                         gene("also_train", "ring", 290, 310, Strand::kForward)};
    const auto splits = splits_of_genes(genes, plan);
    EXPECT_THAT(splits, ::testing::ElementsAre(Split::kTrain, Split::kTest, Split::kNone,
                                               Split::kValid, Split::kNone, Split::kTrain));
    const SplitCounts counts = count_splits(splits);
    EXPECT_EQ(counts.train, 2);
    EXPECT_EQ(counts.valid, 1);
    EXPECT_EQ(counts.test, 1);
    EXPECT_EQ(counts.straddling, 2);
    EXPECT_THAT(rows_of_split(splits, Split::kTrain), ::testing::ElementsAre(0, 5));
}

}  // namespace
}  // namespace flagen::data
