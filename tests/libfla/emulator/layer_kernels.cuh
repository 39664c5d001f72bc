// Kernels that together call every function of the device layer. layer_test.cpp checks what they
// write on the emulator, layer_gpu_test.cpp that a GPU writes the same.
#pragma once

#include "device/device_layer.h"

namespace fla::device::testing {

FLA_DEVICE float element(int row, int col) { return float((row * 7 + col * 3) % 13 - 6) / 4; }

// Element i of a fragment as the PTX ISA numbers them.
template <class T>
FLA_KERNEL void mma_kernel(float* d) {
    const int g = lane_id() / 4, t = lane_id() % 4;
    std::uint32_t a[4], b[2];
    for (int i = 0; i < 8; i += 2) {
        const int row = i < 2 || (4 <= i && i < 6) ? g : g + 8, col = 2 * t + (i < 4 ? 0 : 8);
        a[i / 2] = pack2<T>(element(row, col), element(row, col + 1));
    }
    for (int i = 0; i < 4; i += 2) {
        const int row = 2 * t + (i < 2 ? 0 : 8);
        b[i / 2] = pack2<T>(element(row + 50, g), element(row + 51, g));
    }
    float acc[4] = {1, 1, 1, 1};
    mma_m16n8k16<T>(acc, a, b[0], b[1]);
    for (int i = 0; i < 4; ++i) {
        d[(i < 2 ? g : g + 8) * 8 + 2 * t + i % 2] = acc[i];
    }
}

FLA_KERNEL void mma_tf32_kernel(float* d) {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const std::uint32_t a[4] = {to_tf32(element(g, t)), to_tf32(element(g + 8, t)),
                                to_tf32(element(g, t + 4)), to_tf32(element(g + 8, t + 4))};
    float acc[4] = {1, 1, 1, 1};
    mma_m16n8k8_tf32(acc, a, to_tf32(element(t + 50, g)), to_tf32(element(t + 54, g)));
    for (int i = 0; i < 4; ++i) {
        d[(i < 2 ? g : g + 8) * 8 + 2 * t + i % 2] = acc[i];
    }
}

// Matrix m holds 100 m + 10 row + col.
template <int kCount>
FLA_KERNEL void ldmatrix_kernel(std::uint32_t* out) {
    struct Shared {
        alignas(16) std::uint16_t tiles[4][8][8];
    };
    auto& tiles = dynamic_shared<Shared>().tiles;
    for (int i = lane_id(); i < 256; i += 32) {
        store(&tiles[i / 64][i / 8 % 8][i % 8],
              std::uint16_t(i / 64 * 100 + i / 8 % 8 * 10 + i % 8));
    }
    sync_warp();
    std::uint32_t r[kCount], s[kCount];
    ldmatrix(r, tiles[lane_id() / 8 % kCount][lane_id() % 8]);
    ldmatrix_trans(s, tiles[lane_id() / 8 % kCount][lane_id() % 8]);
    for (int m = 0; m < kCount; ++m) {
        out[lane_id() * 2 * kCount + m] = r[m];
        out[lane_id() * 2 * kCount + kCount + m] = s[m];
    }
}

FLA_KERNEL void shuffle_kernel(int* out) {
    const int lane = lane_id();
    out[lane * 8 + 0] = shfl(lane, 5);
    out[lane * 8 + 1] = shfl(lane, lane + 3, 8);
    out[lane * 8 + 2] = shfl_up(lane, 2, 16);
    out[lane * 8 + 3] = shfl_down(lane, 3);
    out[lane * 8 + 4] = shfl_xor(lane, 9);
    out[lane * 8 + 5] = int(ballot(lane % 3 == 0));
    out[lane * 8 + 6] =
        int(any(lane == 31)) + 2 * all(lane < 31) + 4 * all(lane < 32) + 8 * any(false);
    if (lane < 16) {
        out[lane * 8 + 7] = shfl_xor(lane, 1, 32, 0xFFFFu);
    } else {
        out[lane * 8 + 7] = shfl_xor(lane, 2, 32, 0xFFFF0000u);
    }
}

// Conversions of in[i] and its neighbour in[i ^ 1] to kNumberWords words. NaNs are only converted
// to the narrow types, where both sides must make the same one of them.
inline constexpr int kNumberWords = 8;
FLA_KERNEL void number_kernel(const float* in, std::uint32_t* out) {
    const int i = int(block_index().x) * block_dim().x + thread_index().x;
    const float x = load(in + i), y = load(in + (i ^ 1));
    std::uint32_t words[kNumberWords] = {pack2<Bf16>(x, y), pack2<Half>(x, y)};
    const bool numbers = x == x && y == y;
    if (numbers) {
        words[2] = to_tf32(x);
        words[3] = max2<Bf16>(pack2<Bf16>(x, y), pack2<Bf16>(y, 0.5f));
        words[4] = max2<Half>(pack2<Half>(x, y), pack2<Half>(y, 0.5f));
        const Vec<float, 2> bf16 = unpack2<Bf16>(words[0]), half = unpack2<Half>(words[1]);
        const bool same = bf16[0] == to_float(from_float<Bf16>(x)) &&
                          bf16[1] == to_float(from_float<Bf16>(y)) &&
                          half[0] == to_float(from_float<Half>(x)) &&
                          half[1] == to_float(from_float<Half>(y)) && to_float(x) == x;
        words[5] = same;
        words[6] = pack2<Bf16>(half[0], half[1]);
        words[7] = pack2<Half>(bf16[0], bf16[1]);
    }
    for (int w = 0; w < kNumberWords; w += 4) {
        store_vec(out + i * kNumberWords + w,
                  Vec<std::uint32_t, 4>{words[w], words[w + 1], words[w + 2], words[w + 3]});
    }
}

FLA_KERNEL void exp2_kernel(const float* in, float* out) {
    const int i = int(block_index().x) * block_dim().x + thread_index().x;
    store(out + i, exp2_approx(load(in + i)));
}

// Mirrors 8 rows of a padded tile in pieces of 2, 4, 8 and 16 bytes; 16 threads, two for a row.
FLA_KERNEL void vector_kernel(std::uint16_t* out) {
    auto& tile = dynamic_shared<SharedTile<std::uint16_t, 8, 40>>();
    const int row = thread_index().x / 2, half = thread_index().x % 2;
    const auto value = [&](int col) { return std::uint16_t(row * 100 + col); };
    if (half == 0) {
        Vec<std::uint16_t, 8> v;
        for (int i = 0; i < 8; ++i) {
            v[i] = value(i);
        }
        store_vec(tile.at(row, 0), v);
        store_vec(tile.at(row, 8), Vec<std::uint16_t, 4>{value(8), value(9), value(10), value(11)});
    } else {
        store_vec(tile.at(row, 12), Vec<std::uint16_t, 2>{value(12), value(13)});
        store(tile.at(row, 14), value(14));
        store(tile.at(row, 15), value(15));
    }
    sync_threads();
    const auto v = load_vec<8>(tile.at(7 - row, 8 * half));
    store_vec(out + row * 16 + 8 * half, v);
}

// Warp 0 fills a slot, warp 1 reads it; named barriers pass it to and fro.
FLA_KERNEL void producer_kernel(int* out) {
    FLA_STATIC_SHARED(slot, int[32]);
    constexpr int kFull = 1, kEmpty = 2;
    for (int i = 0; i < 4; ++i) {
        if (warp_id() == 0) {
            if (i > 0) {
                barrier_sync(kEmpty, 64);
            }
            store(&slot[lane_id()], 100 * i + lane_id());
            barrier_arrive(kFull, 64);
        } else {
            barrier_sync(kFull, 64);
            out[32 * i + lane_id()] = load(&slot[31 - lane_id()]);
            if (i < 3) {
                barrier_arrive(kEmpty, 64);
            }
        }
    }
}

// Copies 256 floats, of the second 128 only the first half of each 16 bytes and zeros, then 64 more
// in pieces of 4 and 8 bytes. out[320] and on tell what is there before the wait.
template <bool kLookEarly>
FLA_KERNEL void copy_kernel(const float* in, float* out) {
    struct Shared {
        alignas(16) float x[320];
    };
    float* const shared = dynamic_shared<Shared>().x;
    const int i = 4 * thread_index().x;
    cp_async(shared + i, in + i);
    cp_async_commit();
    cp_async(shared + 128 + i, in + 128 + i, 8);
    if (thread_index().x < 16) {
        cp_async<4>(shared + 256 + i, in + 256 + i);
        cp_async<4>(shared + 256 + i + 1, in + 256 + i + 1, 0);
        cp_async<8>(shared + 256 + i + 2, in + 256 + i + 2);
    }
    cp_async_commit();
    cp_async_wait<1>();
    store_vec(out + i, load_vec<4>(shared + i));
    if constexpr (kLookEarly) {
        out[320 + i / 4] = shared[128 + i];
    }
    cp_async_wait<0>();
    store_vec(out + 128 + i, load_vec<4>(shared + 128 + i));
    if (thread_index().x < 16) {
        store_vec(out + 256 + i, load_vec<4>(shared + 256 + i));
    }
}

// Each block counts its threads; two dimensions of blocks and threads.
FLA_KERNEL void grid_kernel(int* out) {
    FLA_STATIC_SHARED(ones, int[64]);
    FLA_STATIC_SHARED(sum, int);
    const Index3 b = block_index(), t = thread_index(), n = block_dim();
    const int thread = t.y * n.x + t.x;
    store(&ones[thread], 1);
    sync_threads();
    if (thread == 0) {
        int count = 0;
        for (int i = 0; i < n.x * n.y * n.z; ++i) {
            count += load(&ones[i]);
        }
        store(&sum, count);
    }
    sync_threads();
    const int block = b.y * grid_dim().x + b.x;
    out[block * n.x * n.y + thread] = load(&sum) * 1000 + block;
}

// Bugs that the tests plant to see that the emulator finds them.
enum class RingFault { kNone, kMissingWait, kMissingBarrier, kMissingEndBarrier };

// out[i] = the sum of in[chunk][63 - i] over the chunks, by two warps and a ring of two stages: the
// copy of a chunk is in flight while the one before it is added.
inline constexpr int kRingThreads = 64;
template <RingFault kFault>
FLA_KERNEL void FLA_LAUNCH_BOUNDS2(kRingThreads, 2)
    ring_kernel(const float* in, float* out, int chunks) {
    struct Shared {
        float stages[2][kRingThreads];
    };
    Shared& shared = dynamic_shared<Shared>();
    const int thread = thread_index().x;
    const auto prefetch = [&](int chunk) {
        if (chunk < chunks) {
            cp_async<4>(&shared.stages[chunk % 2][thread], in + chunk * kRingThreads + thread);
        }
        cp_async_commit();
    };
    float sum = 0;
    prefetch(0);
    for (int chunk = 0; chunk < chunks; ++chunk) {
        prefetch(chunk + 1);
        if constexpr (kFault != RingFault::kMissingWait) {
            cp_async_wait<1>();
        }
        if constexpr (kFault != RingFault::kMissingBarrier) {
            sync_threads();
        }
        sum += load(&shared.stages[chunk % 2][kRingThreads - 1 - thread]);
        if constexpr (kFault != RingFault::kMissingEndBarrier) {
            sync_threads();
        }
    }
    store(out + thread, sum);
}

}  // namespace fla::device::testing
