#include "correlation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "flagen/error.h"
#include "flagen/models/metrics.h"

namespace flagen::models {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kConstantBelow = 1e-13;  // relative; scipy warns at the same bound

double mean_of(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double bounded_ratio(double products, double squares_x, double squares_y) {
    // Roots first: the product of two tiny sums of squares may underflow.
    return std::clamp(products / std::sqrt(squares_x) / std::sqrt(squares_y), -1.0, 1.0);
}

bool sum_is_constant(double squares, double count, double scale) {
    return is_constant(squares / count, scale);
}

}  // namespace

bool is_constant(double variance, double scale) {
    return !(std::sqrt(variance) > kConstantBelow * scale);
}

PairMoments::PairMoments(const State& state)
    : count_(static_cast<std::int64_t>(state[0])),
      mean_predicted_(state[1]),
      mean_measured_(state[2]),
      squares_predicted_(state[3]),
      squares_measured_(state[4]),
      products_(state[5]),
      squared_errors_(state[6]) {}

PairMoments::State PairMoments::state() const {
    return {static_cast<double>(count_), mean_predicted_, mean_measured_, squares_predicted_,
            squares_measured_,           products_,       squared_errors_};
}

void PairMoments::add(double predicted, double measured) {
    ++count_;
    const auto n = static_cast<double>(count_);
    const double from_old_predicted = predicted - mean_predicted_;
    const double from_old_measured = measured - mean_measured_;
    mean_predicted_ += from_old_predicted / n;
    mean_measured_ += from_old_measured / n;
    squares_predicted_ += from_old_predicted * (predicted - mean_predicted_);
    squares_measured_ += from_old_measured * (measured - mean_measured_);
    products_ += from_old_predicted * (measured - mean_measured_);
    squared_errors_ += (measured - predicted) * (measured - predicted);
}

void PairMoments::merge(const PairMoments& other) {
    if (other.count_ == 0) {
        return;
    }
    const auto here = static_cast<double>(count_);
    const auto there = static_cast<double>(other.count_);
    const double share = there / (here + there);
    const double between_predicted = other.mean_predicted_ - mean_predicted_;
    const double between_measured = other.mean_measured_ - mean_measured_;
    squares_predicted_ +=
        other.squares_predicted_ + between_predicted * between_predicted * here * share;
    squares_measured_ +=
        other.squares_measured_ + between_measured * between_measured * here * share;
    products_ += other.products_ + between_predicted * between_measured * here * share;
    mean_predicted_ += between_predicted * share;
    mean_measured_ += between_measured * share;
    squared_errors_ += other.squared_errors_;
    count_ += other.count_;
}

double PairMoments::pearson() const {
    const auto n = static_cast<double>(count_);
    if (count_ < 2 || sum_is_constant(squares_predicted_, n, std::fabs(mean_predicted_)) ||
        sum_is_constant(squares_measured_, n, std::fabs(mean_measured_))) {
        return kNan;
    }
    return bounded_ratio(products_, squares_predicted_, squares_measured_);
}

double PairMoments::r2() const {
    if (count_ < 2 || sum_is_constant(squares_measured_, static_cast<double>(count_),
                                      std::fabs(mean_measured_))) {
        return kNan;
    }
    return 1.0 - squared_errors_ / squares_measured_;
}

double largest_absolute(std::span<const double> values) {
    double largest = 0.0;
    for (const double value : values) {
        largest = std::max(largest, std::fabs(value));
    }
    return largest;
}

double pearson_with_scale(std::span<const double> x, std::span<const double> y, double x_scale,
                          double y_scale) {
    FLAGEN_CHECK_EQ(x.size(), y.size(), "pairs");
    if (x.size() < 2) {
        return kNan;
    }
    const double mean_x = mean_of(x);
    const double mean_y = mean_of(y);
    double squares_x = 0.0;
    double squares_y = 0.0;
    double products = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        squares_x += (x[i] - mean_x) * (x[i] - mean_x);
        squares_y += (y[i] - mean_y) * (y[i] - mean_y);
        products += (x[i] - mean_x) * (y[i] - mean_y);
    }
    const auto n = static_cast<double>(x.size());
    if (sum_is_constant(squares_x, n, x_scale) || sum_is_constant(squares_y, n, y_scale)) {
        return kNan;
    }
    return bounded_ratio(products, squares_x, squares_y);
}

double pearson(std::span<const double> x, std::span<const double> y) {
    return pearson_with_scale(x, y, largest_absolute(x), largest_absolute(y));
}

std::vector<double> average_ranks(std::span<const double> values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t left, std::size_t right) { return values[left] < values[right]; });
    std::vector<double> ranks(values.size());
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin + 1;
        while (end < order.size() && values[order[end]] == values[order[begin]]) {
            ++end;
        }
        const double shared = (static_cast<double>(begin + 1) + static_cast<double>(end)) / 2.0;
        for (; begin < end; ++begin) {
            ranks[order[begin]] = shared;
        }
    }
    return ranks;
}

double spearman(std::span<const double> x, std::span<const double> y) {
    return pearson(average_ranks(x), average_ranks(y));
}

double r2(std::span<const double> predicted, std::span<const double> measured) {
    FLAGEN_CHECK_EQ(predicted.size(), measured.size(), "pairs");
    if (measured.size() < 2) {
        return kNan;
    }
    const double mean = mean_of(measured);
    double errors = 0.0;
    double squares = 0.0;
    for (std::size_t i = 0; i < measured.size(); ++i) {
        errors += (measured[i] - predicted[i]) * (measured[i] - predicted[i]);
        squares += (measured[i] - mean) * (measured[i] - mean);
    }
    if (sum_is_constant(squares, static_cast<double>(measured.size()),
                        largest_absolute(measured))) {
        return kNan;
    }
    return 1.0 - errors / squares;
}

}  // namespace flagen::models
