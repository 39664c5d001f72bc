#include "flagen/data/window_dataset.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/genomics/tokenizer.h"
#include "genomics/user_error_of.h"

namespace flagen::data {
namespace {

using genomics::GeneSpan;
using genomics::InMemoryReference;
using genomics::Strand;
using genomics::Window;

std::string bases(std::size_t length, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string text(length, 'A');
    for (char& base : text) {
        base = "ACGT"[random() % 4];
    }
    return text;
}

struct Fixture {
    std::shared_ptr<InMemoryReference> reference = std::make_shared<InMemoryReference>(
        std::vector<InMemoryReference::Sequence>{{"line", bases(5000, 1), false},
                                                 {"ring", bases(4000, 2), true},
                                                 {"short", bases(300, 3), false}});
    std::vector<GeneSpan> genes;
    genomics::SplitDefinition held_out;

    Fixture() {
        std::mt19937_64 random(7);
        for (int i = 0; i < 200; ++i) {
            const std::string contig = i % 8 == 0 ? "short" : i % 2 == 0 ? "ring" : "line";
            const std::int64_t length = contig == "short" ? 300 : contig == "ring" ? 4000 : 5000;
            const auto size = 1 + static_cast<std::int64_t>(random() % 80);
            const std::int64_t room = contig == "ring" ? length : length - size;
            const auto start =
                static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(room));
            genes.push_back({"g" + std::to_string(i),
                             contig,
                             start,
                             start + size,
                             random() % 2 == 0 ? Strand::kForward : Strand::kReverse,
                             {{start, start + size}}});
        }
        held_out.test_intervals = {{"line", 1000, 1700}, {"ring", 3800, 4100}};
        held_out.valid_intervals = {{"line", 3000, 3200}};
    }

    [[nodiscard]] genomics::SplitPlan plan() const {
        return genomics::SplitPlan(reference->contigs(), held_out);
    }
    [[nodiscard]] WindowDataset dataset(const WindowDatasetConfig& config) const {
        return WindowDataset(reference, genes, plan(), config);
    }
};

WindowDatasetConfig small_config() {
    WindowDatasetConfig config;
    config.window_bp = 500;
    config.stride_bp = 150;
    config.seed = 11;
    return config;
}

TEST(WindowDatasetTest, ExampleIsAPureFunctionOfItsName) {
    const Fixture fixture;
    WindowDatasetConfig config = small_config();
    config.mutate_rate = 0.1;
    const WindowDataset one = fixture.dataset(config);
    const WindowDataset other = fixture.dataset(config);
    std::set<std::int64_t> starts;
    for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
        for (const std::int64_t index :
             {std::int64_t{3}, one.num_examples() - 1, std::int64_t{0}}) {
            const WindowExample a = one.example({epoch, index});
            const WindowExample b = other.example({epoch, index});
            EXPECT_EQ(a.window, b.window);
            EXPECT_EQ(a.tokens, b.tokens);
            EXPECT_EQ(a.genes, b.genes);
            EXPECT_EQ(a.window, one.window({epoch, index}));
            starts.insert(a.window.start_bp);
        }
    }
    EXPECT_GT(starts.size(), 30U) << "epochs differ";
    config.seed = 12;
    const WindowDataset reseeded = fixture.dataset(config);
    EXPECT_NE(one.window({0, 3}), reseeded.window({0, 3}));
    EXPECT_THROW(static_cast<void>(one.example({0, one.num_examples()})), Error);
    EXPECT_THROW(static_cast<void>(one.example({0, -1})), Error);
}

