#pragma once

// Inputs shared by the operator tests: lengths, gates, random tensors, strided views.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "fla/tensor_ref.h"

namespace fla::testing {

/// Lengths around the chunk sizes, and two long ones.
inline constexpr std::int64_t kLengths[] = {1, 2, 15, 16, 17, 63, 64, 65, 127, 1000, 4097};

/// A named way to draw log-decays.
struct GateCase {
    std::string name;
    std::function<double(std::mt19937_64&, std::int64_t token)> draw;
};

inline double uniform(std::mt19937_64& rng, double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(rng);
}

/// Gates from fully open to fully closed. "mixed" draws magnitudes over eight decades, "resets"
/// puts -inf on a tenth of the tokens among weak gates, "constant" is retention's exact repetition.
inline std::vector<GateCase> gate_cases() {
    const double inf = std::numeric_limits<double>::infinity();
    std::vector<GateCase> cases;
    for (const double g : {0.0, -1e-4, -0.05, -1.0, -5.0, -20.0, -80.0}) {
        cases.push_back({"around " + std::to_string(g), [g](std::mt19937_64& rng, std::int64_t) {
                             return g * uniform(rng, 0.5, 1.5);
                         }});
    }
    cases.push_back({"constant -1/32", [](std::mt19937_64&, std::int64_t) { return -1.0 / 32; }});
    cases.push_back({"mixed", [](std::mt19937_64& rng, std::int64_t) {
                         return -std::pow(10.0, uniform(rng, -6.0, 2.0));
                     }});
    cases.push_back({"resets", [inf](std::mt19937_64& rng, std::int64_t) {
                         return uniform(rng, 0.0, 1.0) < 0.1 ? -inf : uniform(rng, -0.1, 0.0);
                     }});
    cases.push_back({"one reset at token 20", [inf](std::mt19937_64& rng, std::int64_t token) {
                         return token == 20 ? -inf : uniform(rng, -0.01, 0.0);
                     }});
    return cases;
}

/// A tensor in memory of its own with any strides (innermost 1), filled with one value around it.
template <typename T>
struct Tensor {
    std::vector<T> storage;
    std::vector<std::int64_t> sizes;
    std::vector<std::int64_t> strides;

    [[nodiscard]] bool present() const { return !sizes.empty(); }

    [[nodiscard]] std::int64_t num_elements() const {
        return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
    }

    /// Position of the i-th element in row-major order.
    [[nodiscard]] std::size_t position(std::int64_t i) const {
        std::int64_t offset = 0;
        for (std::size_t d = sizes.size(); d-- > 0;) {
            offset += i % sizes[d] * strides[d];
            i /= sizes[d];
        }
        return static_cast<std::size_t>(offset);
    }

    T& at(std::int64_t i) { return storage[position(i)]; }
    const T& at(std::int64_t i) const { return storage[position(i)]; }

    /// The elements in row-major order.
    [[nodiscard]] std::vector<T> values() const {
        std::vector<T> out(static_cast<std::size_t>(present() ? num_elements() : 0));
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = at(static_cast<std::int64_t>(i));
        }
        return out;
    }

    [[nodiscard]] TensorRef ref() { return fill<TensorRef>(storage.data()); }
    [[nodiscard]] ConstTensorRef cref() const { return fill<ConstTensorRef>(storage.data()); }

  private:
    template <typename Ref, typename Pointer>
    Ref fill(Pointer data) const {
        Ref ref;
        if (!present()) {
            return ref;
        }
        ref.data = data;
        ref.dtype = sizeof(T) == 8 ? DType::kFloat64 : DType::kFloat32;
        ref.ndim = static_cast<int>(sizes.size());
        std::copy(sizes.begin(), sizes.end(), ref.sizes.begin());
        std::copy(strides.begin(), strides.end(), ref.strides.begin());
        return ref;
    }
};

enum class Layout {
    kContiguous,
    kPadded,      ///< Every row is followed by unused floats, as a slice of a wider tensor.
    kHeadsFirst,  ///< Memory order [B, H, T, D] behind a [B, T, H, D] view.
};

/// Makes a tensor whose memory is all `fill`. kHeadsFirst needs at least three dimensions.
template <typename T>
Tensor<T> make_tensor(std::vector<std::int64_t> sizes, T fill,
                      Layout layout = Layout::kContiguous) {
    Tensor<T> t;
    t.sizes = std::move(sizes);
    const std::size_t n = t.sizes.size();
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (layout == Layout::kHeadsFirst) {
        std::swap(order[1], order[2]);
    }
    t.strides.resize(n);
    std::int64_t stride = 1;
    for (std::size_t d = n; d-- > 0;) {
        t.strides[order[d]] = stride;
        stride *= t.sizes[order[d]] + (layout == Layout::kPadded && d + 1 == n ? 3 : 0);
    }
    t.storage.assign(static_cast<std::size_t>(stride), fill);
    return t;
}

/// Output memory: any element that is not written stays NaN and fails every comparison.
template <typename T>
Tensor<T> make_output(std::vector<std::int64_t> sizes, Layout layout = Layout::kContiguous) {
    return make_tensor<T>(std::move(sizes), std::numeric_limits<T>::quiet_NaN(), layout);
}

/// Standard normal values times `factor`, rounded to fp32 so that every precision reads the same.
template <typename T>
Tensor<T> random_tensor(std::vector<std::int64_t> sizes, std::mt19937_64& rng, double factor = 1.0,
                        Layout layout = Layout::kContiguous) {
    Tensor<T> t = make_tensor<T>(std::move(sizes), std::numeric_limits<T>::quiet_NaN(), layout);
    std::normal_distribution<double> normal;
    for (std::int64_t i = 0; i < t.num_elements(); ++i) {
        t.at(i) = static_cast<T>(static_cast<float>(factor * normal(rng)));
    }
    return t;
}

/// Log-decays [B, T, H] or [B, T, H, K] of one gate case, rounded to fp32.
template <typename T>
Tensor<T> random_gates(std::vector<std::int64_t> sizes, const GateCase& gates, std::mt19937_64& rng,
                       Layout layout = Layout::kContiguous) {
    Tensor<T> t = make_tensor<T>(std::move(sizes), std::numeric_limits<T>::quiet_NaN(), layout);
    std::int64_t inner = 1;
    for (std::size_t d = 2; d < t.sizes.size(); ++d) {
        inner *= t.sizes[d];
    }
    for (std::int64_t i = 0; i < t.num_elements(); ++i) {
        t.at(i) = static_cast<T>(static_cast<float>(gates.draw(rng, i / inner % t.sizes[1])));
    }
    return t;
}

/// The same values in another element type, contiguous.
template <typename To, typename From>
Tensor<To> converted(const Tensor<From>& from) {
    Tensor<To> to;
    if (from.present()) {
        to = make_tensor<To>(from.sizes, To{});
        for (std::int64_t i = 0; i < from.num_elements(); ++i) {
            to.at(i) = static_cast<To>(from.at(i));
        }
    }
    return to;
}

}  // namespace fla::testing
