#include "flagen/models/track_metrics.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "flagen/error.h"

namespace flagen::models {
namespace {

constexpr std::size_t kStateSize = std::tuple_size_v<PairMoments::State>;

/// Sums over the rows of a batch, for the tracks of one thread. Loops run over tracks inside rows:
/// the reads are in order and the compiler vectorises them.
class BlockSums {
  public:
    BlockSums(std::int64_t first, std::int64_t last)
        : first_(static_cast<std::size_t>(first)), size_(static_cast<std::size_t>(last - first)) {}

    template <typename Value>
    void run(const Value* predicted, const Value* measured, std::int64_t num_rows,
             std::int64_t num_tracks) {
        sum_means(predicted, measured, num_rows, num_tracks);
        sum_deviations(predicted, measured, num_rows, num_tracks);
    }

    /// NaN if a prediction is not finite or a measurement is infinite.
    [[nodiscard]] double fault(std::size_t i) const { return fault_[i]; }

    [[nodiscard]] PairMoments moments(std::size_t i) const {
        if (count_[i] == 0.0) {
            return {};
        }
        // The deviations would sum to zero but for the rounding of the means: mend that.
        const double shift_p = deviation_p_[i] / count_[i];
        const double shift_m = deviation_m_[i] / count_[i];
        return PairMoments({count_[i], mean_p_[i] + shift_p, mean_m_[i] + shift_m,
                            squares_p_[i] - count_[i] * shift_p * shift_p,
                            squares_m_[i] - count_[i] * shift_m * shift_m,
                            products_[i] - count_[i] * shift_p * shift_m, errors_[i]});
    }

  private:
    using Vector = std::vector<double>;

    template <typename Value>
    void sum_means(const Value* predicted, const Value* measured, std::int64_t num_rows,
                   std::int64_t num_tracks) {
        for (std::int64_t row = 0; row < num_rows; ++row) {
            const Value* p = predicted + row * num_tracks + first_;
            const Value* m = measured + row * num_tracks + first_;
            for (std::size_t i = 0; i < size_; ++i) {
                const bool present = m[i] == m[i];
                const auto x = static_cast<double>(p[i]);
                const double y = present ? static_cast<double>(m[i]) : 0.0;
                count_[i] += present ? 1.0 : 0.0;
                mean_p_[i] += present ? x : 0.0;
                mean_m_[i] += y;
                fault_[i] += (x - x) + (y - y);
            }
        }
        for (std::size_t i = 0; i < size_; ++i) {
            const double count = std::max(count_[i], 1.0);
            mean_p_[i] /= count;
            mean_m_[i] /= count;
        }
    }

    template <typename Value>
    void sum_deviations(const Value* predicted, const Value* measured, std::int64_t num_rows,
                        std::int64_t num_tracks) {
        for (std::int64_t row = 0; row < num_rows; ++row) {
            const Value* p = predicted + row * num_tracks + first_;
            const Value* m = measured + row * num_tracks + first_;
            for (std::size_t i = 0; i < size_; ++i) {
                const bool present = m[i] == m[i];
                const auto x = static_cast<double>(p[i]);
                const auto y = static_cast<double>(m[i]);
                const double from_p = present ? x - mean_p_[i] : 0.0;
                const double from_m = present ? y - mean_m_[i] : 0.0;
                const double error = present ? y - x : 0.0;
                deviation_p_[i] += from_p;
                deviation_m_[i] += from_m;
                squares_p_[i] += from_p * from_p;
                squares_m_[i] += from_m * from_m;
                products_[i] += from_p * from_m;
                errors_[i] += error * error;
            }
        }
    }

