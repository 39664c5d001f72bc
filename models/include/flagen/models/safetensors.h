#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace flagen::models {

/// Element types that flagen reads and writes; the names in the file are "F32", "BF16", ...
enum class TensorDtype {
    kBool,
    kUint8,
    kInt8,
    kInt16,
    kInt32,
    kInt64,
    kFloat16,
    kBFloat16,
    kFloat32,
    kFloat64,
};

[[nodiscard]] std::string_view dtype_name(TensorDtype dtype);  ///< "F32"
[[nodiscard]] std::size_t dtype_bytes(TensorDtype dtype);      ///< bytes of one element

/// One tensor of a file: row-major, little-endian.
struct TensorEntry {
    std::string name;
    TensorDtype dtype = TensorDtype::kFloat32;
    std::vector<std::int64_t> shape;  ///< empty for a scalar
    std::uint64_t begin_bytes = 0;    ///< from the start of the data part
    std::uint64_t end_bytes = 0;
};

/// Strict reader of a .safetensors file.
///
/// Format (huggingface/safetensors, README.md, "Format"): u64 N; N bytes of JSON, space-padded,
/// {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {text: text}}; the
/// data. Refused, with all faults of the header in one message: N past the file or past
/// 100,000,000; a header that is no strict JSON object (json_object.h) or holds other keys; an
/// unknown dtype; a negative size or a product past 2^63; a length that differs from shape x
/// element size; gaps, overlaps, and data that end before or after the file. Scalars and empty
/// tensors are legal.
///
/// The format has no checksum: a flipped bit in the data is not seen here. Checkpoints add one.
class SafetensorsReader {
  public:
    /// @throws UserError (kInputFile) naming the file and what is wrong with it.
    explicit SafetensorsReader(const std::string& path);
    ~SafetensorsReader();
    SafetensorsReader(const SafetensorsReader&) = delete;
    SafetensorsReader& operator=(const SafetensorsReader&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    /// In the order of their data.
    [[nodiscard]] const std::vector<TensorEntry>& tensors() const { return tensors_; }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
    /// Copies the data of one entry of this file to `destination`, end_bytes - begin_bytes long.
    /// @throws UserError (kInputFile) if the file became shorter or cannot be read.
    void read(const TensorEntry& entry, void* destination) const;

  private:
    void parse_header(std::string_view header, std::uint64_t data_bytes);
    void check_layout(std::uint64_t data_bytes);

    std::string path_;
    int descriptor_ = -1;
    std::uint64_t data_start_ = 0;
    std::vector<TensorEntry> tensors_;
    std::map<std::string, std::string> metadata_;
};

/// A tensor to write. `data` is borrowed: row-major, little-endian, as long as shape and dtype say.
struct TensorSource {
    std::string name;
    TensorDtype dtype = TensorDtype::kFloat32;
    std::vector<std::int64_t> shape;
    const void* data = nullptr;
};

/// Receives the bytes of a file in order.
using ByteSink = std::function<void(const void* data, std::size_t num_bytes)>;

/// Writes the file's bytes to `sink`. Tensors are ordered by falling element size, then name, so
/// that each one is aligned; the same tensors give the same bytes, whatever their order here.
/// @throws Error if two tensors share a name, or a name or a metadata text is not UTF-8.
void write_safetensors(std::vector<TensorSource> tensors,
                       const std::map<std::string, std::string>& metadata, const ByteSink& sink);

}  // namespace flagen::models
