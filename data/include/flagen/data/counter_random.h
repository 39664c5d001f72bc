#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace flagen::data {

/// Ten rounds of Philox4x32: 128 random bits as a pure function of a 128-bit counter and a key.
///
/// Source: J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011, section 3.3.
/// The test compares with the known answers that the authors published with it.
[[nodiscard]] std::array<std::uint32_t, 4> philox4x32(const std::array<std::uint32_t, 4>& counter,
                                                      const std::array<std::uint32_t, 2>& key);

/// What a stream of random numbers is for. Streams of different purposes never share a counter.
enum class RandomPurpose : std::uint8_t {
    kShuffle = 0,    ///< Order of the examples of an epoch.
    kPlacement = 1,  ///< Start shift and orientation of a training window.
    kMutation = 2,   ///< Substituted bases of a training window.
    kSections = 3,   ///< Order in which data sections are drawn.
};

/// A stream of random numbers that is a pure function of (seed, purpose, epoch, index).
///
/// No state is shared between streams, so an example has the same numbers in any thread, on any
/// rank and after any restart. The counter of Philox holds the parts as
///
///     word 0: block of four draws   word 1: epoch   word 2: low half of index
///     word 3: purpose in the upper 8 bits, bits 32..55 of index in the lower 24
///
/// and the key holds the seed. Not thread-safe; make one where it is used.
class CounterRandom {
  public:
    /// `epoch` lies in [0, 2^32), `index` in [0, 2^56). @throws Error otherwise.
    CounterRandom(std::uint64_t seed, RandomPurpose purpose, std::int64_t epoch,
                  std::int64_t index);

    /// The next 32 bits. At most 2^34 draws.
    std::uint32_t next_u32() {
        if (used_ == block_.size()) {
            refill();
        }
        return block_[used_++];
    }

    /// The next 64 bits: the low half is drawn first.
    std::uint64_t next_u64() {
        const std::uint64_t low = next_u32();
        return low | (static_cast<std::uint64_t>(next_u32()) << 32);
    }

    /// An integer out of [0, bound), every value equally likely (rejection, no modulo bias).
    /// @throws Error if bound < 1.
    std::int64_t below(std::int64_t bound);

    /// An integer out of the closed range [low, high]. @throws Error if high < low.
    std::int64_t between(std::int64_t low, std::int64_t high);

  private:
    void refill();

    std::array<std::uint32_t, 4> counter_;
    std::array<std::uint32_t, 2> key_;
    std::array<std::uint32_t, 4> block_{};
    std::size_t used_ = 4;
};

/// The numbers 0 .. size-1 in the order of one epoch: a Fisher-Yates shuffle of the stream of
/// `purpose`, so a pure function of (seed, epoch, size, purpose).
[[nodiscard]] std::vector<std::int64_t> epoch_order(
    std::uint64_t seed, std::int64_t epoch, std::int64_t size,
    RandomPurpose purpose = RandomPurpose::kShuffle);

}  // namespace flagen::data
