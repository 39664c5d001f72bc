#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace flagen::data {

/// Makes items ahead of their use in several threads and hands them out in the order of their
/// tickets, whatever thread finishes first.
///
/// `draw` gives the next ticket, or nothing at the end; it is never called by two threads at once.
/// `make` turns a ticket into an item and runs in any number of threads. At most `depth` items are
/// made or waiting. An exception of either comes out of next() in place of the item, after all
/// items before it; from then on next() throws the same again. Without threads all work is done in
/// next().
template <typename Ticket, typename Item>
class OrderedPrefetcher {
  public:
    using Draw = std::function<std::optional<Ticket>()>;
    using Make = std::function<Item(const Ticket&)>;

    OrderedPrefetcher(Draw draw, Make make, std::size_t num_threads, std::size_t depth)
        : draw_(std::move(draw)), make_(std::move(make)), depth_(depth == 0 ? 1 : depth) {
        threads_.reserve(num_threads);
        try {
            for (std::size_t i = 0; i < num_threads; ++i) {
                threads_.emplace_back([this] { work(); });
            }
        } catch (...) {
            stop();
            throw;
        }
    }

    ~OrderedPrefetcher() { stop(); }
    OrderedPrefetcher(const OrderedPrefetcher&) = delete;
    OrderedPrefetcher& operator=(const OrderedPrefetcher&) = delete;

    /// The next item, or nothing after the last one. One thread at a time.
    std::optional<Item> next() {
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        if (threads_.empty()) {
            return next_without_threads();
        }
        std::unique_lock lock(mutex_);
        item_ready_.wait(lock,
                         [this] { return slots_.empty() ? exhausted_ : slots_.front().ready; });
        if (slots_.empty()) {
            return std::nullopt;
        }
        Slot slot = std::move(slots_.front());
        slots_.pop_front();
        if (slot.failure) {
            failure_ = slot.failure;
            stopping_ = true;
        }
        lock.unlock();
        room_.notify_all();
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        return std::move(slot.item);
    }

  private:
    struct Slot {
        bool ready = false;
        std::optional<Item> item;
        std::exception_ptr failure;
    };

    std::optional<Item> next_without_threads() {
        try {
            const std::optional<Ticket> ticket = draw_();
            return ticket.has_value() ? std::optional<Item>(make_(*ticket)) : std::nullopt;
        } catch (...) {
            failure_ = std::current_exception();
            throw;
        }
    }

    void work() {
        std::unique_lock lock(mutex_);
        while (true) {
            room_.wait(lock, [this] { return stopping_ || exhausted_ || slots_.size() < depth_; });
            if (stopping_ || exhausted_) {
                return;
            }
            std::optional<Ticket> ticket;
            try {
                ticket = draw_();
            } catch (...) {
                slots_.push_back({true, std::nullopt, std::current_exception()});
            }
            if (!ticket.has_value()) {
                exhausted_ = true;
                item_ready_.notify_all();
                room_.notify_all();
                return;
            }
            slots_.emplace_back();
            // Neither push_back nor pop_front of a deque moves its other elements.
            Slot& slot = slots_.back();
            lock.unlock();
            Slot made = make_slot(*ticket);
            lock.lock();
            slot = std::move(made);
            item_ready_.notify_all();
        }
    }

    Slot make_slot(const Ticket& ticket) {
        Slot slot;
        slot.ready = true;
        try {
            slot.item = make_(ticket);
        } catch (...) {
            slot.failure = std::current_exception();
        }
        return slot;
    }

    void stop() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        room_.notify_all();
        for (std::thread& thread : threads_) {
            thread.join();
        }
        threads_.clear();
    }

    const Draw draw_;
    const Make make_;
    const std::size_t depth_;
    std::mutex mutex_;
    std::condition_variable room_;        // a worker may go on
    std::condition_variable item_ready_;  // the front slot may be ready
    std::deque<Slot> slots_;              // in ticket order, the next to hand out in front
    bool exhausted_ = false;
    bool stopping_ = false;
    std::exception_ptr failure_;  // touched by the caller of next() only
    std::vector<std::thread> threads_;
};

}  // namespace flagen::data
