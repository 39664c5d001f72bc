// The runs of the kernels of hopper_kernels.cuh and hopper_av.cuh on a side (layer_runs.h).
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "libfla/emulator/hopper_av.cuh"
#include "libfla/emulator/hopper_kernels.cuh"
#include "libfla/emulator/layer_runs.h"

namespace fla::device::testing {

inline constexpr std::size_t kHopperSharedBytes = 64 << 10;

template <class Side, class T, int kN, Major kMajorA, Major kMajorB, bool kARegisters>
void run_wgmma(Side& side, const std::string& name, Runs& runs) {
    constexpr int kCount = 64 * kN;
    const RunShape shape{.block_x = kWarpGroupSize, .shared_bytes = kHopperSharedBytes};
    for (const bool accumulate : {false, true}) {
        runs.add(name + " n" + std::to_string(kN) + (accumulate ? " added" : ""), [&] {
            auto* const out = side.upload(std::vector<float>(kCount));
            side.launch(wgmma_kernel<T, kN, kMajorA, kMajorB, kARegisters>, shape, out, accumulate);
            return to_words(side.download(out, kCount));
        });
    }
}

template <class Side, class T, int kN>
void run_wgmma_forms(Side& side, const std::string& type, Runs& runs) {
    run_wgmma<Side, T, kN, Major::kK, Major::kK, false>(side, type + " a k, b k", runs);
    run_wgmma<Side, T, kN, Major::kMn, Major::kK, false>(side, type + " a m, b k", runs);
    run_wgmma<Side, T, kN, Major::kK, Major::kK, true>(side, type + " a in registers, b k", runs);
    if constexpr (kN >= 64) {
        run_wgmma<Side, T, kN, Major::kK, Major::kMn, false>(side, type + " a k, b n", runs);
        run_wgmma<Side, T, kN, Major::kMn, Major::kMn, false>(side, type + " a m, b n", runs);
        run_wgmma<Side, T, kN, Major::kK, Major::kMn, true>(side, type + " a in registers, b n",
                                                            runs);
    }
}

// Small integers as float or, by the high half of a float, as the bits of a Bf16.
template <class T>
auto integers(std::size_t count, int modulus) {
    std::vector<std::conditional_t<sizeof(T) == 2, std::uint16_t, float>> x(count);
    for (std::size_t i = 0; i < count; ++i) {
        const auto value = float(int(i) * 7 % modulus - modulus / 2);
        if constexpr (sizeof(T) == 2) {
            std::uint32_t bits;
            std::memcpy(&bits, &value, sizeof bits);
            x[i] = std::uint16_t(bits >> 16);
        } else {
            x[i] = value;
        }
    }
    return x;
}

template <class Tile, int kRank, class Side>
void run_copy(Side& side, const std::string& name, const TensorShape& shape, const BoxCopy& at,
              Runs& runs) {
    using T = typename Tile::Element;
    runs.add(name, [&] {
        std::size_t count = 1;
        for (int i = 0; i < shape.rank; ++i) {
            count *= std::size_t(shape.size[i]);
        }
        auto values = integers<T>(count, 251);
        auto* const from = side.upload(values);
        std::fill(values.begin(), values.end(), values[1]);
        auto* const to = side.upload(values);
        side.launch(copy_box_kernel<Tile, kRank>,
                    RunShape{.block_x = 32, .shared_bytes = kHopperSharedBytes},
                    make_tensor_map(reinterpret_cast<T*>(from), shape, Tile::kSwizzle),
                    make_tensor_map(reinterpret_cast<T*>(to), shape, Tile::kSwizzle), at);
        return to_words(side.download(to, count));
    });
}

// The numbers are so small that their sums are exact in any order.
template <class Side>
std::vector<std::uint32_t> run_av(Side& side, int rows, int inner, int cols) {
    const auto upload = [&](int r, int c) {
        return side.upload(integers<Bf16>(std::size_t(r) * std::size_t(c), 13));
    };
    const auto map = [](auto* base, int r, int c) {
        return make_tensor_map(reinterpret_cast<Bf16*>(base), {2, {c, r}, {1, c}, {64, 64}},
                               Swizzle::k128B);
    };
    auto* const a = upload(rows, inner);
    auto* const v = upload(inner, cols);
    auto* const o = upload(rows, cols);
    const AvParams p{map(a, rows, inner), map(v, inner, cols), map(o, rows, cols),
                     (inner + 63) / 64};
    const RunShape shape{.block_x = kAvThreads,
                         .grid_x = unsigned(rows + 63) / 64,
                         .grid_y = unsigned(cols + 63) / 64,
                         .shared_bytes = sizeof(AvShared)};
    side.launch(av_kernel<AvFault::kNone>, shape, p);
    return to_words(side.download(o, std::size_t(rows) * std::size_t(cols)));
}

template <class Side>
void run_hopper(Side& side, Runs& runs) {
    run_wgmma_forms<Side, Bf16, 16>(side, "bf16", runs);
    run_wgmma_forms<Side, Bf16, 32>(side, "bf16", runs);
    run_wgmma_forms<Side, Bf16, 64>(side, "bf16", runs);
    run_wgmma_forms<Side, Bf16, 128>(side, "bf16", runs);
    run_wgmma_forms<Side, Half, 64>(side, "half", runs);
    runs.add("wgmma window", [&] {
        constexpr std::size_t kCount = 2 * 64 * 64;
        auto* const out = side.upload(std::vector<float>(kCount));
        side.launch(wgmma_window_kernel,
                    RunShape{.block_x = kWarpGroupSize, .shared_bytes = kHopperSharedBytes}, out);
        return to_words(side.download(out, kCount));
    });

    using B128 = TmaTile<Bf16, 32, 128>;
    using B64 = TmaTile<Bf16, 16, 64>;
    using F32 = TmaTile<float, 16, 24, Swizzle::kNone>;
    const TensorShape plane{2, {136, 70}, {1, 136}, {64, 32}};
    run_copy<B128, 2>(side, "copy 2d", plane, {{16, 10}, {8, 38}}, runs);
    run_copy<B128, 2>(side, "copy 2d at the end", plane, {{16, 50}, {16, 50}}, runs);
    run_copy<B128, 2>(side, "copy 2d at the begin", plane, {{-8, -5}, {0, 3}}, runs);
    run_copy<F32, 3>(side, "copy 3d", {3, {40, 3, 30}, {1, 40, 120}, {24, 1, 16}},
                     {{20, 2, 20}, {20, 2, 20}}, runs);
    run_copy<B64, 4>(side, "copy 4d", {4, {64, 3, 21, 2}, {1, 64, 192, 4032}, {64, 1, 16, 1}},
                     {{0, 1, 10, 1}, {0, 2, 10, 0}}, runs);

    runs.add("small", [&] {
        auto* const counts = side.upload(std::vector<int>(8));
        side.launch(small_kernel, RunShape{.block_x = 2 * kWarpGroupSize}, counts);
        return to_words(side.download(counts, 8));
    });
    for (const int inner : {8, 64, 200, 456}) {
        runs.add("av inner " + std::to_string(inner), [&] { return run_av(side, 100, inner, 72); });
    }
}

}  // namespace fla::device::testing
