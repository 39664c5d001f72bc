#include "flagen/models/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::models {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::uint64_t kLargestHeaderBytes = 100'000'000;
constexpr std::size_t kMostDims = 64;
constexpr char kMetadataKey[] = "__metadata__";

struct DtypeRow {
    TensorDtype dtype;
    const char* name;
    std::size_t bytes;
};

constexpr std::array<DtypeRow, 10> kDtypes = {{
    {TensorDtype::kBool, "BOOL", 1},
    {TensorDtype::kUint8, "U8", 1},
    {TensorDtype::kInt8, "I8", 1},
    {TensorDtype::kInt16, "I16", 2},
    {TensorDtype::kInt32, "I32", 4},
    {TensorDtype::kInt64, "I64", 8},
    {TensorDtype::kFloat16, "F16", 2},
    {TensorDtype::kBFloat16, "BF16", 2},
    {TensorDtype::kFloat32, "F32", 4},
    {TensorDtype::kFloat64, "F64", 8},
}};

const DtypeRow& row_of(TensorDtype dtype) {
    for (const DtypeRow& row : kDtypes) {
        if (row.dtype == dtype) {
            return row;
        }
    }
    throw_error("unknown element type: ", static_cast<int>(dtype));
}

/// Bytes of a tensor; nothing if the product does not fit, taken as if empty dimensions were 1 so
/// that no later stride computation can overflow either.
std::optional<std::int64_t> tensor_bytes(const std::vector<std::int64_t>& shape,
                                         std::size_t element_bytes) {
    auto bytes = static_cast<std::int64_t>(element_bytes);
    bool is_empty = false;
    for (const std::int64_t size : shape) {
        is_empty = is_empty || size == 0;
        if (size < 0 || __builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes)) {
            return std::nullopt;
        }
    }
    return is_empty ? 0 : bytes;
}

/// Reads exactly `num_bytes` at `offset`; false if the file ends before.
bool read_exactly(int descriptor, void* destination, std::uint64_t num_bytes,
                  std::uint64_t offset) {
    char* next = static_cast<char*>(destination);
    while (num_bytes > 0) {
        const ssize_t got = ::pread(descriptor, next, std::min<std::uint64_t>(num_bytes, 1U << 30),
                                    static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        next += got;
        num_bytes -= static_cast<std::uint64_t>(got);
        offset += static_cast<std::uint64_t>(got);
    }
    return true;
}

template <typename... Parts>
[[noreturn]] void refuse(const std::string& path, Parts&&... parts) {
    throw_user_error(UserFault::kInputFile, "not a valid safetensors file: ", path, ": ",
                     std::forward<Parts>(parts)...);
}

}  // namespace

std::string_view dtype_name(TensorDtype dtype) { return row_of(dtype).name; }

std::size_t dtype_bytes(TensorDtype dtype) { return row_of(dtype).bytes; }

SafetensorsReader::SafetensorsReader(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    try {
        struct stat status {};
        if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
            throw_user_error(UserFault::kInputFile, "cannot open: ", path, ": ",
                             std::strerror(errno));
        }
        FLAGEN_USER_CHECK(UserFault::kInputFile, S_ISREG(status.st_mode),
                          "not a regular file: ", path);
        const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
        std::uint64_t header_bytes = 0;
        if (file_bytes < sizeof(header_bytes) ||
            !read_exactly(descriptor_, &header_bytes, sizeof(header_bytes), 0)) {
            refuse(path, "shorter than the 8 bytes of its header's length");
        }
        if (header_bytes > kLargestHeaderBytes ||
            header_bytes > file_bytes - sizeof(header_bytes)) {
            refuse(path, "a header of ", header_bytes, " bytes does not fit a file of ",
                   file_bytes);
        }
        std::string header(header_bytes, '\0');
        if (!read_exactly(descriptor_, header.data(), header_bytes, sizeof(header_bytes))) {
            refuse(path, "the header cannot be read");
        }
        data_start_ = sizeof(header_bytes) + header_bytes;
        parse_header(header, file_bytes - data_start_);
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

SafetensorsReader::~SafetensorsReader() { ::close(descriptor_); }

void SafetensorsReader::parse_header(std::string_view header, std::uint64_t data_bytes) {
    if (header.empty() || header.front() != '{') {
        refuse(path_, "the header does not start with {");
    }
    JsonObject root = JsonObject::parse(header, path_, UserFault::kInputFile);
    constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
    for (const std::string& name : root.keys()) {
        JsonObject object = root.get_object(name);
        if (name == kMetadataKey) {
            for (const std::string& key : object.keys()) {
                metadata_[key] = object.require_string(key);
            }
            continue;
        }
        TensorEntry entry;
        entry.name = name;
        const std::string dtype = object.require_string("dtype");
        entry.shape = object.require_ints("shape", 0, kMax);
        const auto offsets = object.require_ints("data_offsets", 0, kMax);
        const auto row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                      [&](const DtypeRow& known) { return known.name == dtype; });
        if (row == kDtypes.end()) {
            object.add_problem("dtype", "unknown element type: \"" + dtype + "\"");
            continue;
        }
        entry.dtype = row->dtype;
        if (offsets.size() != 2 || offsets[0] > offsets[1] || entry.shape.size() > kMostDims) {
            object.add_problem("", "expected data_offsets [begin, end] and at most 64 dimensions");
            continue;
        }
        const auto bytes = tensor_bytes(entry.shape, row->bytes);
        if (!bytes || *bytes != offsets[1] - offsets[0]) {
            object.add_problem("data_offsets", "the length differs from shape x element size");
            continue;
        }
        entry.begin_bytes = static_cast<std::uint64_t>(offsets[0]);
        entry.end_bytes = static_cast<std::uint64_t>(offsets[1]);
        tensors_.push_back(std::move(entry));
    }
    root.finish();
    root.problems().throw_if_any(path_, UserFault::kInputFile);
    check_layout(data_bytes);
}

