#pragma once

// Scratch memory and rounding mode of one task. For sources built once for each instruction set
// only.

#include <cstdint>

#include "host/dense_tiles.h"

namespace fla::FLA_ISA {

/// Hands out 64-byte aligned pieces of one block. A null base only counts.
class Scratch {
  public:
    explicit Scratch(float* base) : base_(base) {}

    float* take(std::int64_t floats) {
        float* piece = base_ == nullptr ? nullptr : base_ + used_;
        used_ += round_up_to_tile(floats);
        return piece;
    }

    [[nodiscard]] std::int64_t used() const { return used_; }

  private:
    float* base_;
    std::int64_t used_ = 0;
};

/// Flushes denormal numbers to zero while it lives; they would slow decayed states down a lot.
class FlushDenormals {
  public:
#if defined(__SSE__)
    FlushDenormals() : saved_(__builtin_ia32_stmxcsr()) {
        __builtin_ia32_ldmxcsr(saved_ | 0x8040U);
    }
    ~FlushDenormals() { __builtin_ia32_ldmxcsr(saved_); }

  private:
    unsigned int saved_;
#else
    FlushDenormals() {}
    ~FlushDenormals() {}
#endif

  public:
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;
};
}  // namespace fla::FLA_ISA
