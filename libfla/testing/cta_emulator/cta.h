// A CTA of the emulator: its threads, their scheduler, barriers, warp collectives and cp.async.
//
// Every CUDA thread is a fiber on one OS thread. It runs until it blocks in a barrier or a warp
// collective; then the scheduler picks the next one in the order that the launch asked for. What
// the hardware would turn into a hang, a trap or garbage becomes an emu::Error.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"
#include "race_detector.h"
#include "shared_memory.h"

namespace fla::emu {

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
    constexpr std::size_t size() const { return std::size_t{x} * y * z; }
    constexpr Dim3 at(std::size_t i) const {
        return {unsigned(i % x), unsigned(i / x % y), unsigned(i / x / y)};
    }
};

// Which runnable thread goes next. kAscending and kDescending run one warp as far ahead of the
// others as the barriers allow; kRandom draws warps and lanes from the seed.
enum class Order { kAscending, kDescending, kRandom };

struct Launch {
    Dim3 grid = {}, block = {};
    std::size_t dynamic_smem_bytes = 0;
    Order order = Order::kAscending;
    std::uint64_t seed = 0;               // of Order::kRandom
    bool check_races = false;             // on shared memory, for accesses through the layer
    unsigned workers = 1;                 // OS threads that share the CTAs of the grid
    std::size_t stack_bytes = 256 << 10;  // of a CUDA thread; untouched pages cost nothing
};

enum class Aligned { kNo, kYes };         // kYes: all threads must come from the same line
enum class MemoryOrder { kNone, kFull };  // kFull: the collective orders memory in the warp

class Cta {
  public:
    struct Copy {
        std::byte* dst;
        const std::byte* src;
        unsigned bytes, src_bytes, group;
        Site site;
    };

    struct Thread {
        Cta* cta = nullptr;
        unsigned id = 0;
        Dim3 index;
        Fiber fiber;
        const char* waits_in = nullptr;
        Site wait_site;
        bool exited = false;
        unsigned committed_groups = 0;
        std::vector<Copy> copies;  // cp.async issued and not yet waited for
        Clock clock;

        unsigned warp() const { return id / kWarpSize; }
        unsigned lane() const { return id % kWarpSize; }
    };

    // State of layer functions that are written elsewhere. A CTA makes it on first use.
    struct Unit {
        virtual ~Unit() = default;
        virtual std::string describe_wait(const Thread&) const { return ""; }  // for a deadlock
        virtual void end_thread(Thread&) {}
        virtual void end_cta() {}
    };

    Cta(const Launch& launch, const std::function<void()>& body)
        : launch_(launch),
          body_(body),
          threads_(launch.block.size()),
          warps_((threads_.size() + kWarpSize - 1) / kWarpSize),
          stacks_(threads_.size(), launch.stack_bytes),
          shared_(launch.dynamic_smem_bytes) {}

    static Thread& self() { return *t_self; }
    const Launch& launch() const { return launch_; }
    Dim3 block_index() const { return block_index_; }
    SharedMemory& shared() { return shared_; }
    Thread& thread(unsigned id) { return threads_[id]; }

    template <class U>
    U& unit() {
        std::unique_ptr<Unit>& unit = units_[U::kSlot];
        if (!unit) {
            unit = std::make_unique<U>(*this);
        }
        return static_cast<U&>(*unit);
    }
    unsigned new_agent() { return agents_++; }
    void block(const char* name, Site site) {  // until another thread wakes this one
        set_waiting(*t_self, name, site);
        reschedule();
    }
    void wake(const Thread& t) { set_ready(t); }
    unsigned random(unsigned below) {
        random_ = random_ * 6364136223846793005u + 1442695040888963407u;
        return unsigned(random_ >> 33) % below;
    }

    void run(std::size_t block) {
        start(block);
        resume(main_, pick());
        if (!error_) {
            return;
        }
        stacks_.reset();
        try {
            std::rethrow_exception(std::exchange(error_, nullptr));
        } catch (const Error& e) {
            static constexpr const char* kNames[] = {"ascending", "descending", "random"};
            fail("CTA (", block_index_.x, ',', block_index_.y, ',', block_index_.z, "), order ",
                 kNames[int(launch_.order)], ", seed ", launch_.seed, ": ", e.what());
        }
    }

