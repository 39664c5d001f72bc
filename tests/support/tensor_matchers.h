#pragma once

#include <gmock/gmock.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <ostream>
#include <vector>

namespace flagen::testing {

/// Root mean square of `found - wanted` over that of `wanted`. NaN where an element of `found` is
/// not finite or the lengths differ; against an all-zero `wanted`, the root mean square of `found`
/// itself. Differences below 1e-36 are none: fp32 code may flush denormal factors to 0.
template <typename Found, typename Wanted>
double rms_ratio(const std::vector<Found>& found, const std::vector<Wanted>& wanted) {
    if (found.size() != wanted.size()) {
        return std::nan("");
    }
    constexpr double kSmallest = 1e-36;
    double error = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double x = static_cast<double>(found[i]);
        const double y = static_cast<double>(wanted[i]);
        if (!std::isfinite(x)) {
            return std::nan("");
        }
        error += std::abs(x - y) < kSmallest ? 0.0 : (x - y) * (x - y);
        norm += y * y;
    }
    if (norm == 0.0) {
        return found.empty() ? 0.0 : std::sqrt(error / static_cast<double>(found.size()));
    }
    return std::sqrt(error / norm);
}

/// Matches a vector whose rms_ratio() to `wanted` is at most `limit`; NaN never matches.
MATCHER_P2(RmsNear, wanted, limit, "") {
    const double ratio = rms_ratio(arg, wanted);
    *result_listener << "RMS ratio " << ratio << ", limit " << limit;
    return ratio <= limit;
}

/// Matches a vector with the same bits.
MATCHER_P(SameBits, wanted, "") {
    if (arg.size() != wanted.size()) {
        *result_listener << "lengths " << arg.size() << " and " << wanted.size();
        return false;
    }
    for (std::size_t i = 0; i < arg.size(); ++i) {
        if (std::memcmp(&arg[i], &wanted[i], sizeof(arg[i])) != 0) {
            *result_listener << "element " << i << ": " << arg[i] << " and " << wanted[i];
            return false;
        }
    }
    return true;
}

}  // namespace flagen::testing
