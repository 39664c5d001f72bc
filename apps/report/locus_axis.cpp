#include "apps/report/locus_axis.h"

#include <algorithm>
#include <cmath>

#include "apps/report/markup.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

constexpr double kArrowHeight = 12.0;
constexpr double kMaxHead = 9.0;
constexpr double kAxis = 58.0;  // of the position axis below the top

void draw_arrow(SvgWriter& svg, const LinearScale& scale, double middle, const LocusGene& gene) {
    const Range& domain = scale.domain();
    double left = scale(std::max(static_cast<double>(gene.start_bp), domain.low));
    double right = scale(std::min(static_cast<double>(gene.end_bp), domain.high));
    if (right - left < 2.0) {
        right = left + 2.0;  // never thinner than can be seen
    }
    const double top = middle - kArrowHeight / 2;
    const double bottom = middle + kArrowHeight / 2;
    const double head = gene.strand == '.' ? 0.0 : std::min(kMaxHead, right - left);
    std::vector<Point> outline;
    if (gene.strand == '-') {
        outline = {{left, middle}, {left + head, top}, {right, top}, {right, bottom}, {left + head, bottom}};
    } else {
        outline = {{left, top}, {right - head, top}, {right, middle}, {right - head, bottom}, {left, bottom}};
    }
    if (gene.strand == '.') {
        outline = {{left, top}, {right, top}, {right, bottom}, {left, bottom}};
    }
    svg.polygon(outline, gene.held_out ? "gene held" : "gene",
                detail::concatenate(gene.id, " (", gene.strand, ") ", with_commas(gene.start_bp + 1), "-",
                                    with_commas(gene.end_bp), gene.held_out ? ", held out" : ", not held out"));
}

}  // namespace

double gene_row(char strand) { return strand == '-' ? 36.0 : 16.0; }

void add_gene_legend(std::vector<LegendEntry>& legend, const std::vector<LocusGene>& genes) {
    const auto held_out = [](const LocusGene& gene) { return gene.held_out; };
    if (std::any_of(genes.begin(), genes.end(), held_out)) {
        legend.push_back({"gene, held out", "gene held", false});
    }
    if (!std::all_of(genes.begin(), genes.end(), held_out)) {
        legend.push_back({"gene, not held out", "gene", false});
    }
}

std::string region_text(const std::string& contig, std::int64_t start_bp, std::int64_t end_bp) {
    return detail::concatenate(contig, ":", with_commas(start_bp + 1), "-", with_commas(end_bp));
}

void draw_genome(SvgWriter& svg, const LinearScale& scale, const Box& box, const std::string& contig,
                 const std::vector<LocusGene>& genes) {
    for (const char strand : {'+', '-'}) {
        const double middle = box.top + gene_row(strand);
        svg.text({box.left - 8, middle + 4}, strand == '+' ? "+ strand" : "\u2212 strand", {"tick", Anchor::kEnd, 0});
        svg.line({box.left, middle}, {box.right, middle}, "grid");
    }
    for (const LocusGene& gene : genes) {
        draw_arrow(svg, scale, box.top + gene_row(gene.strand), gene);
    }
    const Range& domain = scale.domain();
    const bool in_kb = domain.span() >= 20'000;
    const double unit = in_kb ? 1000.0 : 1.0;
    const double y = box.top + kAxis;
    svg.line({box.left, y}, {box.right, y}, "axis");
    const Range labels{(domain.low + 1) / unit, std::max(domain.high, domain.low + 2) / unit};
    const auto ticks = nice_ticks(labels, 9, in_kb ? 0.001 : 1.0);
    const auto texts = tick_labels(ticks);
    for (std::size_t i = 0; i < ticks.size(); ++i) {
        const double x = scale(ticks[i] * unit - 0.5);  // the middle of the base
        svg.line({x, y}, {x, y + 5}, "axis");
        svg.text({x, y + 19}, texts[i], {"tick", Anchor::kMiddle, 0});
    }
    svg.text({(box.left + box.right) / 2, y + 42},
             detail::concatenate("position on ", shortened(contig, 60), in_kb ? ", kb" : ", bp"),
             {"label", Anchor::kMiddle, 0});
}

}  // namespace flagen::apps::report
