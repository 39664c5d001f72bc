// Mbarriers, bulk tensor copies and the small sm_90a functions on the host; include hopper_layer.h.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace fla::device {
inline namespace FLA_SIDE {

using emu::Clock;

// The mbarriers of a CTA and the bulk loads that complete on them. A load counts its bytes when it
// is issued; its data are NaN bytes until a thread observes that the phase has completed.
class MBarrierUnit : public Cta::Unit {
  public:
    static constexpr int kSlot = 0;
    explicit MBarrierUnit(Cta& cta) : cta_(cta) {}

    void init(void* word, int arrivals, Site site) {
        cta_.access_shared(word, 8, Access::kWrite, "MBarrier::init", site);
        if (arrivals < 1 || arrivals >= 1 << 20) {
            emu::fail("MBarrier::init at ", site, ": bad arrival count ", arrivals);
        }
        State& s = states_[cta_.shared().offset(word)];
        if (!s.waiting.empty() || !s.loads.empty()) {
            emu::fail("MBarrier::init at ", site, ": the barrier is in use");
        }
        const unsigned agent = s.arrivals ? s.agent : cta_.new_agent();
        const unsigned first = s.arrivals ? s.first_epoch + s.phase + 1 : 0;
        s = {};
        s.arrivals = s.missing = arrivals;
        s.agent = agent;
        s.first_epoch = first;
        s.init_thread = Cta::self().id;
    }
    void fence_init() {
        for (auto& [offset, s] : states_) {
            if (s.init_thread == Cta::self().id) {
                s.init_fenced = true;
            }
        }
    }

    void arrive(void* word, int bytes, const char* name, Site site) {
        State& s = use(word, name, site);
        if (s.missing == 0) {
            emu::fail(name, " at ", site, ": thread ", Cta::self().id, " arrives once too often",
                      describe(s));
        }
        if (cta_.launch().check_races) {
            s.clock.merge(Cta::self().clock);
            Cta::self().clock.advance(Cta::self().id);
        }
        s.bytes_to_come += bytes;
        --s.missing;
        complete(s);
    }

    bool wait(void* word, unsigned parity, bool may_fail, const char* name, Site site) {
        State& s = use(word, name, site);
        if (parity > 1) {
            emu::fail(name, " at ", site, ": the parity is ", parity);
        }
        while ((s.phase & 1) == parity) {
            if (may_fail && cta_.launch().order == emu::Order::kRandom && cta_.random(4) == 0) {
                return false;
            }
            s.waiting.push_back(&Cta::self());
            cta_.block(name, site);
        }
        std::erase_if(s.loads, [&](const Load& load) {
            if (load.phase >= s.phase) {
                return false;
            }
            load.deliver();
            return true;
        });
        if (cta_.launch().check_races) {
            Cta::self().clock.merge(s.done);
        }
        return true;
    }

    void load(void* word, void* dst, int bytes, std::function<void()> deliver, Site site) {
        State& s = use(word, "tma_load", site);
        const Cta::Thread& self = Cta::self();
        if (cta_.launch().check_races && !s.init_fenced) {
            cta_.access_async({self.id, self.id, self.clock.epoch(self.id), self.clock}, word, 8,
                              Access::kAsyncRead, "tma_load", site);
        }
        cta_.access_async({s.agent, self.id, s.first_epoch + s.phase + 1, self.clock}, dst, bytes,
                          Access::kAsyncWrite, "tma_load", site);
        std::memset(dst, emu::kPoisonByte, bytes);
        s.loads.push_back({s.phase, site, std::move(deliver)});
        s.bytes_to_come -= bytes;
        complete(s);
    }

    std::string describe_wait(const Cta::Thread& t) const override {
        for (const auto& [offset, s] : states_) {
            if (std::find(s.waiting.begin(), s.waiting.end(), &t) != s.waiting.end()) {
                return describe(s);
            }
        }
        return "";
    }
    void end_cta() override {
        for (const auto& [offset, s] : states_) {
            if (!s.loads.empty()) {
                emu::fail("the CTA ends, and no thread has waited for the tma_load at ",
                          s.loads[0].site, describe(s));
            }
        }
    }

  private:
    struct Load {
        std::uint32_t phase;
        Site site;
        std::function<void()> deliver;
    };
    struct State {
        int arrivals = 0, missing = 0;
        std::int64_t bytes_to_come = 0;
        std::uint32_t phase = 0, first_epoch = 0;
        unsigned agent = 0, init_thread = 0;
        bool init_fenced = false;
        std::vector<Cta::Thread*> waiting;
        std::vector<Load> loads;
        Clock clock, done;  // of those who arrived; the same up to the last phase that completed
    };

    State& use(void* word, const char* name, Site site) {
        const auto found = states_.find(cta_.shared().offset(word));
        if (found == states_.end()) {
            emu::fail(name, " at ", site, ": thread ", Cta::self().id,
                      " uses no initialised mbarrier");
        }
        cta_.access_shared(word, 8, Access::kRead, name, site);
        return found->second;
    }
    void complete(State& s) {
        if (s.missing > 0 || s.bytes_to_come != 0) {
            return;
        }
        ++s.phase;
        s.missing = s.arrivals;
        if (cta_.launch().check_races) {
            s.done.merge(s.clock);
            s.done.learn(s.agent, s.first_epoch + s.phase);
        }
        for (const Cta::Thread* t : s.waiting) {
            cta_.wake(*t);
        }
        s.waiting.clear();
    }
    std::string describe(const State& s) const {
        std::string text = " (mbarrier in phase " + std::to_string(s.phase) + ", parity " +
                           std::to_string(s.phase & 1) + ": " + std::to_string(s.missing) + " of " +
                           std::to_string(s.arrivals) + " arrivals missing";
        if (s.bytes_to_come > 0) {
            text += ", " + std::to_string(s.bytes_to_come) + " bytes to come";
        }
        if (s.bytes_to_come < 0) {
            text += ", " + std::to_string(-s.bytes_to_come) + " bytes more than expected";
        }
        return text + ")";
    }

    Cta& cta_;
    std::map<std::size_t, State> states_;  // by the offset of the barrier in shared memory
};

struct MBarrier {
    std::uint64_t word;

    void init(int arrivals, Site site = Site::current()) {
        cta().unit<MBarrierUnit>().init(&word, arrivals, site);
    }
    void arrive(Site site = Site::current()) {
        cta().unit<MBarrierUnit>().arrive(&word, 0, "MBarrier::arrive", site);
    }
    void arrive_expect_tx(int bytes, Site site = Site::current()) {
        cta().unit<MBarrierUnit>().arrive(&word, bytes, "MBarrier::arrive_expect_tx", site);
    }
    // Blocks. In random order it sometimes says no at once, as the hardware may after a while.
    bool try_wait(unsigned parity, Site site = Site::current()) {
        return cta().unit<MBarrierUnit>().wait(&word, parity, true, "MBarrier::try_wait", site);
    }
    void wait(unsigned parity, Site site = Site::current()) {
        cta().unit<MBarrierUnit>().wait(&word, parity, false, "MBarrier::wait", site);
    }
};

inline void fence_mbarrier_init() { cta().unit<MBarrierUnit>().fence_init(); }
inline void fence_proxy_async() {
    if (cta().launch().check_races) {
        Cta::self().clock.fence(Cta::self().id);
    }
}

// The same lane each time; which one depends on the order.
inline bool elect_one(Site site = Site::current()) {
    std::uint32_t none = 0;
    cta().collective(
        "elect_one", kFullMask, none, [](auto&) {}, Aligned::kNo, MemoryOrder::kNone, site);
    const emu::Launch& launch = cta().launch();
    unsigned leader = 0;
    if (launch.order == emu::Order::kDescending) {
        leader = 31;
    }
    if (launch.order == emu::Order::kRandom) {
        leader = (launch.seed * 7 + Cta::self().warp()) % 32;
    }
    return Cta::self().lane() == leader;
}

template <int kRegisters>
void raise_max_registers() {
    static_assert(kRegisters % 8 == 0 && 24 <= kRegisters && kRegisters <= 256);
}
template <int kRegisters>
void lower_max_registers() {
    static_assert(kRegisters % 8 == 0 && 24 <= kRegisters && kRegisters <= 256);
}

struct TensorMap {
    std::byte* base;
    TensorShape shape;
    Swizzle swizzle;
    int element_bytes;
};

// Refuses what cuTensorMapEncodeTiled refuses.
template <class T>
TensorMap make_tensor_map(T* base, const TensorShape& shape, Swizzle swizzle) {
    if (shape.rank < 2 || shape.rank > kMaxTensorRank) {
        emu::fail("tensor map: rank ", shape.rank);
    }
    if (std::uintptr_t(base) % 16) {
        emu::fail("tensor map: the base is not 16-byte aligned");
    }
    for (int i = 0; i < shape.rank; ++i) {
        if (shape.size[i] < 1) {
            emu::fail("tensor map: size ", shape.size[i], " of dimension ", i);
        }
        if (i > 0 && shape.stride[i] * sizeof(T) % 16) {
            emu::fail("tensor map: the stride of dimension ", i, " is not a multiple of 16 bytes");
        }
        if (shape.box[i] < 1 || shape.box[i] > 256) {
            emu::fail("tensor map: box of ", shape.box[i], " in dimension ", i);
        }
    }
    const std::size_t inner = shape.box[0] * sizeof(T);
    if (inner % 16 || (swizzle == Swizzle::k128B && inner > 128)) {
        emu::fail("tensor map: the rows of the box have ", inner, " bytes");
    }
    return {reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(base)), shape, swizzle,
            int(sizeof(T))};
}

