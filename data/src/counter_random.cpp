#include "flagen/data/counter_random.h"

#include <numeric>
#include <utility>

#include "flagen/error.h"

namespace flagen::data {
namespace {

constexpr std::uint32_t kMultiplier0 = 0xD2511F53;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9;  // golden ratio
constexpr std::uint32_t kWeyl1 = 0xBB67AE85;  // sqrt(3) - 1
constexpr int kRounds = 10;

std::uint32_t low_half(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high_half(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

}  // namespace

std::array<std::uint32_t, 4> philox4x32(const std::array<std::uint32_t, 4>& counter,
                                        const std::array<std::uint32_t, 2>& key) {
    std::array<std::uint32_t, 4> words = counter;
    std::uint32_t key0 = key[0];
    std::uint32_t key1 = key[1];
    for (int round = 0; round < kRounds; ++round) {
        const std::uint64_t product0 = std::uint64_t{kMultiplier0} * words[0];
        const std::uint64_t product1 = std::uint64_t{kMultiplier1} * words[2];
        words = {high_half(product1) ^ words[1] ^ key0, low_half(product1),
                 high_half(product0) ^ words[3] ^ key1, low_half(product0)};
        key0 += kWeyl0;
        key1 += kWeyl1;
    }
    return words;
}

CounterRandom::CounterRandom(std::uint64_t seed, RandomPurpose purpose, std::int64_t epoch,
                             std::int64_t index) {
    FLAGEN_CHECK(epoch >= 0 && epoch < (std::int64_t{1} << 32), "epoch ", epoch);
    FLAGEN_CHECK(index >= 0 && index < (std::int64_t{1} << 56), "index ", index);
    const auto index_bits = static_cast<std::uint64_t>(index);
    counter_ = {0, static_cast<std::uint32_t>(epoch), low_half(index_bits),
                (static_cast<std::uint32_t>(purpose) << 24) | high_half(index_bits)};
    key_ = {low_half(seed), high_half(seed)};
}

void CounterRandom::refill() {
    block_ = philox4x32(counter_, key_);
    used_ = 0;
    ++counter_[0];
    FLAGEN_CHECK(counter_[0] != 0, "more than 2^34 draws from one stream");
}

std::int64_t CounterRandom::below(std::int64_t bound) {
    FLAGEN_CHECK(bound >= 1, "bound ", bound);
    const auto range = static_cast<std::uint64_t>(bound);
    // 2^64 mod range: draws below it would make the small remainders more likely.
    const std::uint64_t rejected_below = (0 - range) % range;
    std::uint64_t draw = next_u64();
    while (draw < rejected_below) {
        draw = next_u64();
    }
    return static_cast<std::int64_t>(draw % range);
}

std::int64_t CounterRandom::between(std::int64_t low, std::int64_t high) {
    FLAGEN_CHECK(low <= high, "empty range ", low, "..", high);
    return low + below(high - low + 1);
}

std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::int64_t epoch, std::int64_t size,
                                      RandomPurpose purpose) {
    FLAGEN_CHECK(size >= 0, "size ", size);
    std::vector<std::int64_t> order(static_cast<std::size_t>(size));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    CounterRandom random(seed, purpose, epoch, 0);
    for (std::size_t left = order.size(); left > 1; --left) {
        const auto pick = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(left)));
        std::swap(order[left - 1], order[pick]);
    }
    return order;
}

}  // namespace flagen::data
