#pragma once

// What tests of the gated kernels share, on the CTA emulator and on a GPU: problems in bf16, fp16
// and fp32, guarded memory that starts as NaN, the fp64 recurrence on the same rounded values,
// limits.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fla/gated_attn.h"
#include "libfla/gated_problem.h"
#include "support/tensor_matchers.h"

namespace fla::testing {

inline std::uint16_t bf16_bits(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

inline float from_bf16_bits(std::uint16_t bits) {
    return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

/// `x` rounded to the type and back.
inline float rounded(float x, DType dtype) {
    switch (dtype) {
        case DType::kBFloat16:
            return from_bf16_bits(bf16_bits(x));
        case DType::kFloat16:
            return static_cast<float>(static_cast<_Float16>(x));
        default:
            return x;
    }
}

inline void round_tensor(Tensor<float>& t, DType dtype) {
    for (float& x : t.storage) {
        x = rounded(x, dtype);
    }
}

/// Memory of a kernel: `Device` is where it lives. Holds 0xFF bytes (NaN in every type) between two
/// bands of 0x5A that nobody may write.
template <class Device>
class KernelMemory {
  public:
    static constexpr std::size_t kBand = 512;

    explicit KernelMemory(std::size_t bytes)
        : bytes_(bytes), memory_(Device::allocate(bytes + 2 * kBand), Device::release) {
        std::vector<unsigned char> fill(bytes + 2 * kBand, 0x5A);
        std::memset(fill.data() + kBand, 0xFF, bytes);
        Device::copy_in(memory_.get(), fill.data(), fill.size());
    }

    [[nodiscard]] void* data() const { return static_cast<unsigned char*>(memory_.get()) + kBand; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

    [[nodiscard]] std::vector<unsigned char> read() const {
        std::vector<unsigned char> all(bytes_ + 2 * kBand);
        Device::copy_out(all.data(), memory_.get(), all.size());
        for (std::size_t i = 0; i < kBand; ++i) {
            if (all[i] != 0x5A || all[kBand + bytes_ + i] != 0x5A) {
                ADD_FAILURE() << "memory beside a tensor of " << bytes_ << " bytes was written";
                break;
            }
        }
        return {all.begin() + kBand, all.end() - static_cast<std::ptrdiff_t>(kBand)};
    }

  private:
    std::size_t bytes_;
    std::shared_ptr<void> memory_;
};

/// A tensor in kernel memory with the sizes and strides of a host tensor.
template <class Device>
class KernelTensor {
  public:
    KernelTensor(const Tensor<float>& host, DType dtype, bool is_output)
        : host_(host),
          dtype_(dtype),
          memory_(host.storage.size() * static_cast<std::size_t>(size_in_bytes(dtype))) {
        if (is_output || !host.present()) {
            return;
        }
        std::vector<unsigned char> bytes(memory_.bytes());
        for (std::size_t i = 0; i < host.storage.size(); ++i) {
            const float x = host.storage[i];
            if (dtype == DType::kFloat32) {
                std::memcpy(&bytes[4 * i], &x, 4);
            } else {
                const std::uint16_t bits =
                    dtype == DType::kBFloat16
                        ? bf16_bits(x)
                        : std::bit_cast<std::uint16_t>(static_cast<_Float16>(x));
                std::memcpy(&bytes[2 * i], &bits, 2);
            }
        }
        Device::copy_in(memory_.data(), bytes.data(), bytes.size());
    }

    [[nodiscard]] TensorRef ref() const {
        TensorRef ref;
        if (host_.present()) {
            ref.data = memory_.data();
            ref.dtype = dtype_;
            ref.ndim = static_cast<int>(host_.sizes.size());
            std::copy(host_.sizes.begin(), host_.sizes.end(), ref.sizes.begin());
            std::copy(host_.strides.begin(), host_.strides.end(), ref.strides.begin());
        }
        return ref;
    }

    /// The values as they stand in memory now.
    [[nodiscard]] Tensor<float> read() const {
        Tensor<float> t = host_;
        const std::vector<unsigned char> bytes = memory_.read();
        for (std::size_t i = 0; i < t.storage.size(); ++i) {
            if (dtype_ == DType::kFloat32) {
                std::memcpy(&t.storage[i], &bytes[4 * i], 4);
                continue;
            }
            std::uint16_t bits = 0;
            std::memcpy(&bits, &bytes[2 * i], 2);
            t.storage[i] = dtype_ == DType::kBFloat16
                               ? from_bf16_bits(bits)
                               : static_cast<float>(std::bit_cast<_Float16>(bits));
        }
        return t;
    }

  private:
    Tensor<float> host_;
    DType dtype_;
    KernelMemory<Device> memory_;
};

/// Types of one problem.
struct KernelTypes {
    DType activation = DType::kBFloat16;
    DType gate = DType::kFloat32;
};

/// Draws a problem and rounds it to the types, so that every implementation reads the same values.
inline GatedInputs<float> rounded_inputs(const GatedSetup& setup, const KernelTypes& types) {
    GatedInputs<float> in = make_inputs<float>(setup);
    for (Tensor<float>* t : {&in.q, &in.k, &in.v, &in.grad_o}) {
        round_tensor(*t, types.activation);
    }
    round_tensor(in.log_decay, types.gate);
    return in;
}

/// Runs both passes on `Device`, which also has forward(params) and backward(params).
template <class Device>
GatedOutputs<float> run_kernels(const GatedInputs<float>& in, const KernelTypes& types,
                                Layout layout = Layout::kContiguous) {
    using DeviceTensor = KernelTensor<Device>;
    const DType x = types.activation, f = DType::kFloat32;
    const DeviceTensor q(in.q, x, false), k(in.k, x, false), v(in.v, x, false);
    const DeviceTensor gate(in.log_decay, types.gate, false);
    const DeviceTensor state(in.initial_state, f, false), grad_o(in.grad_o, x, false);
    const DeviceTensor grad_state(in.grad_final_state, f, false);
    GatedOutputs<float> out = make_outputs(in, layout);
    const DeviceTensor o(out.o, x, true), final_state(out.final_state, f, true);
    const DeviceTensor grad_q(out.grad_q, x, true), grad_k(out.grad_k, x, true);
    const DeviceTensor grad_v(out.grad_v, x, true), grad_gate(out.grad_log_decay, types.gate, true);
    const DeviceTensor grad_initial(out.grad_initial_state, f, true);

    GatedForward forward;
    forward.q = as_const(q.ref());
    forward.k = as_const(k.ref());
    forward.v = as_const(v.ref());
    forward.log_decay = as_const(gate.ref());
    forward.initial_state = as_const(state.ref());
    forward.o = o.ref();
    forward.final_state = final_state.ref();
    forward.decay = in.decay;
    forward.direction = in.direction;
    forward.scale = in.scale;
    Device::forward(forward);

    GatedBackward backward;
    backward.q = forward.q;
    backward.k = forward.k;
    backward.v = forward.v;
    backward.log_decay = forward.log_decay;
    backward.initial_state = forward.initial_state;
    backward.grad_o = as_const(grad_o.ref());
    backward.grad_final_state = as_const(grad_state.ref());
    backward.grad_q = grad_q.ref();
    backward.grad_k = grad_k.ref();
    backward.grad_v = grad_v.ref();
    backward.grad_log_decay = grad_gate.ref();
    backward.grad_initial_state = grad_initial.ref();
    backward.decay = in.decay;
    backward.direction = in.direction;
    backward.scale = in.scale;
    Device::backward(backward);

    out.o = o.read();
    out.final_state = final_state.read();
    out.grad_q = grad_q.read();
    out.grad_k = grad_k.read();
    out.grad_v = grad_v.read();
    if (out.grad_log_decay.present()) {
        out.grad_log_decay = grad_gate.read();
    }
    out.grad_initial_state = grad_initial.read();
    return out;
}

/// Largest RMS ratios to the fp64 recurrence.
struct KernelLimits {
    double output, gradient, decay;
    /// Largest error of the gradient of the log-decays over the terms k dk that cancel in it.
    /// Decides where decays are so strong that the gradient itself is smaller.
    double decay_floor;
};

inline KernelLimits limits_of(const KernelTypes& types) {
    return types.activation == DType::kFloat32 ? KernelLimits{1e-5, 1e-5, 1e-4, 0x1p-22}
                                               : KernelLimits{0.005, 0.008, 0.02, 0x1p-16};
}

inline double root_mean_square(const std::vector<double>& x) {
    double sum = 0.0;
    for (const double value : x) {
        sum += value * value;
    }
    return std::sqrt(sum / static_cast<double>(std::max<std::size_t>(x.size(), 1)));
}

/// Largest |k dk|, per channel or summed over the channels of a head.
inline double decay_term_scale(const GatedInputs<float>& in, const GatedOutputs<double>& wanted) {
    const auto width = static_cast<std::size_t>(in.k.sizes[3]);
    const std::vector<float> k = in.k.values();
    const std::vector<double> grad_k = wanted.grad_k.values();
    std::vector<double> terms(in.decay == Decay::kHead ? k.size() / width : k.size());
    for (std::size_t i = 0; i < k.size(); ++i) {
        terms[in.decay == Decay::kHead ? i / width : i] +=
            std::abs(static_cast<double>(k[i]) * grad_k[i]);
    }
    return *std::max_element(terms.begin(), terms.end());
}

inline void expect_near(const GatedInputs<float>& in, const GatedOutputs<float>& found,
                        const GatedOutputs<double>& wanted, const KernelLimits& limits) {
    using flagen::testing::RmsNear;
    EXPECT_THAT(found.o.values(), RmsNear(wanted.o.values(), limits.output)) << "o";
    EXPECT_THAT(found.final_state.values(), RmsNear(wanted.final_state.values(), limits.output))
        << "S_T";
    EXPECT_THAT(found.grad_q.values(), RmsNear(wanted.grad_q.values(), limits.gradient)) << "dq";
    EXPECT_THAT(found.grad_k.values(), RmsNear(wanted.grad_k.values(), limits.gradient)) << "dk";
    EXPECT_THAT(found.grad_v.values(), RmsNear(wanted.grad_v.values(), limits.gradient)) << "dv";
    EXPECT_THAT(found.grad_initial_state.values(),
                RmsNear(wanted.grad_initial_state.values(), limits.gradient))
        << "dS_0";
    if (in.decay == Decay::kNone) {
        return;
    }
    const std::vector<double> grad_gate = wanted.grad_log_decay.values();
    const double floor = limits.decay_floor * decay_term_scale(in, wanted);
    const double norm = root_mean_square(grad_gate);
    EXPECT_THAT(found.grad_log_decay.values(),
                RmsNear(grad_gate, norm > 0.0 ? limits.decay + floor / norm : floor))
        << "dg";
}

}  // namespace fla::testing