inline void tma_prefetch(const TensorMap&) {}

// Calls f(place in the panel, place in the tensor or null, bytes) for pieces of a box.
template <class F>
void for_each_piece(const TensorMap& map, const std::array<int, kMaxTensorRank>& begin,
                    std::byte* panel, F f) {
    const TensorShape& s = map.shape;
    int rows = 1;
    for (int i = 1; i < s.rank; ++i) {
        rows *= s.box[i];
    }
    const int size = map.element_bytes;
    for (int row = 0; row < rows; ++row) {
        bool inside = true;
        std::int64_t offset = 0;
        for (int i = 1, rest = row; i < s.rank; rest /= s.box[i], ++i) {
            const std::int64_t at = begin[i] + rest % s.box[i];
            inside &= 0 <= at && at < s.size[i];
            offset += at * s.stride[i];
        }
        for (int byte = 0; byte < s.box[0] * size; byte += 16) {
            auto place = std::uint32_t(row * s.box[0] * size + byte);
            if (map.swizzle == Swizzle::k128B) {
                place = swizzle_128b(place);
            }
            const std::int64_t col = begin[0] + byte / size;
            if (inside && col >= 0 && col + 16 / size <= s.size[0]) {
                f(panel + place, map.base + (offset + col) * size, 16);
                continue;
            }
            for (int i = 0; i < 16 / size; ++i) {
                const bool in = inside && col + i >= 0 && col + i < s.size[0];
                f(panel + place + i * size, in ? map.base + (offset + col + i) * size : nullptr,
                  size);
            }
        }
    }
}