TEST(WindowDatasetTest, NoTrainingWindowSharesABaseWithAHeldOutPart) {
    for (const std::int64_t margin : {0, 40}) {
        Fixture fixture;
        fixture.held_out.margin_bp = margin;
        WindowDatasetConfig config = small_config();
        config.max_shift_bp = 400;
        const WindowDataset dataset = fixture.dataset(config);
        // Every base on its own, by a set: no arithmetic on intervals.
        std::map<std::string, std::set<std::int64_t>> closed;
        for (const auto& part :
             {fixture.held_out.test_intervals, fixture.held_out.valid_intervals}) {
            for (const auto& interval : part) {
                for (std::int64_t at = interval.start_bp - margin; at < interval.end_bp + margin;
                     ++at) {
                    closed[interval.contig].insert(interval.contig == "ring" ? at % 4000 : at);
                }
            }
        }
        std::set<std::pair<std::string, std::int64_t>> read;
        for (std::int64_t epoch = 0; epoch < 80; ++epoch) {
            for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
                const Window window = dataset.window({epoch, index});
                const auto& contig_closed = closed[window.contig];
                for (std::int64_t at = window.start_bp; at < window.end_bp(); ++at) {
                    const std::int64_t base =
                        window.contig == "ring" ? ((at % 4000) + 4000) % 4000 : at;
                    ASSERT_FALSE(contig_closed.contains(base))
                        << genomics::window_name(window) << " reads held-out base " << base;
                    read.emplace(window.contig, base);
                }
            }
        }
        // And every training base is read, but for segments shorter than a window.
        for (std::int64_t at = 1700 + margin; at < 3000 - margin; ++at) {
            ASSERT_TRUE(read.contains({"line", at})) << at;
        }
        for (std::int64_t at = 100 + margin; at < 3800 - margin; ++at) {
            ASSERT_TRUE(read.contains({"ring", at})) << at;
        }
    }
}

TEST(WindowDatasetTest, ScoresExactlyTheTrainingGenesInsideEachWindow) {
    const Fixture fixture;
    const genomics::SplitPlan plan = fixture.plan();
    for (const StrandMode mode : {StrandMode::kSense, StrandMode::kBoth}) {
        WindowDatasetConfig config = small_config();
        config.margin_bp = 20;
        config.strand_mode = mode;
        const WindowDataset dataset = fixture.dataset(config);
        std::set<std::int64_t> scored;
        for (std::int64_t epoch = 0; epoch < 40; ++epoch) {
            for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
                const WindowExample example = dataset.example({epoch, index});
                std::set<std::int64_t> expected;
                for (std::size_t row = 0; row < fixture.genes.size(); ++row) {
                    const GeneSpan& gene = fixture.genes[row];
                    const bool sense = gene.strand == example.window.strand;
                    std::int64_t start = gene.start_bp;
                    while (gene.contig == "ring" && start < example.window.start_bp + 20) {
                        start += 4000;
                    }
                    if (gene.contig == example.window.contig &&
                        (sense || mode == StrandMode::kBoth) &&
                        start >= example.window.start_bp + 20 &&
                        start + gene.end_bp - gene.start_bp <= example.window.end_bp() - 20) {
                        expected.insert(static_cast<std::int64_t>(row));
                        EXPECT_EQ(plan.of_interval(gene.interval()), genomics::Split::kTrain);
                    }
                }
                std::set<std::int64_t> found;
                for (const PlacedGene& placed : example.genes) {
                    found.insert(placed.gene_index);
                    if (mode == StrandMode::kSense) {
                        EXPECT_EQ(placed.strand, 1);
                    }
                }
                ASSERT_EQ(found, expected);
                scored.insert(found.begin(), found.end());
            }
        }
        EXPECT_GT(scored.size(), 100U);
    }
}

