// Fibers for the CTA emulator: stacks and the switch between them, known to AddressSanitizer.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define FLA_EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLA_EMU_ASAN 1
#endif
#endif
#if defined(FLA_EMU_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fla::emu {

#if defined(FLA_EMU_ASAN)
inline void poison(const void* p, std::size_t bytes) { __asan_poison_memory_region(p, bytes); }
inline void unpoison(const void* p, std::size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
#else
inline void poison(const void*, std::size_t) {}
inline void unpoison(const void*, std::size_t) {}
#endif

#if !defined(__x86_64__)
#error "switch_stack knows only x86-64"
#endif
#if defined(__clang__)
#define FLA_EMU_NAKED __attribute__((naked, noinline))
#else
#define FLA_EMU_NAKED __attribute__((naked, noipa))  // else callers may trust unsaved registers
#endif
// Saves the callee-saved registers on the running stack and its pointer in *save_sp (rdi), then
// restores the same from the stack load_sp (rsi).
FLA_EMU_NAKED inline void switch_stack(void** /*save_sp*/, void* /*load_sp*/) {
    asm("pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15;"
        "movq %rsp, (%rdi);"
        "movq %rsi, %rsp;"
        "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp;"
        "ret");
}

// A suspended flow of control. One that was not prepared stands for the stack of the OS thread.
struct Fiber {
    const void* stack = nullptr;
    std::size_t stack_bytes = 0;
    void* fake_stack = nullptr;  // of AddressSanitizer
    void* sp = nullptr;

    void prepare(void (*entry)()) {  // `entry` must not return
        // Top down: a null return address that ends stack walks, the entry, six zeroed registers.
        auto** const top = reinterpret_cast<void**>(std::uintptr_t(stack) + stack_bytes);
        std::fill(top - 8, top, nullptr);
        top[-2] = reinterpret_cast<void*>(entry);
        sp = top - 8;
    }
};

inline thread_local constinit Fiber* t_previous_fiber = nullptr;

// The first thing to do on the stack of `self` after a switch to it.
inline void finish_switch([[maybe_unused]] Fiber& self) {
#if defined(FLA_EMU_ASAN)
    __sanitizer_finish_switch_fiber(self.fake_stack, &t_previous_fiber->stack,
                                    &t_previous_fiber->stack_bytes);
#endif
}

inline void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool from_ends = false) {
    t_previous_fiber = &from;
#if defined(FLA_EMU_ASAN)
    __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack, to.stack,
                                   to.stack_bytes);
#endif
    switch_stack(&from.sp, to.sp);
    finish_switch(from);
}

// The stacks of a CTA in one mapping, each above an inaccessible page.
class StackPool {
  public:
    StackPool(std::size_t count, std::size_t bytes)
        : stride_((bytes + 2 * kPage - 1) / kPage * kPage), bytes_(stride_ * count) {
        void* const p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) {
            throw std::bad_alloc();
        }
        base_ = static_cast<std::byte*>(p);
        for (std::size_t i = 0; i < count; ++i) {
            mprotect(base_ + i * stride_, kPage, PROT_NONE);
        }
        reset();
    }
    ~StackPool() {
        reset();
        munmap(base_, bytes_);
    }
    StackPool(const StackPool&) = delete;
    StackPool& operator=(const StackPool&) = delete;

    void assign(std::size_t i, Fiber& fiber) const {
        fiber.stack = base_ + i * stride_ + kPage;
        fiber.stack_bytes = stride_ - kPage;
    }
    // Frames that were abandoned leave poison behind; a new user of the stack must not meet it.
    void reset() { unpoison(base_, bytes_); }

  private:
    static constexpr std::size_t kPage = 4096;
    std::size_t stride_, bytes_;
    std::byte* base_;
};

}  // namespace fla::emu
