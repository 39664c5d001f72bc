#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flagen/data/gene_index.h"
#include "flagen/data/row_status.h"
#include "flagen/data/window_example.h"
#include "flagen/genomics/reference_genome.h"

namespace flagen::data {

/// How genes are spread over windows for prediction.
struct EvaluationOptions {
    std::int64_t window_bp = 524'288;
    std::int64_t stride_bp = 131'072;
    std::int64_t margin_bp = 0;  ///< Bases at each end of a window in which no gene is predicted.
    /// Each gene is predicted once for each of these shifts of its window's start, in bp; the
    /// caller averages. Distinct, at least one.
    std::vector<std::int64_t> start_shifts_bp = {0};
    /// Each gene is also predicted from the reverse complement of its window, where it is antisense;
    /// the caller averages.
    bool both_orientations = false;
};

/// One pass of the model: a window in one orientation, and the genes to predict from it.
struct EvaluationPass {
    genomics::Window window;        ///< Shifted; its strand is the orientation.
    /// Not empty. All sense in this orientation (strand +1), unless genes are read in both.
    std::vector<PlacedGene> genes;
    std::size_t shift = 0;          ///< Index into start_shifts_bp.
};

/// Where one gene is predicted.
struct GeneAssignment {
    std::int64_t gene_index = 0;
    std::int64_t window_start_bp = 0;  ///< Unshifted start; 0 if the status is kBeyondWindow.
    /// kOk; kOutOfBoundsPadded if a window of the gene reaches over the end of a linear contig;
    /// kBeyondWindow if the gene fits into no window and stands in no pass.
    RowStatus status = RowStatus::kOk;
};

/// Every gene exactly once per shift and orientation, from the window whose centre is nearest the
/// gene's.
struct EvaluationPlan {
    std::vector<EvaluationPass> passes;  ///< By contig, window start, orientation (+ first), shift.
    std::vector<GeneAssignment> genes;   ///< In the order of the rows asked for.
    std::int64_t num_unreachable = 0;    ///< Genes with kBeyondWindow.
};

/// Plans the prediction of the genes `rows` of `genes`.
///
/// Windows tile each contig by the stride, whatever the split; the last one of a linear contig is
/// anchored at its end. With a margin or shifts the tiling of a linear contig begins and ends that
/// much outside (N is read there), so that genes at the ends are predicted like any other. A contig
/// shorter than a window lies in the middle of one. A circular contig is tiled all round. Among the
/// windows that hold a gene wholly in their usable part under every shift, the one whose unshifted
/// centre is nearest the gene's centre is taken; on a tie the one with the lower start.
///
/// A pure function of its arguments; the windows of a gene do not depend on the other rows.
///
/// @throws UserError (kConfig) for a window or stride below 1, a margin that leaves nothing, shifts
///         that repeat or an empty list of them.
[[nodiscard]] EvaluationPlan plan_gene_evaluation(const std::vector<genomics::GeneSpan>& genes,
                                                  const std::vector<std::int64_t>& rows,
                                                  const genomics::ContigTable& contigs,
                                                  const EvaluationOptions& options);

/// The passes of a plan as examples: index = number of the pass, the epoch has no effect.
class EvaluationSource final : public ExampleSource {
  public:
    EvaluationSource(std::shared_ptr<const genomics::ReferenceGenome> reference,
                     std::shared_ptr<const EvaluationPlan> plan);

    [[nodiscard]] std::int64_t num_examples() const override;
    [[nodiscard]] WindowExample example(const SampleId& id) const override;

  private:
    std::shared_ptr<const genomics::ReferenceGenome> reference_;
    std::shared_ptr<const EvaluationPlan> plan_;
};

}  // namespace flagen::data