TEST(WindowDatasetTest, TokensAreTheWindowsLettersAndGenesStandOnTheirBases) {
    const Fixture fixture;
    const WindowDataset dataset = fixture.dataset(small_config());
    int reverse = 0;
    int genes = 0;
    for (std::int64_t epoch = 0; epoch < 10; ++epoch) {
        for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
            const WindowExample example = dataset.example({epoch, index});
            const std::string read = genomics::decode_bases(example.tokens);
            EXPECT_EQ(read, genomics::fetch_window(*fixture.reference, example.window).bases);
            reverse += example.window.strand == Strand::kReverse ? 1 : 0;
            for (const PlacedGene& placed : example.genes) {
                const GeneSpan& gene = fixture.genes[static_cast<std::size_t>(placed.gene_index)];
                // The gene on its own strand, fetched without the window.
                const Window own{gene.contig, gene.start_bp, gene.end_bp - gene.start_bp,
                                 gene.strand};
                EXPECT_EQ(read.substr(static_cast<std::size_t>(placed.start_bp),
                                      static_cast<std::size_t>(placed.end_bp - placed.start_bp)),
                          genomics::fetch_window(*fixture.reference, own).bases);
                ++genes;
            }
        }
    }
    EXPECT_GT(genes, 500);
    EXPECT_GT(reverse, 10 * static_cast<int>(dataset.num_examples()) / 3);
    EXPECT_LT(reverse, 20 * static_cast<int>(dataset.num_examples()) / 3);
}

TEST(WindowDatasetTest, ShiftsStayNearTheTileAndClipAtTheSegment) {
    const Fixture fixture;
    WindowDatasetConfig config = small_config();
    const WindowDataset dataset = fixture.dataset(config);
    for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
        const Window& tile = dataset.plan().windows[static_cast<std::size_t>(index)];
        std::int64_t lowest = 1'000'000;
        std::int64_t highest = -1'000'000;
        for (std::int64_t epoch = 0; epoch < 600; ++epoch) {
            const std::int64_t start = dataset.window({epoch, index}).start_bp;
            if (tile.contig == "short") {
                EXPECT_GE(start, 300 - 500);
                EXPECT_LE(start, 0);
            } else {
                const std::int64_t away = std::abs(start - tile.start_bp);
                EXPECT_LE(tile.contig == "ring" ? std::min(away, 4000 - away) : away, 75);
            }
            lowest = std::min(lowest, start);
            highest = std::max(highest, start);
        }
        if (tile.contig == "line" && tile.start_bp == 1700) {
            EXPECT_EQ(lowest, 1700) << "clipped at the held-out block";
            EXPECT_EQ(highest, 1775);
        }
        if (tile.contig == "short") {
            EXPECT_LT(lowest, -190) << "any offset of a padded contig";
            EXPECT_GT(highest, -10);
        }
    }
}

TEST(WindowDatasetTest, WithoutRandomnessEveryEpochIsThePlan) {
    const Fixture fixture;
    WindowDatasetConfig config = small_config();
    config.max_shift_bp = 0;
    config.random_reverse_complement = false;
    const WindowDataset dataset = fixture.dataset(config);
    for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
        const Window& tile = dataset.plan().windows[static_cast<std::size_t>(index)];
        if (tile.contig != "short") {
            EXPECT_EQ(dataset.window({index, index}), tile);
        }
    }
}

TEST(WindowDatasetTest, MutationReplacesTheAskedShareAndNeverN) {
    const Fixture fixture;
    WindowDatasetConfig config = small_config();
    const WindowDataset clean = fixture.dataset(config);
    config.mutate_rate = 0.2;
    const WindowDataset mutated = fixture.dataset(config);
    std::int64_t changed = 0;
    std::int64_t total = 0;
    std::map<std::uint8_t, std::int64_t> became;
    for (std::int64_t epoch = 0; epoch < 30; ++epoch) {
        for (std::int64_t index = 0; index < clean.num_examples(); ++index) {
            const WindowExample before = clean.example({epoch, index});
            const WindowExample after = mutated.example({epoch, index});
            ASSERT_EQ(before.window, after.window) << "mutation does not move windows";
            EXPECT_EQ(before.genes, after.genes);
            for (std::size_t i = 0; i < before.tokens.size(); ++i) {
                ASSERT_EQ(before.tokens[i] == genomics::kBaseN,
                          after.tokens[i] == genomics::kBaseN);
                if (before.tokens[i] != genomics::kBaseN) {
                    ++total;
                    if (before.tokens[i] != after.tokens[i]) {
                        ++changed;
                        ++became[after.tokens[i]];
                    }
                }
            }
        }
    }
    // A quarter of the replacements hits the same base; 6 standard deviations of the binomial.
    const double share = static_cast<double>(changed) / static_cast<double>(total);
    EXPECT_NEAR(share, 0.15, 6 * std::sqrt(0.15 * 0.85 / static_cast<double>(total)));
    for (const auto& [base, count] : became) {
        EXPECT_NEAR(static_cast<double>(count) / static_cast<double>(changed), 0.25, 0.02)
            << int{base};
    }
    config.mutate_rate = 1.0;
    const WindowDataset all = fixture.dataset(config);
    EXPECT_NE(all.example({0, 0}).tokens, mutated.example({0, 0}).tokens);
}