void SafetensorsReader::check_layout(std::uint64_t data_bytes) {
    std::stable_sort(tensors_.begin(), tensors_.end(), [](const auto& left, const auto& right) {
        return std::pair(left.begin_bytes, left.end_bytes) <
               std::pair(right.begin_bytes, right.end_bytes);
    });
    std::uint64_t reached = 0;
    for (const TensorEntry& entry : tensors_) {
        if (entry.begin_bytes != reached) {
            refuse(path_, "data of \"", entry.name, "\" begin at byte ", entry.begin_bytes,
                   ", but the tensor before ends at ", reached);
        }
        reached = entry.end_bytes;
    }
    if (reached != data_bytes) {
        refuse(path_, "the tensors need ", reached, " bytes of data, the file holds ", data_bytes);
    }
}

void SafetensorsReader::read(const TensorEntry& entry, void* destination) const {
    if (!read_exactly(descriptor_, destination, entry.end_bytes - entry.begin_bytes,
                      data_start_ + entry.begin_bytes)) {
        throw_user_error(UserFault::kInputFile, "cannot read: tensor \"", entry.name, "\" of ",
                         path_);
    }
}

void write_safetensors(std::vector<TensorSource> tensors,
                       const std::map<std::string, std::string>& metadata, const ByteSink& sink) {
    std::sort(tensors.begin(), tensors.end(), [](const auto& left, const auto& right) {
        const auto left_bytes = dtype_bytes(left.dtype);
        const auto right_bytes = dtype_bytes(right.dtype);
        return left_bytes != right_bytes ? left_bytes > right_bytes : left.name < right.name;
    });
    JsonObject header;
    if (!metadata.empty()) {
        JsonObject object = header.set_object(kMetadataKey);
        for (const auto& [key, text] : metadata) {
            object.set(key, text);
        }
    }
    std::set<std::string> names = {kMetadataKey};
    std::vector<std::size_t> lengths;
    std::int64_t reached = 0;
    for (const TensorSource& tensor : tensors) {
        FLAGEN_CHECK(names.insert(tensor.name).second, "tensor name is taken: ", tensor.name);
        const auto bytes = tensor_bytes(tensor.shape, dtype_bytes(tensor.dtype));
        FLAGEN_CHECK(bytes.has_value(), "impossible shape of ", tensor.name);
        FLAGEN_CHECK(tensor.data != nullptr || *bytes == 0, "no data for ", tensor.name);
        JsonObject object = header.set_object(tensor.name);
        object.set("dtype", std::string(dtype_name(tensor.dtype)));
        object.set("shape", tensor.shape);
        object.set("data_offsets", std::vector<std::int64_t>{reached, reached + *bytes});
        reached += *bytes;
        lengths.push_back(static_cast<std::size_t>(*bytes));
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');
    const std::uint64_t header_bytes = text.size();
    sink(&header_bytes, sizeof(header_bytes));
    sink(text.data(), text.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        sink(tensors[i].data, lengths[i]);
    }
}

}  // namespace flagen::models
