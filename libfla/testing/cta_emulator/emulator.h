// CTA emulator: runs a kernel written over device_layer.h on the CPU.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cta.h"

namespace fla::emu {

// Runs kernel(args...) in every thread of the grid; throws the first error of a CTA.
template <class... Params, class... Args>
void launch(const Launch& config, void (*kernel)(Params...), Args... args) {
    if (config.block.size() == 0 || config.block.size() > 1024) {
        fail("bad block size");
    }
    if (config.dynamic_smem_bytes > 227 * 1024) {
        fail("too much dynamic shared memory");
    }
    const std::function<void()> body = [&] { kernel(args...); };
    std::atomic<std::size_t> next{0};
    std::exception_ptr error;
    std::mutex error_mutex;
    const auto work = [&] {
        try {
            Cta cta(config, body);
            for (std::size_t i; (i = next++) < config.grid.size();) {
                cta.run(i);
            }
        } catch (...) {
            next = config.grid.size();
            const std::lock_guard lock(error_mutex);
            if (!error) {
                error = std::current_exception();
            }
        }
    };
    std::vector<std::thread> helpers(std::max(config.workers, 1u) - 1);
    for (std::thread& t : helpers) {
        t = std::thread(work);
    }
    work();
    for (std::thread& t : helpers) {
        t.join();
    }
    if (error) {
        std::rethrow_exception(error);
    }
}

}  // namespace fla::emu