TEST(WindowDatasetTest, RingWithoutHoldOutIsReadAllRound) {
    Fixture fixture;
    fixture.held_out = {};
    const WindowDataset dataset = fixture.dataset(small_config());
    std::set<std::int64_t> read;
    for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
        for (std::int64_t index = 0; index < dataset.num_examples(); ++index) {
            const Window window = dataset.window({epoch, index});
            if (window.contig == "ring") {
                EXPECT_GE(window.start_bp, 0);
                EXPECT_LT(window.start_bp, 4000);
                read.insert(window.start_bp >= 3900 ? 1 : 0);
                EXPECT_EQ(dataset.example({epoch, index}).num_padded_bp, 0);
            }
        }
    }
    EXPECT_EQ(read.size(), 2U) << "some windows pass the origin";
}

TEST(WindowDatasetTest, SaysWhyNothingFits) {
    const Fixture fixture;
    WindowDatasetConfig config = small_config();
    config.window_bp = 100'000;
    Fixture only_line;
    only_line.reference = std::make_shared<InMemoryReference>(
        std::vector<InMemoryReference::Sequence>{{"line", bases(5000, 1), false}});
    only_line.genes.clear();
    only_line.held_out = {};
    only_line.held_out.test_intervals = {{"line", 0, 100}, {"line", 4900, 5000}};
    FLAGEN_EXPECT_USER_ERROR(only_line.dataset(config), kConfig, "no training window of 100000 bp",
                             "1 of them too short");
    config = small_config();
    config.margin_bp = 250;
    FLAGEN_EXPECT_USER_ERROR(fixture.dataset(config), kConfig, "margin");
    config = small_config();
    config.mutate_rate = 1.5;
    FLAGEN_EXPECT_USER_ERROR(fixture.dataset(config), kConfig, "mutate_rate", "1.5");
}

TEST(WindowDatasetTest, ReadsItsConfigurationAndReportsAllFaults) {
    JsonObject good = JsonObject::parse(
        R"({"seq_length": 1000, "stride": 300, "max_shift": 10, "reverse_complement": false,
            "strand_mode": "both", "margin": 7, "mutate_rate": 0.05})",
        "p.json");
    const auto config = WindowDatasetConfig::from_json(good);
    good.finish();
    EXPECT_TRUE(good.problems().empty());
    EXPECT_EQ(config.window_bp, 1000);
    EXPECT_EQ(config.stride_bp, 300);
    EXPECT_EQ(config.max_shift_bp, 10);
    EXPECT_FALSE(config.random_reverse_complement);
    EXPECT_EQ(config.strand_mode, StrandMode::kBoth);
    EXPECT_EQ(config.margin_bp, 7);
    EXPECT_DOUBLE_EQ(config.mutate_rate, 0.05);
    JsonObject bad = JsonObject::parse(
        R"({"seq_length": 0, "strand_mode": "sens", "mutate_rate": 2, "margin": -1})", "p.json");
    static_cast<void>(WindowDatasetConfig::from_json(bad));
    EXPECT_EQ(bad.problems().size(), 4U);
}

}  // namespace
}  // namespace flagen::data