template <class Tile, int kRank>
std::array<int, kMaxTensorRank> check_tma(const char* name, Tile& tile, const TensorMap& map,
                                          const int (&at)[kRank], Site site) {
    int rows = 1;
    for (int i = 1; i < map.shape.rank; ++i) {
        rows *= map.shape.box[i];
    }
    if (map.shape.rank != kRank || map.shape.box[0] != Tile::kPanelCols || rows != Tile::kRows ||
        map.swizzle != Tile::kSwizzle || map.element_bytes != int(sizeof(typename Tile::Element))) {
        emu::fail(name, " at ", site, ": the tensor map has another rank, box, swizzle or type");
    }
    if (cta().shared().offset(tile.data) % alignof(Tile)) {
        emu::fail(name, " at ", site, ": the tile is not ", alignof(Tile), "-byte aligned");
    }
    const int unit = 16 / map.element_bytes;
    if (at[0] % unit) {
        emu::fail(name, " at ", site, ": coordinate 0 is ", at[0], ", not a multiple of ", unit);
    }
    std::array<int, kMaxTensorRank> begin{};
    for (int i = 0; i < kRank; ++i) {
        begin[i] = at[i];
    }
    return begin;
}

template <class Tile, int kRank>
void tma_load(Tile& tile, const TensorMap& map, const int (&at)[kRank], MBarrier& barrier,
              Site site) {
    auto begin = check_tma("tma_load", tile, map, at, site);
    auto* const data = reinterpret_cast<std::byte*>(tile.data);
    for (int panel = 0; panel < Tile::kPanels; ++panel, begin[0] += Tile::kPanelCols) {
        std::byte* const to = data + panel * Tile::kPanelBytes;
        const auto deliver = [map, begin, to] {
            for_each_piece(map, begin, to, [](std::byte* dst, const std::byte* src, int bytes) {
                if (src) {
                    std::memcpy(dst, src, bytes);
                } else {
                    std::memset(dst, 0, bytes);
                }
            });
        };
        cta().unit<MBarrierUnit>().load(&barrier.word, to, Tile::kPanelBytes, deliver, site);
    }
}

