// wgmma on the host; include hopper_layer.h.
#pragma once

#include <algorithm>
#include <deque>
#include <sstream>
#include <utility>
#include <vector>

namespace fla::device {
inline namespace FLA_SIDE {

// What one wgmma does, the same for the 128 threads of the warp group.
struct WgmmaShape {
    int n;
    bool accumulate, a_in_registers;
    Major a_major, b_major;
    std::uint64_t a, b;  // descriptors
    bool operator==(const WgmmaShape&) const = default;
};

// The wgmmas of a CTA. A thread that issues one goes on. The operands are read through their
// descriptors, first when the first thread issues and again when the first thread waits; both must
// agree. Accumulators are NaN from the issue to the wait, and nobody else may write them.
class WgmmaUnit : public Cta::Unit {
  public:
    static constexpr int kSlot = 2;
    explicit WgmmaUnit(Cta& cta)
        : cta_(cta),
          groups_(cta.launch().block.size() / kWarpGroupSize),
          threads_(groups_.size() * kWarpGroupSize) {}

    void fence(Site site) { mine("wgmma_fence", site).fenced = true; }

    template <class T>
    void issue(const WgmmaShape& shape, float* acc, const std::uint32_t* a, Site site) {
        PerThread& me = mine("wgmma", site);
        Group& group = groups_[Cta::self().id / kWarpGroupSize];
        const unsigned thread = Cta::self().id % kWarpGroupSize;
        if (!me.fenced) {
            fail_at("wgmma", site, "no wgmma_fence since the last wgmma_wait or the start");
        }
        if (group.agent == 0) {
            group.agent = cta_.new_agent();
        }
        if (me.issued == group.ops.size()) {
            group.ops.emplace_back(shape, site, Cta::self().clock);
            read_operands(group.ops.back());
        }
        Op& op = group.ops[me.issued];
        if (!(op.shape == shape && op.site == site)) {
            fail_at("wgmma", site, "warp group diverges, others came from ", op.site);
        }
        op.run = &run<T>;
        op.clock.keep_common(Cta::self().clock);

        Fragment& fragment = op.fragments[thread];
        fragment = {acc, a, {}};
        if (a) {
            std::copy_n(a, 4, fragment.a_copy);
        }
        const std::size_t before = last_op_on(me, group, acc, thread);
        if (before == kNone) {
            for (int r = 0; r < shape.n / 2; ++r) {
                op.at(thread, r) = acc[r];
            }
        } else {
            if (group.ops[before].shape.n != shape.n) {
                fail_at("wgmma", site, "the accumulator is in flight with another shape");
            }
            check_untouched(group.ops[before], fragment, site);
            op.chained_to = before;
        }
        std::memset(acc, emu::kPoisonByte, shape.n / 2 * sizeof(float));
        ++me.issued;
        if (++op.arrived < kWarpGroupSize) {
            return;
        }
        note_reads(op, group.agent, std::uint32_t(me.issued));
        for (const Cta::Thread* t : op.waiting) {
            cta_.wake(*t);
        }
        op.waiting.clear();
    }

    void commit(Site site) {
        PerThread& me = mine("wgmma_commit", site);
        me.group_ends.push_back(me.issued);
    }

    void wait(unsigned newest_left, Site site) {
        PerThread& me = mine("wgmma_wait", site);
        Group& group = groups_[Cta::self().id / kWarpGroupSize];
        if (me.group_ends.size() <= newest_left) {
            return;
        }
        const std::size_t end = me.group_ends[me.group_ends.size() - newest_left - 1];
        if (me.delivered == end) {
            return;
        }
        for (std::size_t i = me.delivered; i < end; ++i) {
            Op& op = group.ops[i];
            while (op.arrived < kWarpGroupSize) {
                op.waiting.push_back(&Cta::self());
                cta_.block("wgmma_wait", site);
            }
            if (!op.done) {
                finish(group, op);
            }
            deliver(me, group, i, site);
        }
        me.delivered = end;
        me.fenced = false;
        if (cta_.launch().check_races) {
            Cta::self().clock.learn(group.agent, std::uint32_t(end));
        }
    }

    void check_delivered(const float* acc, const char* name, Site site) {
        PerThread& me = mine(name, site);
        Group& group = groups_[Cta::self().id / kWarpGroupSize];
        if (last_op_on(me, group, acc, Cta::self().id % kWarpGroupSize) != kNone) {
            fail_at(name, site, "an accumulator is still in flight");
        }
    }

    std::string describe_wait(const Cta::Thread& t) const override {
        for (const Group& group : groups_) {
            for (const Op& op : group.ops) {
                if (std::find(op.waiting.begin(), op.waiting.end(), &t) != op.waiting.end()) {
                    std::ostringstream text;
                    text << " (" << op.arrived << " of 128 threads have issued the wgmma at "
                         << op.site << ")";
                    return text.str();
                }
            }
        }
        return "";
    }
    void end_thread(Cta::Thread& t) override {
        if (t.id < threads_.size() && threads_[t.id].delivered != threads_[t.id].issued) {
            emu::fail("thread ", t.id, " ends with a wgmma in flight");
        }
    }

  private:
    static constexpr std::size_t kNone = ~std::size_t{0};
    static constexpr int kM = 64, kK = 16;
    struct Fragment {
        float* acc;
        const std::uint32_t* a;
        std::uint32_t a_copy[4];
    };
    struct Op {
        Op(const WgmmaShape& shape, Site site, const Clock& clock)
            : shape(shape), site(site), clock(clock), d(kM * shape.n) {}
        WgmmaShape shape;
        Site site;
        Clock clock;  // what all threads know
        std::vector<float> d;
        std::vector<std::uint16_t> a, b;  // [kM][kK], [kK][n]
        std::array<Fragment, kWarpGroupSize> fragments = {};
        std::size_t chained_to = kNone;
        unsigned arrived = 0, delivered = 0;
        bool done = false;
        void (*run)(Op&) = nullptr;
        std::vector<Cta::Thread*> waiting;

        float& at(unsigned thread, int r) {  // register r of the accumulator
            const int g = int(thread) % 32 / 4, t = int(thread) % 4;
            return d[(int(thread) / 32 * 16 + g + r / 2 % 2 * 8) * shape.n + r / 4 * 8 + 2 * t +
                     r % 2];
        }
    };
    struct Group {
        unsigned agent = 0;
        std::deque<Op> ops;
    };
    struct PerThread {
        std::size_t issued = 0, delivered = 0;
        std::vector<std::size_t> group_ends;
        bool fenced = false;
    };

    template <class... Parts>
    [[noreturn]] static void fail_at(const char* name, Site site, const Parts&... parts) {
        emu::fail(name, " at ", site, ": thread ", Cta::self().id, ": ", parts...);
    }
    PerThread& mine(const char* name, Site site) {
        if (Cta::self().id >= threads_.size()) {
            fail_at(name, site, "is in no whole warp group");
        }
        return threads_[Cta::self().id];
    }

    static std::size_t last_op_on(const PerThread& me, const Group& group, const float* acc,
                                  unsigned thread) {
        for (std::size_t i = me.issued; i-- > me.delivered;) {
            if (group.ops[i].fragments[thread].acc == acc) {
                return i;
            }
        }
        return kNone;
    }
    static void check_untouched(const Op& op, const Fragment& f, Site site) {
        for (int r = 0; r < op.shape.n / 2; ++r) {
            if (std::bit_cast<std::uint32_t>(f.acc[r]) != 0xFFFFFFFFu) {
                fail_at("wgmma", op.site, "its accumulator was written in flight, seen at ", site);
            }
        }
        if (f.a && std::memcmp(f.a, f.a_copy, sizeof f.a_copy)) {
            fail_at("wgmma", op.site, "its A registers were written in flight, seen at ", site);
        }
    }

    // Calls f(row of M or N, column of K, address) for each run of 8 elements of an operand, at the
    // addresses that the hardware computes from the descriptor.
    template <class F>
    static void for_each_run(std::uint64_t descriptor, Major major, int size, F f) {
        const auto field = [&](int bit) { return std::uint32_t(descriptor >> bit & 0x3FFF) << 4; };
        const std::uint32_t begin = field(0), leading = field(16), stride = field(32);
        if (major == Major::kK) {
            for (int i = 0; i < size; ++i) {
                for (int k = 0; k < kK; k += 8) {
                    f(i, k, swizzle_128b(begin + i / 8 * stride + i % 8 * 128 + k * 2));
                }
            }
        } else {
            for (int k = 0; k < kK; ++k) {
                for (int i = 0; i < size; i += 8) {
                    f(i, k,
                      swizzle_128b(begin + i / 64 * leading + k / 8 * stride + k % 8 * 128 +
                                   i % 64 * 2));
                }
            }
        }
    }
    void read_operand(std::uint64_t descriptor, Major major, int size, int i_step, int k_step,
                      std::vector<std::uint16_t>& out) const {
        out.resize(size * kK);
        for_each_run(descriptor, major, size, [&](int i, int k, std::uint32_t address) {
            std::uint16_t run[8];
            std::memcpy(run, cta_.shared().pointer(address), sizeof run);
            for (int e = 0; e < 8; ++e) {
                out[(i + (major == Major::kMn ? e : 0)) * i_step +
                    (k + (major == Major::kK ? e : 0)) * k_step] = run[e];
            }
        });
    }
    void read_operands(Op& op) const {
        const WgmmaShape& s = op.shape;
        if (!s.a_in_registers) {
            read_operand(s.a, s.a_major, kM, kK, 1, op.a);
        }
        read_operand(s.b, s.b_major, s.n, 1, s.n, op.b);
    }
    void note_reads(const Op& op, unsigned agent, std::uint32_t epoch) const {
        if (!cta_.launch().check_races) {
            return;
        }
        const unsigned first = Cta::self().id / kWarpGroupSize * kWarpGroupSize;
        const auto note = [&](int, int, std::uint32_t address) {
            cta_.access_async({agent, first, epoch, op.clock}, cta_.shared().pointer(address), 16,
                              Access::kAsyncRead, "wgmma", op.site);
        };
        const WgmmaShape& s = op.shape;
        if (!s.a_in_registers) {
            for_each_run(s.a, s.a_major, kM, note);
        }
        for_each_run(s.b, s.b_major, s.n, note);
    }

    void finish(Group& group, Op& op) const {
        std::vector<std::uint16_t> a = op.a, b = op.b;
        read_operands(op);
        if (a != op.a || b != op.b) {
            emu::fail("operand ", a != op.a ? "A" : "B", " of the wgmma at ", op.site,
                      " changes while it is being read");
        }
        if (op.chained_to != kNone) {
            op.d = std::move(group.ops[op.chained_to].d);
        }
        if (!op.shape.accumulate) {
            std::fill(op.d.begin(), op.d.end(), 0.0f);
        }
        op.run(op);
        op.a = op.b = {};
        op.done = true;
    }
    template <class T>
    static void run(Op& op) {
        const int n = op.shape.n;
        float a[kM][kK];
        std::vector<float> b(kK * n);
        for (int i = 0; i < kK * n; ++i) {
            b[i] = to_float(T{op.b[i]});
        }
        if (op.shape.a_in_registers) {
            for (int thread = 0; thread < kWarpGroupSize; ++thread) {
                for (int e = 0; e < 8; ++e) {
                    const int r = e / 2, g = thread % 32 / 4, t = thread % 4;
                    a[thread / 32 * 16 + g + r % 2 * 8][2 * t + e % 2 + r / 2 * 8] =
                        to_float(T{std::uint16_t(op.fragments[thread].a_copy[r] >> e % 2 * 16)});
                }
            }
        } else {
            for (int i = 0; i < kM * kK; ++i) {
                a[i / kK][i % kK] = to_float(T{op.a[i]});
            }
        }
        for (int i = 0; i < kM; ++i) {
            float sums[128] = {};
            for (int k = 0; k < kK; ++k) {
                for (int j = 0; j < n; ++j) {
                    sums[j] += a[i][k] * b[k * n + j];
                }
            }
            for (int j = 0; j < n; ++j) {
                op.d[i * n + j] += sums[j];
            }
        }
    }

    void deliver(const PerThread& me, Group& group, std::size_t i, Site site) {
        const unsigned thread = Cta::self().id % kWarpGroupSize;
        Op& op = group.ops[i];
        Fragment& f = op.fragments[thread];
        check_untouched(op, f, site);
        const bool is_last = last_op_on(me, group, f.acc, thread) == i;
        if (is_last) {
            for (int r = 0; r < op.shape.n / 2; ++r) {
                f.acc[r] = op.at(thread, r);
            }
        }
        f.acc = nullptr;
        if (++op.delivered == kWarpGroupSize && is_last) {
            op.d = {};
        }
    }

    Cta& cta_;
    std::vector<Group> groups_;
    std::vector<PerThread> threads_;
};

template <int kSize, Major kMajor, class Tile>
std::uint64_t host_descriptor(const WgmmaOperand<kMajor, Tile>& x, Site site) {
    const std::size_t address = cta().shared().offset(x.tile.data);
    if (!cta().shared().in_block(x.tile.data, Tile::kBytes) || address >= 1 << 18 ||
        address % 1024) {
        emu::fail("wgmma at ", site, ": the tile is misaligned or outside of shared memory");
    }
    return wgmma_descriptor<kSize>(x, std::uint32_t(address));
}

template <int kRegisters, Major kMajorA, class TileA, Major kMajorB, class TileB>
void wgmma(float (&acc)[kRegisters], WgmmaOperand<kMajorA, TileA> a, WgmmaOperand<kMajorB, TileB> b,
           bool accumulate = true, Site site = Site::current()) {
    constexpr int kN = 2 * kRegisters;
    static_assert(kN == 16 || kN == 32 || kN == 64 || kN == 128);
    static_assert(std::is_same_v<typename TileA::Element, typename TileB::Element>);
    cta().unit<WgmmaUnit>().issue<typename TileB::Element>(
        {kN, accumulate, false, kMajorA, kMajorB, host_descriptor<64>(a, site),
         host_descriptor<kN>(b, site)},
        acc, nullptr, site);
}
template <int kRegisters, Major kMajorB, class TileB>
void wgmma(float (&acc)[kRegisters], const std::uint32_t (&a)[4], WgmmaOperand<kMajorB, TileB> b,
           bool accumulate = true, Site site = Site::current()) {
    constexpr int kN = 2 * kRegisters;
    static_assert(kN == 16 || kN == 32 || kN == 64 || kN == 128);
    cta().unit<WgmmaUnit>().issue<typename TileB::Element>(
        {kN, accumulate, true, Major::kK, kMajorB, 0, host_descriptor<kN>(b, site)}, acc, a, site);
}

// Naming the accumulators here pins them on the device; on the host a wait checks that they came.
inline void wgmma_fence(Site site = Site::current()) { cta().unit<WgmmaUnit>().fence(site); }
template <int kA>
void wgmma_fence(float (&)[kA], Site site = Site::current()) {
    wgmma_fence(site);
}
template <int kA, int kB>
void wgmma_fence(float (&)[kA], float (&)[kB], Site site = Site::current()) {
    wgmma_fence(site);
}
inline void wgmma_commit(Site site = Site::current()) { cta().unit<WgmmaUnit>().commit(site); }
template <int kNewestLeft>
void wgmma_wait(Site site = Site::current()) {
    cta().unit<WgmmaUnit>().wait(kNewestLeft, site);
}
template <int kNewestLeft, int kA>
void wgmma_wait(float (&a)[kA], Site site = Site::current()) {
    wgmma_wait<kNewestLeft>(site);
    cta().unit<WgmmaUnit>().check_delivered(a, "wgmma_wait", site);
}
template <int kNewestLeft, int kA, int kB>
void wgmma_wait(float (&a)[kA], float (&b)[kB], Site site = Site::current()) {
    wgmma_wait<kNewestLeft>(a, site);
    wgmma_wait<kNewestLeft>(b, site);
}

}  // namespace FLA_SIDE
}  // namespace fla::device
