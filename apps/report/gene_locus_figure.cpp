#include <algorithm>
#include <cmath>

#include "apps/report/figures.h"
#include "apps/report/locus_axis.h"
#include "apps/report/markup.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr double kWidth = 1140.0;
constexpr double kBarsBottom = 256.0;
constexpr double kLeaders = 34.0;  // height of the lines between slots and arrows

std::vector<LocusGene> drawn_genes(const GeneLocus& locus) {
    std::vector<LocusGene> genes = locus.genes;
    std::stable_sort(genes.begin(), genes.end(),
                     [](const LocusGene& a, const LocusGene& b) { return a.start_bp < b.start_bp; });
    genes.resize(std::min(genes.size(), kMaxLocusGenes));
    return genes;
}

void draw_bar(SvgWriter& svg, const PlotFrame& frame, double left, double width, double value, const char* css,
              const std::string& title) {
    if (!std::isfinite(value)) {
        return;
    }
    const double zero = frame.y()(0.0);
    const double end = frame.y()(value);
    svg.rect({left, std::min(zero, end)}, width, std::fabs(end - zero), css, title);
}

std::string describe(const LocusGene& gene) {
    return detail::concatenate(gene.id, ": observed ", fixed(gene.observed, 2), ", predicted ",
                               fixed(gene.predicted, 2));
}

std::string title_of(const GeneLocus& locus, const std::vector<LocusGene>& genes) {
    const auto held = std::count_if(genes.begin(), genes.end(), [](const LocusGene& g) { return g.held_out; });
    const std::string count = held == static_cast<std::ptrdiff_t>(genes.size())
                                  ? std::string("all held out")
                                  : detail::concatenate(held, " held out");
    return detail::concatenate("Observed and predicted mean expression along ",
                               region_text(shortened(locus.contig, 40), locus.start_bp, locus.end_bp), ": ",
                               genes.size(), genes.size() == 1 ? " gene, " : " genes, ", count);
}

}  // namespace

Figure gene_locus_figure(const GeneLocus& locus) {
    const auto genes = drawn_genes(locus);
    Figure figure;
    figure.wide = true;
    if (genes.empty()) {
        figure.title =
            detail::concatenate("No predicted gene lies in ", region_text(locus.contig, locus.start_bp, locus.end_bp));
        return figure;
    }
    figure.title = title_of(locus, genes);
    Range values{0.0, 0.0};
    std::size_t longest = 1;
    for (const LocusGene& gene : genes) {
        values.include(gene.observed);
        values.include(gene.predicted);
        longest = std::max(longest, count_characters(shortened(gene.id, 14)));
    }
    values = values.span() > 0 ? Range{values.low * 1.06, values.high * 1.06} : Range{0.0, 1.0};

    const double label_width = static_cast<double>(longest) * 12.0 * 0.6;
    const double slot = (kWidth - 80 - 16) / static_cast<double>(genes.size());
    const bool upright = label_width + 8 <= slot;
    const double leaders_top = kBarsBottom + (upright ? 24.0 : label_width + 14);
    SvgWriter svg(kWidth, leaders_top + kLeaders + kGenomeHeight, figure.title);
    const Box box{80, 36, kWidth - 16, kBarsBottom};
    const PlotFrame frame(svg, box, {"", {0, 1}, 0, false},
                          {detail::concatenate("mean over samples, ", locus.unit), values});
    const Box genome{box.left, leaders_top + kLeaders, box.right, svg.height()};
    const LinearScale position({static_cast<double>(locus.start_bp), static_cast<double>(locus.end_bp)}, box.left,
                               box.right);
    const double bar = std::min(16.0, slot * 0.36);
    for (std::size_t i = 0; i < genes.size(); ++i) {
        const LocusGene& gene = genes[i];
        const double middle = box.left + slot * (static_cast<double>(i) + 0.5);
        draw_bar(svg, frame, middle - bar, bar - 0.5, gene.observed, "observed", describe(gene));
        draw_bar(svg, frame, middle + 0.5, bar - 0.5, gene.predicted, "predicted", describe(gene));
        svg.text({upright ? middle : middle + 4, kBarsBottom + (upright ? 18.0 : 8.0)}, shortened(gene.id, 14),
                 {"tick", upright ? Anchor::kMiddle : Anchor::kEnd, upright ? 0.0 : -90.0});
        const double centre = std::clamp(
            position((static_cast<double>(gene.start_bp) + static_cast<double>(gene.end_bp)) / 2), box.left, box.right);
        svg.polyline(
            {{middle, leaders_top}, {centre, leaders_top + kLeaders}, {centre, genome.top + gene_row(gene.strand)}},
            "leader");
    }
    svg.line({box.left, frame.y()(0.0)}, {box.right, frame.y()(0.0)}, "axis");
    draw_genome(svg, position, genome, locus.contig, genes);
    std::vector<LegendEntry> legend = {{"observed", "observed", false}, {"predicted", "predicted", false}};
    add_gene_legend(legend, genes);
    draw_legend(svg, {box.left, 14}, legend);
    if (genes.size() < locus.genes.size()) {
        figure.caption = detail::concatenate("The first ", genes.size(), " of ", locus.genes.size(),
                                             " genes of the region are drawn; a narrower --locus shows others.");
    }
    figure.svg = svg.finish();
    return figure;
}

}  // namespace flagen::apps::report