    // Barrier `id` of `count` threads. A thread that does not wait only adds its arrival.
    void barrier(const char* name, unsigned id, unsigned count, bool wait, Aligned aligned,
                 Site site) {
        Thread& self = *t_self;
        if (id >= kBarriers) {
            fail(name, " at ", site, ": no barrier ", id);
        }
        if (count == 0 || count > threads_.size() || (id != 0 && count % kWarpSize != 0)) {
            fail(name, " at ", site, ": bad thread count ", count);
        }
        Barrier& b = barriers_[id];
        if (b.arrived == 0) {
            b.count = count;
            b.site = site;
        } else if (b.count != count || (aligned == Aligned::kYes && !(b.site == site))) {
            fail("barrier ", id, " diverges: thread ", self.id, " is in ", name, " at ", site,
                 " for ", count, " threads, others came from ", b.site, " for ", b.count);
        }
        if (launch_.check_races) {
            b.clock.merge(self.clock);
            self.clock.advance(self.id);
        }
        if (wait) {
            b.waiting.push_back(&self);
            set_waiting(self, name, site);
        }
        if (++b.arrived == b.count) {
            for (Thread* t : b.waiting) {
                if (launch_.check_races) {
                    t->clock.merge(b.clock);
                }
                set_ready(*t);
            }
            b = {};
        }
        if (wait) {
            reschedule();
        }
    }

    // Every lane of `mask` brings its Args. The last to come runs combine(lanes), where lanes[i] is
    // the Args of lane i or null outside of the mask; then all go on.
    template <class Args, class Combine>
    void collective(const char* name, std::uint32_t mask, Args& args, Combine combine,
                    Aligned aligned, MemoryOrder order, Site site) {
        Thread& self = *t_self;
        Warp& warp = warps_[self.warp()];
        if (!(mask >> self.lane() & 1)) {
            fail(name, " at ", site, ": thread ", self.id, " is not in its own mask");
        }
        auto meeting = std::find_if(warp.meetings.begin(), warp.meetings.end(),
                                    [&](const Meeting& m) { return m.mask == mask; });
        if (meeting == warp.meetings.end()) {
            meeting = warp.meetings.insert(meeting, {name, site, mask, 0});
        }
        if (!same_text(meeting->name, name) ||
            (aligned == Aligned::kYes && !(meeting->site == site))) {
            fail("warp diverges: thread ", self.id, " is in ", name, " at ", site,
                 ", other lanes are in ", meeting->name, " at ", meeting->site);
        }
        warp.args[self.lane()] = &args;
        meeting->arrived |= 1u << self.lane();
        set_waiting(self, name, site);
        if (meeting->arrived == mask) {
            warp.meetings.erase(meeting);
            std::array<Args*, kWarpSize> lanes{};
            for (unsigned i = 0; i < kWarpSize; ++i) {
                if (mask >> i & 1) {
                    lanes[i] = static_cast<Args*>(warp.args[i]);
                    set_ready(*(&self - self.lane() + i));
                }
            }
            if (launch_.check_races && order == MemoryOrder::kFull) {
                order_memory(&self - self.lane(), mask);
            }
            combine(lanes);
        }
        reschedule();
    }

    // An access to shared memory by a lane of the running warp.
    void access_shared(const void* p, std::size_t bytes, Access kind, const char* name, Site site,
                       unsigned lane = t_self->lane()) {
        const Thread& thread = *(t_self - t_self->lane() + lane);
        if (!shared_.in_block(p, bytes)) {
            fail(name, " at ", site, ": thread ", thread.id, " is outside of shared memory");
        }
        check_alignment(p, bytes, name, site);
        if (launch_.check_races) {
            races_.record({thread.id, thread.id, thread.clock.epoch(thread.id), thread.clock},
                          shared_.offset(p), bytes, kind, site);
        }
    }

