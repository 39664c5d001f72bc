// The runs of the kernels of layer_kernels.cuh on a side (layer_runs.h).
#pragma once

#include <cmath>
#include <vector>

#include "libfla/emulator/layer_kernels.cuh"
#include "libfla/emulator/layer_runs.h"

namespace fla::device::testing {

/// Values at the borders of the narrow types, among others.
inline std::vector<float> number_inputs() {
    std::vector<float> x = {0.0f,      -0.0f,     1.0f,        -1.0f,       65504.0f,   65519.0f,
                            65520.0f,  -7e4f,     0x1p-14f,    0x1p-24f,    0x1p-25f,   0x1.8p-24f,
                            0x1p-26f,  0x1p-130f, -0x1p-133f,  3.3e38f,     -3.3e38f,   INFINITY,
                            -INFINITY, NAN,       1.00390625f, 1.01171875f, 1.0004883f, 1.0014648f};
    while (x.size() < 512) {
        const auto i = static_cast<int>(x.size());
        x.push_back(std::ldexp(float(i * 2654435761u >> 8) * 0x1p-24f, i % 48 - 30) *
                    (i % 3 == 0 ? -1.0f : 1.0f));
    }
    return x;
}

template <class Side>
void run_layer(Side& side, Runs& runs) {
    const auto write = [&](auto kernel, const RunShape& shape, const auto& out, auto... arguments) {
        auto* const to = side.upload(out);
        side.launch(kernel, shape, arguments..., to);
        return to_words(side.download(to, out.size()));
    };
    const auto run = [&](const char* name, auto kernel, const RunShape& shape, const auto& out) {
        runs.add(name, [&] { return write(kernel, shape, out); });
    };
    const std::vector<float> product(16 * 8);
    run("mma_bf16", mma_kernel<Bf16>, RunShape{}, product);
    run("mma_half", mma_kernel<Half>, RunShape{}, product);
    run("mma_tf32", mma_tf32_kernel, RunShape{}, product);
    run("ldmatrix_x1", ldmatrix_kernel<1>, RunShape{}, std::vector<std::uint32_t>(64));
    run("ldmatrix_x2", ldmatrix_kernel<2>, RunShape{}, std::vector<std::uint32_t>(128));
    run("ldmatrix_x4", ldmatrix_kernel<4>, RunShape{}, std::vector<std::uint32_t>(256));
    run("shuffle", shuffle_kernel, RunShape{}, std::vector<int>(32 * 8));
    run("vector", vector_kernel, RunShape{.block_x = 16}, std::vector<std::uint16_t>(128));
    run("producer", producer_kernel, RunShape{.block_x = 64}, std::vector<int>(128));
    run("grid", grid_kernel, RunShape{.block_x = 24, .block_y = 2, .grid_x = 3, .grid_y = 2},
        std::vector<int>(6 * 48));

    const RunShape wide{.block_x = 64, .grid_x = 8};
    runs.add("number", [&] {
        return write(number_kernel, wide, std::vector<std::uint32_t>(512 * kNumberWords),
                     side.upload(number_inputs()));
    });

    std::vector<float> exponents(512), integers(512);
    for (std::size_t i = 0; i < 512; ++i) {
        exponents[i] = -150.0f + 0.37f * float(i);
        integers[i] = float(i * i % 1009);
    }
    constexpr double kExp2Relative = 1e-6;
    runs.add(
        "exp2",
        [&] { return write(exp2_kernel, wide, std::vector<float>(512), side.upload(exponents)); },
        kExp2Relative);
    runs.add("copy", [&] {
        return write(copy_kernel<false>, RunShape{}, std::vector<float>(320),
                     side.upload(integers));
    });
    runs.add("ring", [&] {
        const float* const from = side.upload(integers);
        auto* const sums = side.upload(std::vector<float>(kRingThreads));
        side.launch(ring_kernel<RingFault::kNone>, RunShape{.block_x = kRingThreads}, from, sums,
                    512 / kRingThreads);
        return to_words(side.download(sums, kRingThreads));
    });
}

}  // namespace fla::device::testing
