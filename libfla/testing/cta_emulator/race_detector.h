// The detector of races on the shared memory of an emulated CTA.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shared_memory.h"

namespace fla::emu {

// The copy kinds are of cp.async, the async kinds of what the asynchronous proxy does (bulk copies
// and wgmma).
enum class Access { kRead, kWrite, kCopyIssue, kCopyDone, kAsyncRead, kAsyncWrite };

// Agents are the threads, by their ids, and what works beside them: an mbarrier for the bulk loads
// that complete on it, a warp group for its wgmmas, a thread for its bulk stores. An agent counts
// epochs. A clock holds the latest epoch of each agent that a thread knows to be over.
class Clock {
  public:
    using Epochs = std::vector<std::uint32_t>;
    Clock() = default;
    Clock(std::size_t agents, unsigned self) : seen_(agents) { seen_[self] = 1; }

    bool knows(unsigned agent, std::uint32_t epoch) const { return at(seen_, agent) >= epoch; }
    bool knows_fenced(unsigned agent, std::uint32_t epoch) const {
        return at(fenced_, agent) >= epoch;
    }
    std::uint32_t epoch(unsigned agent) const { return at(seen_, agent); }

    void merge(const Clock& o) {
        raise(seen_, o.seen_);
        raise(fenced_, o.fenced_);
    }
    void learn(unsigned agent, std::uint32_t epoch) {
        if (seen_.size() <= agent) {
            seen_.resize(agent + 1);
        }
        seen_[agent] = std::max(seen_[agent], epoch);
    }
    void advance(unsigned self) { ++seen_[self]; }
    // What is over for the generic proxy is now over for the asynchronous one.
    void fence(unsigned self) {
        raise(fenced_, seen_);
        advance(self);
    }
    void keep_common(const Clock& o) {
        lower(seen_, o.seen_);
        lower(fenced_, o.fenced_);
    }

  private:
    static std::uint32_t at(const Epochs& x, unsigned i) { return i < x.size() ? x[i] : 0; }
    static void raise(Epochs& x, const Epochs& by) {
        if (x.size() < by.size()) {
            x.resize(by.size());
        }
        for (std::size_t i = 0; i < by.size(); ++i) {
            x[i] = std::max(x[i], by[i]);
        }
    }
    static void lower(Epochs& x, const Epochs& by) {
        if (x.size() > by.size()) {
            x.resize(by.size());
        }
        for (std::size_t i = 0; i < x.size(); ++i) {
            x[i] = std::min(x[i], by[i]);
        }
    }

    Epochs seen_;    // ordered before what the thread does
    Epochs fenced_;  // and with a proxy fence between
};

// Who accesses: the agent in its epoch, the thread that issued it, and what that thread knows.
struct Actor {
    unsigned agent, thread;
    std::uint32_t epoch;
    const Clock& clock;
};

// Checks by vector clocks that accesses of different agents are ordered, and that a proxy fence
// lies between a plain write and an access of the asynchronous proxy. A cell keeps the last write
// and the last reads by two agents, so a race can be missed, but none is invented.
class RaceDetector {
  public:
    void reset(std::size_t bytes) { cells_.assign(bytes / kCellBytes, Cell{}); }

    void record(const Actor& who, std::size_t offset, std::size_t bytes, Access kind, Site site) {
        const Entry now{who.epoch, std::uint16_t(who.agent), std::uint16_t(who.thread), kind, site};
        for (std::size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; ++i) {
            Cell& cell = cells_[i];
            check(cell.write, who, kind, site);
            if (kind == Access::kRead || kind == Access::kAsyncRead) {
                if (cell.reads[0].agent != now.agent) {
                    cell.reads[1] = cell.reads[0];
                }
                cell.reads[0] = now;
            } else {
                for (const Entry& read : cell.reads) {
                    check(read, who, kind, site);
                }
                cell = {now, {}};
            }
        }
    }

  private:
    static constexpr std::size_t kCellBytes = 2;  // the smallest element type in use
    struct Entry {
        std::uint32_t epoch = 0;  // 0: none yet
        std::uint16_t agent = 0, thread = 0;
        Access kind = Access::kRead;
        Site site;
    };
    struct Cell {
        Entry write;
        std::array<Entry, 2> reads;
    };

    static void check(const Entry& before, const Actor& who, Access kind, Site site) {
        if (before.epoch == 0) {
            return;
        }
        const bool async = kind == Access::kAsyncRead || kind == Access::kAsyncWrite;
        const char* missing = nullptr;
        if (before.kind == Access::kCopyIssue && kind != Access::kCopyDone) {
            missing = "wait for the copy";
        } else if (!who.clock.knows(before.agent, before.epoch)) {
            missing = before.kind == Access::kAsyncWrite  ? "wait for its mbarrier"
                      : before.kind == Access::kAsyncRead ? "wait for the end of the reading"
                                                          : "barrier";
        } else if (async && (before.kind == Access::kWrite || before.kind == Access::kCopyDone) &&
                   !who.clock.knows_fenced(before.agent, before.epoch)) {
            missing = "fence_proxy_async";
        }
        if (!missing) {
            return;
        }
        static constexpr const char* kDoes[] = {
            " reads",           " writes", " copies to", " copies to", " reads (asynchronously)",
            " loads in bulk to"};
        static constexpr const char* kDid[] = {" read",
                                               " wrote",
                                               " copies to",
                                               " wrote",
                                               " reads (asynchronously)",
                                               " loads in bulk to"};
        fail("race: thread ", who.thread, kDoes[int(kind)], " shared memory at ", site, ", thread ",
             before.thread, kDid[int(before.kind)], " it at ", before.site, ", no ", missing,
             " between");
    }

    std::vector<Cell> cells_;
};

}  // namespace fla::emu