    // An access to shared memory by another agent than a thread.
    void access_async(const Actor& who, const void* p, std::size_t bytes, Access kind,
                      const char* name, Site site) {
        if (!shared_.in_block(p, bytes)) {
            fail(name, " at ", site, ": thread ", who.thread, " is outside of shared memory");
        }
        if (launch_.check_races) {
            races_.record(who, shared_.offset(p), bytes, kind, site);
        }
    }

    // An access of the running thread to shared or global memory.
    void access(const void* p, std::size_t bytes, Access kind, const char* name, Site site) {
        if (shared_.in_arena(p)) {
            return access_shared(p, bytes, kind, name, site);
        }
        check_alignment(p, bytes, name, site);
    }

    // The destination has no defined content until the matching wait: NaN bytes now, data then.
    void copy_async(void* dst, const void* src, unsigned bytes, unsigned src_bytes, Site site) {
        if (src_bytes > bytes) {
            fail("cp_async at ", site, ": more bytes to read than to write");
        }
        access_shared(dst, bytes, Access::kCopyIssue, "cp_async", site);
        check_alignment(src, bytes, "cp_async", site);
        std::memset(dst, kPoisonByte, bytes);
        t_self->copies.push_back({static_cast<std::byte*>(dst), static_cast<const std::byte*>(src),
                                  bytes, src_bytes, t_self->committed_groups, site});
    }
    void commit_copies() { ++t_self->committed_groups; }
    void wait_copies(unsigned newest_left) {
        std::erase_if(t_self->copies, [&](const Copy& c) {
            if (c.group + newest_left >= t_self->committed_groups) {
                return false;
            }
            access_shared(c.dst, c.bytes, Access::kCopyDone, "cp_async", c.site);
            std::memcpy(c.dst, c.src, c.src_bytes);
            std::memset(c.dst + c.src_bytes, 0, c.bytes - c.src_bytes);
            return true;
        });
    }

  private:
    static constexpr unsigned kWarpSize = 32, kBarriers = 16, kUnits = 3;
    struct Barrier {
        unsigned arrived = 0, count = 0;
        Site site;
        std::vector<Thread*> waiting;
        Clock clock;
    };
    struct Meeting {  // a warp collective that not all lanes have reached
        const char* name;
        Site site;
        std::uint32_t mask, arrived;
    };
    struct Warp {
        std::uint32_t ready = 0;
        std::vector<Meeting> meetings;
        std::array<void*, kWarpSize> args;
    };

    void start(std::size_t block) {
        block_index_ = launch_.grid.at(block);
        random_ = (launch_.seed + 1) * 0x9E3779B97F4A7C15u ^ (block + 1) * 0xD1B54A32D192ED03u;
        shared_.reset();
        if (launch_.check_races) {
            races_.reset(shared_.size());
        }
        barriers_.fill({});
        std::fill(warps_.begin(), warps_.end(), Warp{});
        for (auto& unit : units_) {
            unit.reset();
        }
        running_ = threads_.size();
        agents_ = unsigned(threads_.size());
        for (unsigned i = 0; i < threads_.size(); ++i) {
            Thread& t = threads_[i];
            t = {};
            t.cta = this;
            t.id = i;
            t.index = launch_.block.at(i);
            if (launch_.check_races) {
                t.clock = Clock(threads_.size(), i);
            }
            stacks_.assign(i, t.fiber);
            t.fiber.prepare(&thread_main);
            set_ready(t);
        }
    }

    static void thread_main() {
        finish_switch(t_self->fiber);
        t_self->cta->run_thread();
    }

    void run_thread() {
        Thread& self = *t_self;
        Thread* next = nullptr;
        try {
            body_();
            for (auto& unit : units_) {
                if (unit) {
                    unit->end_thread(self);
                }
            }
            self.exited = true;
            set_waiting(self, "exit", {});
            if (--running_ > 0) {
                next = pick();
            }
            for (auto& unit : units_) {
                if (unit && running_ == 0) {
                    unit->end_cta();
                }
            }
        } catch (...) {
            error_ = std::current_exception();
        }
        t_self = next;
        switch_fiber(self.fiber, next ? next->fiber : main_, /*from_ends=*/true);
    }

