#include "flagen/data/evaluation_plan.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/genomics/tokenizer.h"
#include "flagen/genomics/window_planner.h"
#include "genomics/user_error_of.h"

namespace flagen::data {
namespace {

using genomics::ContigTable;
using genomics::GeneSpan;
using genomics::Strand;
using genomics::Window;

ContigTable contigs() {
    return ContigTable({{"line", 5000, false}, {"ring", 4100, true}, {"short", 300, false}});
}

std::vector<GeneSpan> random_genes(int count) {
    std::mt19937_64 random(5);
    std::vector<GeneSpan> genes;
    for (int i = 0; i < count; ++i) {
        const std::string contig = i % 5 == 0 ? "short" : i % 2 == 0 ? "ring" : "line";
        const std::int64_t length = contig == "short" ? 300 : contig == "ring" ? 4100 : 5000;
        const auto size = 1 + static_cast<std::int64_t>(random() % 120);
        const std::int64_t room = contig == "ring" ? length : length - size + 1;
        const auto start = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(room));
        genes.push_back({"g" + std::to_string(i),
                         contig,
                         start,
                         start + size,
                         random() % 2 == 0 ? Strand::kForward : Strand::kReverse,
                         {{start, start + size}}});
    }
    // Genes at the very ends of the linear contig.
    genes.push_back({"left", "line", 0, 50, Strand::kForward, {{0, 50}}});
    genes.push_back({"right", "line", 4950, 5000, Strand::kReverse, {{4950, 5000}}});
    return genes;
}

std::vector<std::int64_t> all_rows(const std::vector<GeneSpan>& genes) {
    std::vector<std::int64_t> rows(genes.size());
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

EvaluationOptions small_options() {
    EvaluationOptions options;
    options.window_bp = 600;
    options.stride_bp = 250;
    return options;
}

TEST(EvaluationPlanTest, PredictsEveryGeneOncePerShiftFromItsSenseOrientation) {
    const auto genes = random_genes(150);
    EvaluationOptions options = small_options();
    options.margin_bp = 30;
    options.start_shifts_bp = {0, 8, 16, 24};
    const EvaluationPlan plan = plan_gene_evaluation(genes, all_rows(genes), contigs(), options);
    EXPECT_EQ(plan.num_unreachable, 0);
    std::map<std::pair<std::int64_t, std::size_t>, int> times;
    for (const EvaluationPass& pass : plan.passes) {
        EXPECT_FALSE(pass.genes.empty());
        for (const PlacedGene& placed : pass.genes) {
            ++times[{placed.gene_index, pass.shift}];
            EXPECT_EQ(placed.strand, 1);
            EXPECT_GE(placed.start_bp, 30);
            EXPECT_LE(placed.end_bp, 570);
            EXPECT_EQ(genes[static_cast<std::size_t>(placed.gene_index)].strand,
                      pass.window.strand);
        }
    }
    EXPECT_EQ(times.size(), genes.size() * 4);
    for (const auto& [key, count] : times) {
        EXPECT_EQ(count, 1) << key.first;
    }
}

TEST(EvaluationPlanTest, BothOrientationsReadTheSameWindowOnceEach) {
    const auto genes = random_genes(150);
    EvaluationOptions options = small_options();
    options.start_shifts_bp = {0, 8};
    const EvaluationPlan sense = plan_gene_evaluation(genes, all_rows(genes), contigs(), options);
    options.both_orientations = true;
    const EvaluationPlan both = plan_gene_evaluation(genes, all_rows(genes), contigs(), options);
    std::map<std::pair<std::int64_t, std::size_t>, std::map<std::int64_t, PlacedGene>> placed;
    for (const EvaluationPass& pass : both.passes) {
        for (const PlacedGene& gene : pass.genes) {
            const auto& span = genes[static_cast<std::size_t>(gene.gene_index)];
            EXPECT_EQ(gene.strand, span.strand == pass.window.strand ? 1 : -1);
            EXPECT_TRUE((placed[{gene.gene_index, pass.shift}].emplace(gene.strand, gene).second));
        }
    }
    EXPECT_EQ(placed.size(), genes.size() * 2);
    for (const auto& [key, by_strand] : placed) {
        ASSERT_EQ(by_strand.size(), 2U);
        EXPECT_EQ(by_strand.at(1).start_bp, options.window_bp - by_strand.at(-1).end_bp);
    }
    for (std::size_t i = 0; i < sense.genes.size(); ++i) {
        EXPECT_EQ(both.genes[i].window_start_bp, sense.genes[i].window_start_bp);
    }
}

TEST(EvaluationPlanTest, WindowIsTheOneWhoseCentreIsNearest) {
    const auto genes = random_genes(150);
    const EvaluationOptions options = small_options();
    const EvaluationPlan plan = plan_gene_evaluation(genes, all_rows(genes), contigs(), options);
    // Brute force over the planner's tiling of whole contigs.
    genomics::WindowPlanOptions tiling;
    tiling.window_bp = options.window_bp;
    tiling.stride_bp = options.stride_bp;
    const auto windows = genomics::plan_tiled_windows(contigs(), tiling).windows;
    for (const GeneAssignment& assigned : plan.genes) {
        const GeneSpan& gene = genes[static_cast<std::size_t>(assigned.gene_index)];
        std::int64_t best = std::numeric_limits<std::int64_t>::max();
        std::int64_t best_start = 0;
        for (const Window& window : windows) {
            if (window.contig != gene.contig) {
                continue;
            }
            for (const std::int64_t turn : {-4100, 0, 4100}) {
                const std::int64_t at = window.start_bp + (gene.contig == "ring" ? turn : 0);
                const std::int64_t distance =
                    std::abs((2 * at + 600) - (gene.start_bp + gene.end_bp));
                const bool holds = at <= gene.start_bp && gene.end_bp <= at + 600;
                if (holds &&
                    (distance < best || (distance == best && window.start_bp < best_start))) {
                    best = distance;
                    best_start = window.start_bp;
                }
            }
        }
        EXPECT_EQ(assigned.window_start_bp, best_start) << gene.id;
        EXPECT_EQ(assigned.status,
                  gene.contig == "short" ? RowStatus::kOutOfBoundsPadded : RowStatus::kOk);
    }
}

TEST(EvaluationPlanTest, TieGoesToTheLowerStart) {
    // Windows at 0, 250, 500, ...; centres 300 and 550; a gene around 425 is as near to both.
    const std::vector<GeneSpan> genes = {
        {"tie", "line", 420, 430, Strand::kForward, {{420, 430}}},
        {"next", "line", 420, 431, Strand::kForward, {{420, 431}}}};
    const auto plan = plan_gene_evaluation(genes, {0, 1}, contigs(), small_options());
    EXPECT_EQ(plan.genes[0].window_start_bp, 0);
    EXPECT_EQ(plan.genes[1].window_start_bp, 250);
}

TEST(EvaluationPlanTest, WindowsDoNotDependOnTheOtherGenes) {
    const auto genes = random_genes(80);
    const auto whole = plan_gene_evaluation(genes, all_rows(genes), contigs(), small_options());
    const auto some = plan_gene_evaluation(genes, {5, 17, 60}, contigs(), small_options());
    ASSERT_EQ(some.genes.size(), 3U);
    for (const GeneAssignment& assigned : some.genes) {
        EXPECT_EQ(assigned.window_start_bp,
                  whole.genes[static_cast<std::size_t>(assigned.gene_index)].window_start_bp);
    }
    EXPECT_EQ(some.genes[1].gene_index, 17);
}

TEST(EvaluationPlanTest, GenesAtContigEndsSurviveMarginAndShifts) {
    const auto genes = random_genes(0);  // only the two at the ends
    EvaluationOptions options = small_options();
    options.margin_bp = 100;
    options.start_shifts_bp = {-16, 0, 24};
    const auto plan = plan_gene_evaluation(genes, {0, 1}, contigs(), options);
    EXPECT_EQ(plan.num_unreachable, 0);
    EXPECT_EQ(plan.passes.size(), 6U);
    EXPECT_EQ(plan.genes[0].status, RowStatus::kOutOfBoundsPadded);
    EXPECT_EQ(plan.genes[1].status, RowStatus::kOutOfBoundsPadded);
}

TEST(EvaluationPlanTest, GeneLongerThanTheUsablePartIsListed) {
    const std::vector<GeneSpan> genes = {{"long", "line", 1000, 1601, Strand::kForward, {}},
                                         {"fits", "line", 1000, 1500, Strand::kForward, {}}};
    EvaluationOptions options = small_options();
    options.stride_bp = 50;
    const auto plan = plan_gene_evaluation(genes, {0, 1}, contigs(), options);
    EXPECT_EQ(plan.num_unreachable, 1);
    EXPECT_EQ(plan.genes[0].status, RowStatus::kBeyondWindow);
    EXPECT_EQ(plan.genes[1].status, RowStatus::kOk);
    ASSERT_EQ(plan.passes.size(), 1U);
    EXPECT_EQ(plan.passes[0].genes.size(), 1U);
}

TEST(EvaluationPlanTest, PassesComeByContigStartOrientationShift) {
    const auto genes = random_genes(150);
    EvaluationOptions options = small_options();
    options.start_shifts_bp = {0, 8};
    const auto plan = plan_gene_evaluation(genes, all_rows(genes), contigs(), options);
    for (std::size_t i = 0; i + 1 < plan.passes.size(); i += 2) {
        const Window& plain = plan.passes[i].window;
        const Window& shifted = plan.passes[i + 1].window;
        EXPECT_EQ(plan.passes[i].shift, 0U);
        EXPECT_EQ(plan.passes[i + 1].shift, 1U);
        EXPECT_EQ(shifted.strand, plain.strand);
        EXPECT_EQ(shifted.contig, plain.contig);
        const std::int64_t moved = plain.start_bp + 8;
        EXPECT_EQ(shifted.start_bp, plain.contig == "ring" ? moved % 4100 : moved);
        if (i >= 2 && plan.passes[i - 2].window.contig == plain.contig) {
            EXPECT_LE(plan.passes[i - 2].window.start_bp, plain.start_bp);
        }
    }
}

TEST(EvaluationPlanTest, SourceReadsTheLettersOfItsPasses) {
    std::mt19937_64 random(2);
    std::string ring(4100, 'A');
    for (char& base : ring) {
        base = "ACGT"[random() % 4];
    }
    const auto reference = std::make_shared<genomics::InMemoryReference>(
        std::vector<genomics::InMemoryReference::Sequence>{{"ring", ring, true}});
    const std::vector<GeneSpan> genes = {
        {"over", "ring", 4080, 4130, Strand::kReverse, {{4080, 4130}}}};
    const auto plan = std::make_shared<EvaluationPlan>(
        plan_gene_evaluation(genes, {0}, reference->contigs(), small_options()));
    const EvaluationSource source(reference, plan);
    ASSERT_EQ(source.num_examples(), 1);
    const WindowExample example = source.example({0, 0});
    std::string gene = ring.substr(4080) + ring.substr(0, 30);
    genomics::reverse_complement(gene);
    EXPECT_EQ(genomics::decode_bases(example.tokens)
                  .substr(static_cast<std::size_t>(example.genes[0].start_bp), 50),
              gene);
    EXPECT_THROW(static_cast<void>(source.example({0, 1})), Error);
}

TEST(EvaluationPlanTest, RefusesImpossibleOptions) {
    const auto genes = random_genes(3);
    const auto with = [&](auto change) {
        EvaluationOptions options = small_options();
        change(options);
        return plan_gene_evaluation(genes, {0}, contigs(), options);
    };
    FLAGEN_EXPECT_USER_ERROR(with([](auto& o) { o.margin_bp = 300; }), kConfig, "margin");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& o) { o.stride_bp = 0; }), kConfig, "stride");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& o) { o.start_shifts_bp = {}; }), kConfig, "shifts");
    FLAGEN_EXPECT_USER_ERROR(with([](auto& o) { o.start_shifts_bp = {8, 8}; }), kConfig, "shifts");
}

}  // namespace
}  // namespace flagen::data
