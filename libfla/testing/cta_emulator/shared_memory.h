// Shared memory of an emulated CTA.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "fiber.h"

namespace fla::emu {

inline constexpr unsigned char kPoisonByte = 0xFF;  // a NaN in bf16, fp16, fp32 and fp64

class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    throw Error(text.str());
}

inline bool same_text(const char* a, const char* b) { return a == b || !std::strcmp(a, b); }

// Where in the kernel a layer function was called.
struct Site {
    const char* file = "";
    int line = 0;
    static constexpr Site current(const char* file = __builtin_FILE(),
                                  int line = __builtin_LINE()) {
        return {file, line};
    }
    bool operator==(const Site& o) const { return line == o.line && same_text(file, o.file); }
    friend std::ostream& operator<<(std::ostream& out, const Site& site) {
        const std::string_view file = site.file;
        return out << file.substr(file.rfind('/') + 1) << ':' << site.line;
    }
};

// The dynamic block and the static ones in one arena, with guard zones between that are poisoned
// for AddressSanitizer. All bytes are NaN bytes at the start of a CTA.
class SharedMemory {
  public:
    explicit SharedMemory(std::size_t dynamic_bytes)
        : size_(round_up(kDynamicBegin + dynamic_bytes) + kStaticRoom),
          storage_(static_cast<std::byte*>(operator new (size_, std::align_val_t{kAlign}))),
          blocks_{{nullptr, kDynamicBegin, dynamic_bytes}} {}
    ~SharedMemory() {
        unpoison(storage_, size_);
        operator delete (storage_, std::align_val_t{kAlign});
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    void reset() {
        unpoison(storage_, size_);
        std::memset(storage_, kPoisonByte, size_);
        poison(storage_, size_);
        blocks_.resize(1);
        unpoison(storage_ + blocks_[0].begin, blocks_[0].bytes);
    }

    void* dynamic(std::size_t bytes) const {
        if (bytes > blocks_[0].bytes) {
            fail("the kernel uses ", bytes, " bytes of dynamic shared memory, the launch gives ",
                 blocks_[0].bytes);
        }
        return storage_ + blocks_[0].begin;
    }

    // The block of the declaration `key`, made by the first thread that gets there.
    void* static_block(const void* key, std::size_t bytes) {
        for (const Block& b : blocks_) {
            if (b.key == key) {
                return storage_ + b.begin;
            }
        }
        const std::size_t begin = round_up(blocks_.back().begin + blocks_.back().bytes) + kGuard;
        if (begin + bytes + kGuard > size_) {
            fail("too much static shared memory");
        }
        blocks_.push_back({key, begin, bytes});
        unpoison(storage_ + begin, bytes);
        return storage_ + begin;
    }

    std::size_t size() const { return size_; }
    std::size_t offset(const void* p) const { return std::uintptr_t(p) - std::uintptr_t(storage_); }
    std::byte* pointer(std::size_t offset) const { return storage_ + offset; }
    bool in_arena(const void* p) const { return offset(p) < size_; }
    bool in_block(const void* p, std::size_t bytes) const {
        return std::any_of(blocks_.begin(), blocks_.end(), [&, at = offset(p)](const Block& b) {
            return at >= b.begin && at + bytes <= b.begin + b.bytes;
        });
    }

  private:
    struct Block {
        const void* key;
        std::size_t begin, bytes;
    };
    // The dynamic block is as aligned as on the device, not more.
    static constexpr std::size_t kAlign = 2048, kGuard = 4096, kDynamicBegin = kGuard + kAlign / 2;
    static constexpr std::size_t kStaticRoom = 128 << 10;
    static constexpr std::size_t round_up(std::size_t n) {
        return (n + kAlign - 1) / kAlign * kAlign;
    }

    std::size_t size_;
    std::byte* storage_;
    std::vector<Block> blocks_;
};

}  // namespace fla::emu
