#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <unordered_set>

#include "flagen/error.h"
#include "hts_handles.h"
#include "variant_index.h"

namespace flagen::genomics {
namespace {

constexpr std::size_t kMaxIndexBytes = std::size_t{1} << 30;
constexpr std::uint32_t kTabixMinShift = 14;
constexpr std::uint32_t kTabixDepth = 5;
constexpr std::uint32_t kMaxMinShift = 30;
constexpr std::uint32_t kMaxDepth = 9;         // HTSlib numbers bins with 32-bit integers.
constexpr std::uint64_t kChunkBytes = 16;      // Begin and end, two virtual offsets.
constexpr std::uint64_t kTabixConfBytes = 28;  // Format, columns, skipped lines, size of names.

std::string read_index(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    FLAGEN_USER_CHECK(UserFault::kInputFile, descriptor >= 0, "cannot open the index: ", path, " (",
                      std::strerror(errno), ")");
    const BgzfHandle file(bgzf_dopen(descriptor, "r"));
    std::string bytes;
    std::string block(std::size_t{1} << 16, '\0');
    while (file != nullptr && bytes.size() <= kMaxIndexBytes) {
        const ssize_t got = bgzf_read(file.get(), block.data(), block.size());
        if (got < 0 || file->errcode != 0) {
            return {};
        }
        if (got == 0) {
            return bytes;
        }
        bytes.append(block, 0, static_cast<std::size_t>(got));
    }
    return {};
}

/// Walks over an index; every step says whether the bytes were there.
class IndexScan {
  public:
    IndexScan(std::string_view bytes, std::uint64_t file_bytes)
        : rest_(bytes), file_bytes_(file_bytes) {}

    [[nodiscard]] bool sound() {
        if (rest_.starts_with("TBI\1")) {
            std::uint32_t name_bytes = 0;
            return skip(4) && take(num_contigs_) && skip(kTabixConfBytes - 4) && take(name_bytes) &&
                   skip(name_bytes) && contigs_sound(kTabixMinShift, kTabixDepth, false);
        }
        std::uint32_t min_shift = 0;
        std::uint32_t depth = 0;
        std::uint32_t meta_bytes = 0;
        return rest_.starts_with("CSI\1") && skip(4) && take(min_shift) && take(depth) &&
               take(meta_bytes) && meta_sound(meta_bytes) && take(num_contigs_) &&
               contigs_sound(min_shift, depth, true);
    }

  private:
    [[nodiscard]] bool skip(std::uint64_t size) {
        if (size > rest_.size()) {
            return false;
        }
        rest_.remove_prefix(size);
        return true;
    }

    template <typename Value>
    [[nodiscard]] bool take(Value& value) {
        const std::string_view bytes = rest_;
        if (!skip(sizeof(value))) {
            return false;
        }
        std::memcpy(&value, bytes.data(), sizeof(value));
        return true;
    }

    // `count` virtual offsets, whose upper 48 bits are a place in the file.
    [[nodiscard]] bool offsets_sound(std::uint64_t count) {
        if (count > rest_.size() / sizeof(std::uint64_t)) {
            return false;
        }
        for (std::uint64_t offset = 0; count > 0; --count) {
            if (!take(offset) || offset >> 16 > file_bytes_) {
                return false;
            }
        }
        return true;
    }

    // In a .csi of a text file the names lie in the free part, after tabix's settings.
    [[nodiscard]] bool meta_sound(std::uint32_t size) {
        const std::string_view meta = rest_;
        if (!skip(size)) {
            return false;
        }
        if (size < kTabixConfBytes) {
            return size == 0;
        }
        std::uint32_t name_bytes = 0;
        std::memcpy(&name_bytes, meta.data() + kTabixConfBytes - sizeof(name_bytes),
                    sizeof(name_bytes));
        return name_bytes <= size - kTabixConfBytes;
    }

    [[nodiscard]] bool contigs_sound(std::uint32_t min_shift, std::uint32_t depth, bool csi) {
        if (min_shift == 0 || min_shift > kMaxMinShift || depth > kMaxDepth) {
            return false;
        }
        const std::uint32_t num_bins = ((std::uint32_t{1} << (3 * depth + 3)) - 1) / 7;
        for (std::uint32_t i = 0; i < num_contigs_; ++i) {
            std::uint32_t num_offsets = 0;
            if (!bins_sound(num_bins, csi) ||
                (!csi && !(take(num_offsets) && offsets_sound(num_offsets)))) {
                return false;
            }
        }
        return true;
    }

    [[nodiscard]] bool bins_sound(std::uint32_t num_bins, bool csi) {
        const std::uint32_t statistics_bin = num_bins + 1;  // Two pairs, of offsets and of counts.
        std::uint32_t count = 0;
        if (!take(count) || count > statistics_bin + 1) {
            return false;
        }
        seen_.clear();
        for (std::uint32_t i = 0; i < count; ++i) {
            std::uint32_t bin = 0;
            std::uint32_t num_chunks = 0;
            const bool read = take(bin) && (!csi || offsets_sound(1)) && take(num_chunks);
            if (!read || bin > statistics_bin || !seen_.insert(bin).second) {
                return false;
            }
            if (bin == statistics_bin ? num_chunks != 2 || !skip(2 * kChunkBytes)
                                      : !offsets_sound(std::uint64_t{num_chunks} * 2)) {
                return false;
            }
        }
        return true;
    }

    std::string_view rest_;
    std::uint64_t file_bytes_;
    std::uint32_t num_contigs_ = 0;
    std::unordered_set<std::uint32_t> seen_;
};

}  // namespace

void check_variant_index(const std::string& path, const std::string& index_path,
                         const std::string& remedy) {
    const std::string bytes = read_index(index_path);
    const std::uintmax_t file_bytes = std::filesystem::file_size(path);
    FLAGEN_USER_CHECK(UserFault::kInputFile, IndexScan(bytes, file_bytes).sound(),
                      "index is damaged, another file's, or not that of a VCF: ", index_path,
                      "; make it again: ", remedy);
}

}  // namespace flagen::genomics
