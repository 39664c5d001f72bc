#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flagen/models/expression_model.h"
#include "flagen/models/stream_shape.h"

namespace flagen::models {

/// Size and cost of one stage for one window.
struct StageSummary {
    std::string name;
    StreamShape output;
    std::int64_t num_parameters = 0;
    double forward_flops = 0;     ///< A multiply-add counts as two.
    double activation_bytes = 0;  ///< fp32 tensors kept for the backward pass, about.
    bool is_head = false;
};

/// What `flagen info` prints. A training step costs about three forward passes.
struct ModelSummary {
    std::vector<StageSummary> stages;  ///< Blocks of the trunk, then the heads.

    [[nodiscard]] StageSummary total() const;  ///< Its shape is that of the last trunk block.
    /// A table, one line a stage and a line for the sum; ends with a newline.
    [[nodiscard]] std::string to_text() const;
};

/// `num_genes` is the number of genes a window is taken to hold, for the heads' cost.
[[nodiscard]] ModelSummary summarise(const ExpressionModel& model, std::int64_t num_genes);

}  // namespace flagen::models