    void set_waiting(Thread& t, const char* name, Site site) {
        t.waits_in = name;
        t.wait_site = site;
        Warp& warp = warps_[t.warp()];
        warp.ready &= ~(1u << t.lane());
        if (warp.ready == 0) {
            ready_warps_ &= ~(1u << t.warp());
        }
    }
    void set_ready(const Thread& t) {
        warps_[t.warp()].ready |= 1u << t.lane();
        ready_warps_ |= 1u << t.warp();
    }

    void resume(Fiber& from, Thread* to) {
        t_self = to;
        switch_fiber(from, to->fiber);
    }
    void reschedule() {
        Thread& self = *t_self;
        Thread* const next = pick();
        if (next != &self) {
            resume(self.fiber, next);
        }
    }

    Thread* pick() {
        if (ready_warps_ == 0) {
            fail(describe_deadlock());
        }
        unsigned lane;
        if (launch_.order == Order::kAscending) {
            warp_ = std::countr_zero(ready_warps_);
            lane = std::countr_zero(warps_[warp_].ready);
        } else if (launch_.order == Order::kDescending) {
            warp_ = 31 - std::countl_zero(ready_warps_);
            lane = 31 - std::countl_zero(warps_[warp_].ready);
        } else {
            // Mostly stay in a warp: only one far ahead of the others shows a missing barrier.
            random_ = random_ * 6364136223846793005u + 1442695040888963407u;
            const bool stay = (ready_warps_ >> warp_ & 1) && random_ >> 56 != 0;
            if (!stay) {
                warp_ = random_bit(ready_warps_, random_ >> 51 & 31);
            }
            lane = random_bit(warps_[warp_].ready, random_ >> 46 & 31);
        }
        return &threads_[warp_ * kWarpSize + lane];
    }
    static unsigned random_bit(std::uint32_t bits,
                               unsigned random) {  // the first one from `random`
        return (std::countr_zero(std::rotr(bits, int(random))) + random) % 32;
    }

    // All that the lanes of `mask` did so far happens before all that they do from here on.
    static void order_memory(Thread* warp, std::uint32_t mask) {
        Clock clock;
        for (unsigned i = 0; i < kWarpSize; ++i) {
            if (mask >> i & 1) {
                clock.merge(warp[i].clock);
            }
        }
        for (unsigned i = 0; i < kWarpSize; ++i) {
            if (mask >> i & 1) {
                warp[i].clock = clock;
                warp[i].clock.advance(warp[i].id);
            }
        }
    }

    static void check_alignment(const void* p, std::size_t bytes, const char* name, Site site) {
        if (std::uintptr_t(p) % bytes) {
            fail(name, " at ", site, ": thread ", t_self->id, " has an address that is not ", bytes,
                 "-byte aligned");
        }
    }

    std::string describe_deadlock() const {
        std::map<std::string, std::pair<int, unsigned>> groups;  // where: how many, the first
        for (const Thread& t : threads_) {
            std::ostringstream where;
            if (t.exited) {
                where << "exited";
            } else {
                where << "wait in " << t.waits_in << " at " << t.wait_site;
            }
            for (const auto& unit : units_) {
                if (unit && !t.exited) {
                    where << unit->describe_wait(t);
                }
            }
            ++groups.try_emplace(where.str(), 0, t.id).first->second.first;
        }
        std::string text = "deadlock:";
        for (const auto& [where, threads] : groups) {
            text += ' ' + std::to_string(threads.first) + " threads (first " +
                    std::to_string(threads.second) + ") " + where + ';';
        }
        return text;
    }

    static inline thread_local constinit Thread* t_self = nullptr;

    const Launch& launch_;
    const std::function<void()>& body_;
    Fiber main_;
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::array<Barrier, kBarriers> barriers_;
    StackPool stacks_;
    SharedMemory shared_;
    RaceDetector races_;
    std::array<std::unique_ptr<Unit>, kUnits> units_;
    Dim3 block_index_;
    std::uint32_t ready_warps_ = 0;
    std::size_t running_ = 0;
    unsigned warp_ = 0, agents_ = 0;
    std::uint64_t random_ = 0;
    std::exception_ptr error_;
};

}  // namespace fla::emu
