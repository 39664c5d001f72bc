// The device layer on the host, over the CTA emulator; include device_layer.h.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "emulator.h"

namespace fla::device {
inline namespace FLA_SIDE {

using emu::Access;
using emu::Aligned;
using emu::Cta;
using emu::MemoryOrder;
using emu::Site;

inline Cta& cta() { return *Cta::self().cta; }

inline void check_index(int i, int size) {
    if (i < 0 || i >= size) {
        emu::fail("thread ", Cta::self().id, ": tile index ", i, " is not below ", size);
    }
}

inline void check_multiple(int i, int of) {
    if (i % of) {
        emu::fail("thread ", Cta::self().id, ": tile index ", i, " is not a multiple of ", of);
    }
}

inline Index3 to_index(emu::Dim3 d) { return {int(d.x), int(d.y), int(d.z)}; }
inline Index3 thread_index() { return to_index(Cta::self().index); }
inline Index3 block_index() { return to_index(cta().block_index()); }
inline Index3 block_dim() { return to_index(cta().launch().block); }
inline Index3 grid_dim() { return to_index(cta().launch().grid); }

template <class T>
T& dynamic_shared() {
    static_assert(std::is_trivially_copyable_v<T>);
    return *static_cast<T*>(cta().shared().dynamic(sizeof(T)));
}

template <class T, class Place>
T& static_shared(Place) {  // the type of Place tells the declarations apart
    static_assert(std::is_trivially_copyable_v<T>);
    static const char key = 0;
    return *static_cast<T*>(cta().shared().static_block(&key, sizeof(T)));
}

// Numbers

struct Bf16 {
    std::uint16_t bits;
};
struct Half {
    std::uint16_t bits;
};

template <class T>
float to_float(T x) {
    if constexpr (std::is_same_v<T, float>) {
        return x;
    } else if constexpr (std::is_same_v<T, Bf16>) {
        return std::bit_cast<float>(std::uint32_t{x.bits} << 16);
    } else {
        const std::uint32_t sign = (x.bits & 0x8000u) << 16, rest = x.bits & 0x7FFFu;
        if (rest >= 0x7C00u) {
            return std::bit_cast<float>(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
        }
        // As an fp32 number with the same fields it is too small by the ratio of the exponent
        // biases.
        const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112f;
        return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
    }
}

// Round to nearest even to the upper (32 - kDropped) bits.
template <int kDropped>
std::uint32_t round_bits(std::uint32_t x) {
    return x + ((1u << (kDropped - 1)) - 1) + (x >> kDropped & 1);
}

template <class T>
T from_float(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if constexpr (std::is_same_v<T, float>) {
        return x;
    } else if constexpr (std::is_same_v<T, Bf16>) {
        return Bf16{std::uint16_t(std::isnan(x) ? 0x7FFF : round_bits<16>(bits) >> 16)};
    } else {
        const auto sign = std::uint16_t(bits >> 16 & 0x8000u);
        const std::uint32_t rest = bits & 0x7FFFFFFFu;
        if (std::isnan(x)) {
            return Half{0x7FFF};
        }
        if (rest >= 0x477FF000u) {
            return Half{std::uint16_t(sign | 0x7C00u)};
        }
        if (rest < 0x38800000u) {  // subnormal: a multiple of 2^-24
            return Half{
                std::uint16_t(sign | std::uint16_t(std::nearbyint(std::fabs(x) * 0x1p24f)))};
        }
        return Half{std::uint16_t(sign | (round_bits<13>(rest - 0x38000000u) >> 13))};
    }
}

template <class T>
std::uint32_t pack2(float lo, float hi) {
    return from_float<T>(lo).bits | std::uint32_t{from_float<T>(hi).bits} << 16;
}
template <class T>
Vec<float, 2> unpack2(std::uint32_t x) {
    return {to_float(T{std::uint16_t(x)}), to_float(T{std::uint16_t(x >> 16)})};
}

// The greater of each of two packed pairs; a number beats a NaN, +0 beats -0.
template <class T>
std::uint32_t max2(std::uint32_t a, std::uint32_t b) {
    const auto greater = [](std::uint16_t x, std::uint16_t y) -> std::uint32_t {
        const float fx = to_float(T{x}), fy = to_float(T{y});
        if (fx == fy) {
            return std::uint32_t{x} & y;
        }
        return fx > fy || std::isnan(fy) ? x : y;
    };
    return greater(std::uint16_t(a), std::uint16_t(b)) |
           greater(std::uint16_t(a >> 16), std::uint16_t(b >> 16)) << 16;
}

inline std::uint32_t to_tf32(float x) {  // nearest, ties away from zero
    return (std::bit_cast<std::uint32_t>(x) + 0x1000u) & 0xFFFFE000u;
}

inline float exp2_approx(float x) {
    const float y = std::exp2(x);
    return y < std::numeric_limits<float>::min() ? 0.0f : y;
}

// Memory

template <int kN, class T>
Vec<T, kN> load_vec(const T* p, Site site = Site::current()) {
    Vec<T, kN> v;
    cta().access(p, sizeof v, Access::kRead, "load", site);
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T, int kN>
void store_vec(T* p, const Vec<T, kN>& v, Site site = Site::current()) {
    cta().access(p, sizeof v, Access::kWrite, "store", site);
    std::memcpy(p, &v, sizeof v);
}
template <class T>
T load(const T* p, Site site = Site::current()) {
    return load_vec<1>(p, site)[0];
}
template <class T>
void store(T* p, T v, Site site = Site::current()) {
    store_vec(p, Vec<T, 1>{v}, site);
}

template <int kBytes = 16>
void cp_async(void* dst, const void* src, int src_bytes = kBytes, Site site = Site::current()) {
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    cta().copy_async(dst, src, kBytes, src_bytes, site);
}
inline void cp_async_commit() { cta().commit_copies(); }
template <int kNewestLeft>
void cp_async_wait() {
    cta().wait_copies(kNewestLeft);
}

// Barriers

inline void sync_threads(Site site = Site::current()) {
    const auto threads = unsigned(cta().launch().block.size());
    cta().barrier("sync_threads", 0, threads, true, Aligned::kYes, site);
}
inline void barrier_sync(int id, int threads, Site site = Site::current()) {
    cta().barrier("barrier_sync", id, threads, true, Aligned::kNo, site);
}
inline void barrier_arrive(int id, int threads, Site site = Site::current()) {
    cta().barrier("barrier_arrive", id, threads, false, Aligned::kNo, site);
}
inline void sync_warp(std::uint32_t mask = kFullMask, Site site = Site::current()) {
    cta().collective(
        "sync_warp", mask, mask, [](auto&) {}, Aligned::kNo, MemoryOrder::kFull, site);
}

// Warp collectives

// The values of all lanes of the mask.
template <class T>
std::array<T, kWarpSize> gather(const char* name, T v, std::uint32_t mask, Site site) {
    struct Args {
        T value;
        std::array<T, kWarpSize> all;
    } args{v, {}};
    const auto exchange = [](const auto& lanes) {
        std::array<T, kWarpSize> all{};
        for (int i = 0; i < kWarpSize; ++i) {
            if (lanes[i]) {
                all[i] = lanes[i]->value;
            }
        }
        for (Args* own : lanes) {
            if (own) {
                own->all = all;
            }
        }
    };
    cta().collective(name, mask, args, exchange, Aligned::kNo, MemoryOrder::kNone, site);
    return args.all;
}

// The value of lane source(own lane, first and last lane of its segment).
template <class T, class Source>
T shuffle(const char* name, T v, int width, std::uint32_t mask, Site site, Source source) {
    const int own = Cta::self().lane(), first = own & ~(width - 1);
    const int from = source(own, first, first | (width - 1));
    if (!(mask >> from & 1)) {
        emu::fail(name, " at ", site, ": lane ", from, " is not in the mask");
    }
    return gather(name, v, mask, site)[from];
}
template <class T>
T shfl(T v, int lane, int width = 32, std::uint32_t mask = kFullMask, Site site = Site::current()) {
    return shuffle("shfl", v, width, mask, site,
                   [=](int, int first, int) { return first | (lane & (width - 1)); });
}
template <class T>
T shfl_up(T v, int delta, int width = 32, std::uint32_t mask = kFullMask,
          Site site = Site::current()) {
    return shuffle("shfl_up", v, width, mask, site, [=](int own, int first, int) {
        return own - delta >= first ? own - delta : own;
    });
}
template <class T>
T shfl_down(T v, int delta, int width = 32, std::uint32_t mask = kFullMask,
            Site site = Site::current()) {
    return shuffle("shfl_down", v, width, mask, site,
                   [=](int own, int, int last) { return own + delta <= last ? own + delta : own; });
}
template <class T>
T shfl_xor(T v, int bits, int width = 32, std::uint32_t mask = kFullMask,
           Site site = Site::current()) {
    return shuffle("shfl_xor", v, width, mask, site,
                   [=](int own, int, int last) { return (own ^ bits) <= last ? own ^ bits : own; });
}

inline std::uint32_t ballot(bool p, std::uint32_t mask = kFullMask, Site site = Site::current()) {
    std::uint32_t votes = 0, bit = 1;
    for (const bool vote : gather("vote", p, mask, site)) {
        votes |= vote ? bit : 0;
        bit *= 2;
    }
    return votes;
}
inline bool any(bool p, std::uint32_t mask = kFullMask, Site site = Site::current()) {
    return ballot(p, mask, site) != 0;
}
inline bool all(bool p, std::uint32_t mask = kFullMask, Site site = Site::current()) {
    return ballot(p, mask, site) == mask;
}

// Matrices. In all fragments g = lane / 4 and t = lane % 4, the PTX groupID and threadID_in_group.

template <int kCount, bool kTrans>
void load_matrices(const char* name, std::uint32_t (&r)[kCount], const void* row, Site site) {
    static_assert(kCount == 1 || kCount == 2 || kCount == 4);
    struct Args {
        std::uint32_t* r;
        const void* row;
    } args{r, row};
    const auto load = [&](const auto& lanes) {
        for (int m = 0; m < kCount; ++m) {
            std::uint16_t rows[8][8];
            for (int i = 0; i < 8; ++i) {
                cta().access_shared(lanes[8 * m + i]->row, 16, Access::kRead, name, site,
                                    8 * m + i);
                std::memcpy(rows[i], lanes[8 * m + i]->row, 16);
            }
            for (int lane = 0; lane < kWarpSize; ++lane) {
                const int g = lane / 4, t = lane % 4;
                const std::uint32_t lo = kTrans ? rows[2 * t][g] : rows[g][2 * t];
                const std::uint32_t hi = kTrans ? rows[2 * t + 1][g] : rows[g][2 * t + 1];
                lanes[lane]->r[m] = lo | hi << 16;
            }
        }
    };
    cta().collective(name, kFullMask, args, load, Aligned::kYes, MemoryOrder::kNone, site);
}
template <int kCount>
void ldmatrix(std::uint32_t (&r)[kCount], const void* row, Site site = Site::current()) {
    load_matrices<kCount, false>("ldmatrix", r, row, site);
}
template <int kCount>
void ldmatrix_trans(std::uint32_t (&r)[kCount], const void* row, Site site = Site::current()) {
    load_matrices<kCount, true>("ldmatrix_trans", r, row, site);
}

// acc += a b for a 16 x kK and b kK x 8, with two (16-bit types) or one (tf32) element in a word.
template <class T, int kK>
void multiply(const char* name, float (&acc)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
              std::uint32_t b1, Site site) {
    struct Args {
        float* acc;
        const std::uint32_t* a;
        std::uint32_t b[2];
    } args{acc, a, {b0, b1}};
    const auto combine = [](const auto& lanes) {
        constexpr int kPacked = std::is_same_v<T, float> ? 1 : 2;
        const auto unpack = [](std::uint32_t word, int i) {
            if constexpr (kPacked == 1) {
                return std::bit_cast<float>(word & 0xFFFFE000u);
            } else {
                return to_float(T{std::uint16_t(word >> 16 * i)});
            }
        };
        float ma[16][kK], mb[kK][8], mc[16][8] = {};
        for (int lane = 0; lane < kWarpSize; ++lane) {
            const int g = lane / 4, t = lane % 4;
            for (int i = 0; i < kPacked; ++i) {
                for (int r = 0; r < 4; ++r) {
                    ma[g + r % 2 * 8][kPacked * t + i + r / 2 * kK / 2] =
                        unpack(lanes[lane]->a[r], i);
                }
                for (int r = 0; r < 2; ++r) {
                    mb[kPacked * t + i + r * kK / 2][g] = unpack(lanes[lane]->b[r], i);
                }
            }
        }
        for (int i = 0; i < 16; ++i) {
            for (int k = 0; k < kK; ++k) {
                for (int j = 0; j < 8; ++j) {
                    mc[i][j] += ma[i][k] * mb[k][j];
                }
            }
        }
        for (int lane = 0; lane < kWarpSize; ++lane) {
            for (int r = 0; r < 4; ++r) {
                lanes[lane]->acc[r] += mc[lane / 4 + r / 2 * 8][lane % 4 * 2 + r % 2];
            }
        }
    };
    cta().collective(name, kFullMask, args, combine, Aligned::kYes, MemoryOrder::kNone, site);
}
template <class T>
void mma_m16n8k16(float (&acc)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                  Site site = Site::current()) {
    static_assert(std::is_same_v<T, Bf16> || std::is_same_v<T, Half>);
    multiply<T, 16>("mma_m16n8k16", acc, a, b0, b1, site);
}
inline void mma_m16n8k8_tf32(float (&acc)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                             std::uint32_t b1, Site site = Site::current()) {
    multiply<float, 8>("mma_m16n8k8_tf32", acc, a, b0, b1, site);
}

}  // namespace FLA_SIDE
}  // namespace fla::device