    std::size_t first_;
    std::size_t size_;
    Vector count_ = Vector(size_), fault_ = Vector(size_);
    Vector mean_p_ = Vector(size_), mean_m_ = Vector(size_);
    Vector deviation_p_ = Vector(size_), deviation_m_ = Vector(size_);
    Vector squares_p_ = Vector(size_), squares_m_ = Vector(size_);
    Vector products_ = Vector(size_), errors_ = Vector(size_);
};

at::Tensor readable(const at::Tensor& values) {
    const auto dtype = values.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    return values.detach().to(at::kCPU, dtype).contiguous();
}

}  // namespace

TrackMetrics::TrackMetrics(std::int64_t num_tracks) {
    FLAGEN_CHECK(num_tracks > 0, "tracks: ", num_tracks);
    tracks_.resize(static_cast<std::size_t>(num_tracks));
}

void TrackMetrics::add(const at::Tensor& predicted, const at::Tensor& measured) {
    FLAGEN_CHECK(predicted.dim() > 0 && predicted.sizes() == measured.sizes() &&
                     predicted.size(-1) == num_tracks(),
                 "predicted ", predicted.sizes(), ", measured ", measured.sizes(), " for ",
                 num_tracks(), " tracks");
    at::Tensor p = readable(predicted);
    at::Tensor m = readable(measured);
    if (p.scalar_type() != m.scalar_type()) {
        p = p.to(at::kDouble);
        m = m.to(at::kDouble);
    }
    const std::int64_t num_rows = p.numel() / num_tracks();
    std::vector<PairMoments> batch(tracks_.size());
    std::vector<char> is_bad(tracks_.size(), 0);
    constexpr std::int64_t kTracksAThread = 256;  // their sums stay in the nearest cache
    at::parallel_for(0, num_tracks(), kTracksAThread, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t first = begin; first < end; first += kTracksAThread) {
            const std::int64_t last = std::min(end, first + kTracksAThread);
            BlockSums sums(first, last);
            if (p.scalar_type() == at::kDouble) {
                sums.run(p.const_data_ptr<double>(), m.const_data_ptr<double>(), num_rows,
                         num_tracks());
            } else {
                sums.run(p.const_data_ptr<float>(), m.const_data_ptr<float>(), num_rows,
                         num_tracks());
            }
            for (std::int64_t track = first; track < last; ++track) {
                const auto i = static_cast<std::size_t>(track - first);
                batch[static_cast<std::size_t>(track)] = sums.moments(i);
                is_bad[static_cast<std::size_t>(track)] = std::isnan(sums.fault(i)) ? 1 : 0;
            }
        }
    });
    const auto bad = std::find(is_bad.begin(), is_bad.end(), 1);
    FLAGEN_CHECK(bad == is_bad.end(), "track ", bad - is_bad.begin(),
                 " has a prediction that is not finite or an infinite measurement");
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
        tracks_[i].merge(batch[i]);
    }
}

void TrackMetrics::merge(const TrackMetrics& other) {
    FLAGEN_CHECK_EQ(other.tracks_.size(), tracks_.size(), "tracks");
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
        tracks_[i].merge(other.tracks_[i]);
    }
}

std::int64_t TrackMetrics::count(std::int64_t track) const {
    return tracks_.at(static_cast<std::size_t>(track)).count();
}

double TrackMetrics::pearson(std::int64_t track) const {
    return tracks_.at(static_cast<std::size_t>(track)).pearson();
}

double TrackMetrics::r2(std::int64_t track) const {
    return tracks_.at(static_cast<std::size_t>(track)).r2();
}

std::vector<double> TrackMetrics::pearsons() const {
    std::vector<double> values;
    for (const PairMoments& track : tracks_) {
        values.push_back(track.pearson());
    }
    return values;
}

std::vector<double> TrackMetrics::r2s() const {
    std::vector<double> values;
    for (const PairMoments& track : tracks_) {
        values.push_back(track.r2());
    }
    return values;
}

at::Tensor TrackMetrics::state() const {
    at::Tensor state =
        at::empty({num_tracks(), static_cast<std::int64_t>(kStateSize)}, at::kDouble);
    double* values = state.data_ptr<double>();
    for (const PairMoments& track : tracks_) {
        const PairMoments::State numbers = track.state();
        values = std::copy(numbers.begin(), numbers.end(), values);
    }
    return state;
}

TrackMetrics TrackMetrics::from_state(const at::Tensor& state) {
    FLAGEN_CHECK(state.dim() == 2 && state.size(1) == static_cast<std::int64_t>(kStateSize) &&
                     state.scalar_type() == at::kDouble,
                 "the state of track metrics is fp64 [T, ", kStateSize, "], found ",
                 state.scalar_type(), " ", state.sizes());
    TrackMetrics metrics(state.size(0));
    const at::Tensor rows = state.cpu().contiguous();
    const double* values = rows.const_data_ptr<double>();
    for (PairMoments& track : metrics.tracks_) {
        PairMoments::State numbers{};
        std::copy_n(values, kStateSize, numbers.begin());
        track = PairMoments(numbers);
        values += kStateSize;
    }
    return metrics;
}

std::map<std::string, TrackGroupScore> score_track_groups(const std::vector<double>& pearsons,
                                                          const std::vector<double>& r2s,
                                                          const std::vector<std::string>& groups) {
    FLAGEN_CHECK_EQ(pearsons.size(), groups.size(), "names of groups");
    FLAGEN_CHECK_EQ(r2s.size(), groups.size(), "names of groups");
    std::map<std::string, std::vector<std::size_t>> members;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        members[groups[i]].push_back(i);
    }
    std::map<std::string, TrackGroupScore> scores;
    for (const auto& [name, tracks] : members) {
        std::vector<double> pearson;
        std::vector<double> r2;
        for (const std::size_t track : tracks) {
            pearson.push_back(pearsons[track]);
            r2.push_back(r2s[track]);
        }
        scores[name] = {static_cast<std::int64_t>(tracks.size()), mean_of_defined(pearson),
                        mean_of_defined(r2)};
    }
    return scores;
}

}  // namespace flagen::models
