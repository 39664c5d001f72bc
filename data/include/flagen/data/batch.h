#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "flagen/data/batch_sampler.h"
#include "flagen/data/gene_targets.h"
#include "flagen/data/target_transform.h"
#include "flagen/data/window_example.h"

namespace flagen::data {

/// Targets of all genes on the scale that the model is trained on.
struct TargetTable {
    at::Tensor values;  ///< [all genes, S] fp32, transformed; 0 where missing.
    at::Tensor mask;    ///< [all genes, S] bool, true where measured.

    /// Transforms the measured values once, for all batches.
    [[nodiscard]] static TargetTable make(const GeneTargets& targets,
                                          const TargetTransform& transform);
};

/// Genes of all windows of a batch, one after another: G genes, P pieces, S samples. Positions are
/// relative to the window as it is read, in bp, half-open.
struct GeneRows {
    at::Tensor window;      ///< [G] int64, row of the gene's window in the batch, ascending.
    at::Tensor start_bp;    ///< [G] int64
    at::Tensor end_bp;      ///< [G] int64
    at::Tensor strand;      ///< [G] int64, +1 sense as read, -1 antisense.
    at::Tensor gene_index;  ///< [G] int64, row of the gene in the targets.
    at::Tensor targets;     ///< [G, S] fp32, transformed, 0 where missing; [G, 0] without targets.
    at::Tensor mask;        ///< [G, S] bool, true where measured.
    at::Tensor piece_offset;    ///< [G + 1] int64, gene g has pieces piece_offset[g] .. [g + 1].
    at::Tensor piece_start_bp;  ///< [P] int64, ascending within a gene.
    at::Tensor piece_end_bp;    ///< [P] int64
};

/// B windows of L bases for one step, on the CPU.
struct Batch {
    std::size_t section = 0;                  ///< That all windows are of; see BatchSampler.
    at::Tensor tokens;                        ///< [B, L] uint8, A C G T N = 0..4.
    std::vector<genomics::Window> windows;    ///< [B]
    std::vector<SampleId> ids;                ///< [B]
    std::vector<std::int64_t> num_padded_bp;  ///< [B]
    GeneRows genes;
    /// [B, N, T] fp32: bins and tracks as the windows are read, on the training scale; undefined
    /// where the examples have none.
    at::Tensor tracks;
    /// Where the sampler stands after this batch: what a checkpoint taken after this step stores.
    BatchSamplerState sampler_state;
};

/// Joins examples of equal length. `targets` may be null: then S = 0.
/// @throws Error if `examples` is empty or the lengths, bins or tracks differ.
[[nodiscard]] Batch collate(const std::vector<WindowExample>& examples, const TargetTable* targets);

}  // namespace flagen::data
