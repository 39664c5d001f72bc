#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flagen/genomics/reference_genome.h"
#include "flagen/genomics/window.h"
#include "flagen/models/expression_model.h"

namespace flagen::apps {

/// What a prediction of tracks averages over.
struct TrackPredictionOptions {
    std::string head;                                  ///< Name of the tracks head.
    std::vector<std::int64_t> strand_pair_rows;        ///< [T], TrackTable::strand_pair_rows.
    /// Each window is also read this many bp further right; its bins keep their place, as in the
    /// scripts of Borzoi. At least one.
    std::vector<std::int64_t> shifts_bp = {0};
    bool reverse_complement = false;  ///< Average with the reverse strand, bins and strand pairs put back.
};

/// Predicts the tracks of windows, on the models' training scale.
///
/// Reads every shift and strand, runs every model, and averages, in this order; sums in fp64. The
/// models are put into evaluation mode and back.
class TrackPredictor {
  public:
    /// @param models at least one, of equal heads
    /// @throws Error if a model lacks the head or its tracks are not those of strand_pair_rows.
    TrackPredictor(std::vector<models::ExpressionModel> models,
                   std::shared_ptr<const genomics::ReferenceGenome> reference, TrackPredictionOptions options);
    ~TrackPredictor();
    TrackPredictor(const TrackPredictor&) = delete;
    TrackPredictor& operator=(const TrackPredictor&) = delete;

    /// [N, T] fp32 for a forward window of the models' length; N bins.
    [[nodiscard]] at::Tensor predict(const genomics::Window& window);

  private:
    [[nodiscard]] at::Tensor run(const at::Tensor& codes, models::ExpressionModel& model) const;

    std::vector<models::ExpressionModel> models_;
    std::vector<bool> was_training_;
    std::shared_ptr<const genomics::ReferenceGenome> reference_;
    TrackPredictionOptions options_;
    at::Tensor pair_index_;  // [T] int64
};

}  // namespace flagen::apps
