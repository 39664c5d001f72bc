#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "apps/report/figures.h"
#include "apps/report/markup.h"
#include "apps/report/sections.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr std::size_t kGenesOfDefaultLocus = 24;

// The middle genes of the held-out split with most to show, on the contig that holds most of them.
std::optional<genomics::Interval> default_locus(const GeneComparison& comparison) {
    for (const char* split : {"test", "valid", "train", "none"}) {
        std::map<std::string, std::vector<const LocusGene*>> by_contig;
        for (const ComparedGene& gene : comparison.genes) {
            if (gene.split == split && std::isfinite(gene.place.predicted)) {
                by_contig[gene.contig].push_back(&gene.place);
            }
        }
        if (by_contig.empty()) {
            continue;
        }
        auto& [contig, genes] = *std::max_element(by_contig.begin(), by_contig.end(), [](const auto& a, const auto& b) {
            return a.second.size() < b.second.size();
        });
        std::sort(genes.begin(), genes.end(),
                  [](const LocusGene* a, const LocusGene* b) { return a->start_bp < b->start_bp; });
        const std::size_t count = std::min(kGenesOfDefaultLocus, genes.size());
        const std::size_t first = (genes.size() - count) / 2;
        genomics::Interval region{contig, genes[first]->start_bp, genes[first]->end_bp};
        for (std::size_t i = first; i < first + count; ++i) {
            region.end_bp = std::max(region.end_bp, genes[i]->end_bp);
        }
        return region;
    }
    return std::nullopt;
}

GeneLocus genes_of(const GeneComparison& comparison, const genomics::Interval& region) {
    GeneLocus locus{region.contig, region.start_bp, region.end_bp, comparison.unit, {}};
    std::int64_t last_bp = region.start_bp + 1;
    for (const ComparedGene& gene : comparison.genes) {
        if (gene.contig == region.contig && gene.place.start_bp < region.end_bp &&
            gene.place.end_bp > region.start_bp) {
            locus.genes.push_back(gene.place);
            last_bp = std::max(last_bp, gene.place.end_bp);
        }
    }
    // A region without an end, on a contig whose length is not known, ends with its last gene.
    locus.end_bp = region.end_bp == genomics::kContigEnd ? last_bp : region.end_bp;
    return locus;
}

std::vector<NamedValue> sample_correlations(const GeneComparison& comparison, const SplitComparison& split) {
    std::vector<NamedValue> values;
    for (std::size_t s = 0; s < comparison.samples.size(); ++s) {
        values.push_back({comparison.samples[s], split.scores.per_sample[s].pearson});
    }
    return values;
}

}  // namespace

void comparison_section(HtmlPage& page, const GeneComparison& comparison) {
    page.section("Predicted against observed");
    for (const char* name : {"valid", "test"}) {
        if (std::none_of(comparison.splits.begin(), comparison.splits.end(),
                         [&](const SplitComparison& split) { return split.split == name; })) {
            page.note(detail::concatenate("The predictions hold no measured gene of the split ", name, "."));
        }
    }
    if (comparison.num_without_prediction > 0) {
        page.note(detail::concatenate(comparison.num_without_prediction,
                                      " genes have no prediction (they fit into no window) and are not drawn."));
    }
    std::vector<Figure> figures;
    for (const SplitComparison& split : comparison.splits) {
        const models::Agreement& means = split.scores.sample_mean;
        figures.push_back(
            scatter_figure({split.split, comparison.unit, split.means, means.pearson, means.spearman, means.r2}));
    }
    page.figures(figures);
    if (comparison.splits.empty()) {
        return;
    }
    page.section("Samples and genes");
    figures.clear();
    std::vector<ValueGroup> groups;
    for (const SplitComparison& split : comparison.splits) {
        groups.push_back({split.split, sample_correlations(comparison, split)});
    }
    figures.push_back(correlations_figure({"sample", "genes", groups}));
    for (const SplitComparison& split : comparison.splits) {
        figures.push_back(gene_histogram_figure({split.split, split.scores.per_gene, split.scores.per_gene_centred}));
    }
    page.figures(figures);
}

void gene_locus_section(HtmlPage& page, const GeneComparison& comparison,
                        const std::optional<genomics::Interval>& region) {
    page.section("One locus");
    const auto chosen = region ? region : default_locus(comparison);
    if (!chosen) {
        page.note("No gene has a prediction: there is no locus to draw.");
        return;
    }
    page.figures({gene_locus_figure(genes_of(comparison, *chosen))});
    if (!region) {
        page.paragraph(
            "The middle of the held-out genes was chosen; flagen report --locus contig:start-end draws another "
            "region.");
    }
}

}  // namespace flagen::apps::report