// Bulk stores. A tile is read at the wait and must then be what it was at the issue; global memory
// changes at tma_store_wait or at the end of the CTA.
class BulkStoreUnit : public Cta::Unit {
  public:
    static constexpr int kSlot = 1;
    explicit BulkStoreUnit(Cta& cta) : cta_(cta) {}

    void store(std::byte* from, int bytes, std::function<void(std::byte*)> deliver, Site site) {
        const Cta::Thread& self = Cta::self();
        PerThread& mine = threads_[self.id];
        if (mine.agent == 0) {
            mine.agent = cta_.new_agent();
        }
        cta_.access_async({mine.agent, self.id, ++mine.epoch, self.clock}, from, bytes,
                          Access::kAsyncRead, "tma_store", site);
        mine.stores.push_back({from,
                               {from, from + bytes},
                               mine.committed,
                               mine.epoch,
                               false,
                               site,
                               std::move(deliver)});
    }
    void commit() { ++threads_[Cta::self().id].committed; }
    void wait(unsigned newest_left, bool only_read) {
        PerThread& mine = threads_[Cta::self().id];
        for (Store& s : mine.stores) {
            if (s.group + newest_left < mine.committed) {
                read(s);
                if (cta_.launch().check_races) {
                    Cta::self().clock.learn(mine.agent, s.epoch);
                }
            }
        }
        if (only_read) {
            return;
        }
        std::erase_if(mine.stores, [&](Store& s) {
            if (s.group + newest_left >= mine.committed) {
                return false;
            }
            s.deliver(s.data.data());
            return true;
        });
    }
    void end_thread(Cta::Thread& t) override {
        const auto found = threads_.find(t.id);
        if (found == threads_.end()) {
            return;
        }
        for (const Store& s : found->second.stores) {
            if (!s.was_read) {
                emu::fail("thread ", t.id, " ends before its tma_store at ", s.site,
                          " has read the tile");
            }
        }
    }
    void end_cta() override {
        for (auto& [id, mine] : threads_) {
            for (Store& s : mine.stores) {
                s.deliver(s.data.data());
            }
        }
    }

  private:
    struct Store {
        const std::byte* from;
        std::vector<std::byte> data;
        unsigned group;
        std::uint32_t epoch;
        bool was_read;
        Site site;
        std::function<void(std::byte*)> deliver;
    };
    struct PerThread {
        unsigned agent = 0, committed = 0;
        std::uint32_t epoch = 0;
        std::vector<Store> stores;
    };
    static void read(Store& s) {
        if (!s.was_read && std::memcmp(s.from, s.data.data(), s.data.size())) {
            emu::fail("the tile changes while the tma_store at ", s.site, " reads it");
        }
        s.was_read = true;
    }

    Cta& cta_;
    std::map<unsigned, PerThread> threads_;
};

template <class Tile, int kRank>
void tma_store(const TensorMap& map, const int (&at)[kRank], Tile& tile, Site site) {
    auto begin = check_tma("tma_store", tile, map, at, site);
    for (int i = 0; i < kRank; ++i) {
        if (at[i] < 0) {
            emu::fail("tma_store at ", site, ": coordinate ", i, " of a store is ", at[i]);
        }
    }
    auto* const data = reinterpret_cast<std::byte*>(tile.data);
    for (int panel = 0; panel < Tile::kPanels; ++panel, begin[0] += Tile::kPanelCols) {
        const auto deliver = [map, begin](std::byte* from) {
            for_each_piece(map, begin, from, [](const std::byte* src, std::byte* dst, int bytes) {
                if (dst) {
                    std::memcpy(dst, src, bytes);
                }
            });
        };
        cta().unit<BulkStoreUnit>().store(data + panel * Tile::kPanelBytes, Tile::kPanelBytes,
                                          deliver, site);
    }
}
inline void tma_store_commit() { cta().unit<BulkStoreUnit>().commit(); }
template <int kNewestLeft>
void tma_store_wait(Site = Site::current()) {
    cta().unit<BulkStoreUnit>().wait(kNewestLeft, false);
}
template <int kNewestLeft>
void tma_store_wait_read(Site = Site::current()) {
    cta().unit<BulkStoreUnit>().wait(kNewestLeft, true);
}

}  // namespace FLA_SIDE
}  // namespace fla::device
