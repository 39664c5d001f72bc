#include "apps/runtime/track_predictor.h"

#include <torch/torch.h>

#include <cstring>
#include <utility>

#include "flagen/data/window_example.h"
#include "flagen/error.h"

namespace flagen::apps {

TrackPredictor::TrackPredictor(std::vector<models::ExpressionModel> models,
                               std::shared_ptr<const genomics::ReferenceGenome> reference,
                               TrackPredictionOptions options)
    : models_(std::move(models)),
      reference_(std::move(reference)),
      options_(std::move(options)),
      pair_index_(at::tensor(options_.strand_pair_rows, at::kLong)) {
    FLAGEN_CHECK(!models_.empty() && !options_.shifts_bp.empty(), models_.size(), " models and ",
                 options_.shifts_bp.size(), " shifts");
    for (models::ExpressionModel& model : models_) {
        was_training_.push_back(model->is_training());
        model->eval();
    }
}

TrackPredictor::~TrackPredictor() {
    for (std::size_t i = 0; i < models_.size(); ++i) {
        models_[i]->train(was_training_[i]);
    }
}

at::Tensor TrackPredictor::run(const at::Tensor& codes, models::ExpressionModel& model) const {
    const auto output = model->forward(codes, models::GeneQueries{}, {options_.head});
    const at::Tensor tracks = output.tracks.at(options_.head).squeeze(0).to(at::kCPU).to(at::kDouble);
    FLAGEN_CHECK_EQ(tracks.size(1), pair_index_.size(0), "tracks of head ", options_.head);
    return tracks;
}

at::Tensor TrackPredictor::predict(const genomics::Window& window) {
    const torch::NoGradGuard no_gradients;
    at::Tensor sum;
    std::int64_t count = 0;
    for (const std::int64_t shift : options_.shifts_bp) {
        for (const auto strand : {genomics::Strand::kForward, genomics::Strand::kReverse}) {
            const bool reverse = strand == genomics::Strand::kReverse;
            if (reverse && !options_.reverse_complement) {
                continue;
            }
            data::WindowExample example;
            example.window = window;
            example.window.start_bp += shift;
            example.window.strand = strand;
            data::read_tokens(*reference_, example.window, example);
            at::Tensor codes = at::empty({1, window.length_bp}, at::kByte);
            std::memcpy(codes.mutable_data_ptr<std::uint8_t>(), example.tokens.data(), example.tokens.size());
            for (models::ExpressionModel& model : models_) {
                at::Tensor tracks = run(codes, model);
                if (reverse) {
                    tracks = tracks.flip(0).index_select(1, pair_index_);
                }
                sum = sum.defined() ? sum.add_(tracks) : tracks.clone();
                ++count;
            }
        }
    }
    return sum.div_(static_cast<double>(count)).to(at::kFloat).contiguous();
}

}  // namespace flagen::apps
