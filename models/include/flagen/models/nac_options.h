#pragma once

#include "flagen/models/norm_types.h"

namespace flagen::models {

class OptionTable;
struct BlockDefaults;

/// Norm and activation before a convolution, as Borzoi's blocks have them ("nac": norm, activation,
/// convolution).
struct NacOptions {
    static constexpr double kEpsilon = 1e-3;  ///< Of all norms in these blocks.

    NormType norm = NormType::kBatch;
    Activation activation = Activation::kGeluTanh;
    double bn_momentum = 0.9;  ///< Share that the running values keep at each step.

    /// Keys `norm_type`, `activation`, `bn_momentum`, in Borzoi's names (borzoi_norm_names()).
    void bind(OptionTable& table);
    void inherit(const BlockDefaults& defaults);

    [[nodiscard]] NormSettings norm_settings() const { return {kEpsilon, 1.0 - bn_momentum}; }
};

}  // namespace flagen::models
