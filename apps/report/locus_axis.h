#pragma once

#include <string>
#include <vector>

#include "apps/report/figures.h"
#include "apps/report/plot_axes.h"

namespace flagen::apps::report {

/// Height that draw_genome() needs below `top`.
inline constexpr double kGenomeHeight = 112.0;

/// Middle of a gene's row of arrows, counted from `top`: forward genes above reverse ones.
[[nodiscard]] double gene_row(char strand);

/// Draws what lies under a locus: genes as arrows of their strand, and the axis of positions (1-based, as
/// browsers print them; bp or kb by the size of the region). Genes are clipped to the region.
void draw_genome(SvgWriter& svg, const LinearScale& scale, const Box& box, const std::string& contig,
                 const std::vector<LocusGene>& genes);

/// Adds what the colours of draw_genome() mean, those that occur.
void add_gene_legend(std::vector<LegendEntry>& legend, const std::vector<LocusGene>& genes);

/// "chr1:1,001-2,000", 1-based and closed.
[[nodiscard]] std::string region_text(const std::string& contig, std::int64_t start_bp, std::int64_t end_bp);

}  // namespace flagen::apps::report
