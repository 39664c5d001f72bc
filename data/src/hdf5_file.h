#pragma once

#include <hdf5.h>

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "chunk_codec.h"
#include "flagen/data/prediction_store.h"

namespace flagen::data {

/// Owns one HDF5 identifier of any kind. Move-only; the destructor closes and ignores failures, so
/// where a failed close means lost data close() is called.
class Hdf5Handle {
  public:
    using CloseFunction = herr_t (*)(hid_t);

    Hdf5Handle() = default;
    Hdf5Handle(hid_t id, CloseFunction close) : id_(id), close_(close) {}
    ~Hdf5Handle() { static_cast<void>(reset()); }
    Hdf5Handle(Hdf5Handle&& other) noexcept;
    Hdf5Handle& operator=(Hdf5Handle&& other) noexcept;
    Hdf5Handle(const Hdf5Handle&) = delete;
    Hdf5Handle& operator=(const Hdf5Handle&) = delete;

    [[nodiscard]] hid_t get() const { return id_; }
    /// Closes now; whether that went well.
    [[nodiscard]] bool reset();

  private:
    hid_t id_ = H5I_INVALID_HID;
    CloseFunction close_ = nullptr;
};

/// The library is built without thread safety in the distributions, so one lock is held for every
/// call into it. Recursive: functions of Hdf5File use each other.
[[nodiscard]] std::recursive_mutex& hdf5_mutex();

/// One HDF5 file, written once or read. Several files may be used by several threads. Every call is
/// checked; the library's own printing of its error stack is off, and the innermost reason goes
/// into the exception's text.
///
/// Writing: `path` is made new. Failures throw Error.
/// Reading: failures throw UserError (kInputFile).
class Hdf5File {
  public:
    [[nodiscard]] static Hdf5File create(const std::string& path);
    [[nodiscard]] static Hdf5File open_for_reading(const std::string& path);

    void create_group(const std::string& name);

    /// Whole one-dimensional datasets. Strings become fixed-length, null-padded UTF-8.
    void write_strings(const std::string& name, const std::vector<std::string>& values);
    void write_int64(const std::string& name, const std::vector<std::int64_t>& values);
    void write_uint8(const std::string& name, const std::vector<std::uint8_t>& values);
    void write_uint16(const std::string& name, const std::vector<std::uint16_t>& values);

    /// Rows of a float32 matrix that one chunk (about 1 MiB) holds; writing whole chunks costs
    /// least.
    [[nodiscard]] static std::int64_t rows_per_chunk(std::int64_t columns);
    /// A float32 matrix filled with NaN, in chunks of whole rows, to be filled by blocks of rows.
    void create_matrix(const std::string& name, std::int64_t rows, std::int64_t columns);
    void write_rows(const std::string& name, std::int64_t first_row, std::int64_t num_rows,
                    std::int64_t columns, std::span<const float> values);

    /// A dataset in chunks of exactly the sizes given, with the filters of encode_chunk(), to be
    /// filled by write_chunk(). `chunk` need not divide `sizes`; each chunk is written whole.
    void create_chunked(const std::string& name, ElementType type,
                        const std::vector<std::int64_t>& sizes,
                        const std::vector<std::int64_t>& chunk);
    /// `offset` is the position of the chunk's first element; `encoded` is from encode_chunk().
    void write_chunk(const std::string& name, const std::vector<std::int64_t>& offset,
                     std::span<const std::uint8_t> encoded);

    /// Whether the root group has an object of that name.
    [[nodiscard]] bool has(const std::string& name) const;

    /// Attributes of the root group.
    void write_attribute(const std::string& name, const AttributeValue& value);

    [[nodiscard]] std::vector<std::string> read_strings(const std::string& name) const;
    [[nodiscard]] std::vector<std::int64_t> read_int64(const std::string& name) const;
    [[nodiscard]] std::vector<std::uint8_t> read_uint8(const std::string& name) const;
    /// Row-major values of a matrix that must have exactly these sizes.
    [[nodiscard]] std::vector<float> read_matrix(const std::string& name, std::int64_t rows,
                                                 std::int64_t columns) const;
    [[nodiscard]] Attributes read_attributes() const;

    struct ChunkedLayout {
        ElementType type = ElementType::kFloat32;
        std::vector<std::int64_t> sizes;
        std::vector<std::int64_t> chunk;
    };
    /// Sizes of a dataset that create_chunked() made, of `rank` dimensions.
    [[nodiscard]] ChunkedLayout chunked_layout(const std::string& name, int rank) const;
    /// Bytes of one chunk as write_chunk() took them, for decode_chunk().
    [[nodiscard]] std::vector<std::uint8_t> read_chunk(
        const std::string& name, const std::vector<std::int64_t>& offset) const;

    /// Hands the data to the system and closes. @throws Error if either fails (a full disk may show
    /// only here).
    void flush_and_close();

  private:
    Hdf5File(std::string path, Hdf5Handle file, bool reading);

    [[noreturn]] void fail(const std::string& object, const std::string& action) const;
    hid_t check_id(hid_t id, const std::string& object, const std::string& action) const;
    void check(herr_t status, const std::string& object, const std::string& action) const;

    Hdf5Handle create_dataset(const std::string& name, hid_t type, const std::vector<hsize_t>& dims,
                              const std::vector<hsize_t>& chunk, const float* fill) const;
    void write_vector(const std::string& name, hid_t type, std::size_t element_bytes,
                      std::size_t count, const void* data);
    Hdf5Handle open_dataset(const std::string& name, std::vector<hsize_t>& dims, int rank) const;
    void read_all(const Hdf5Handle& dataset, const std::string& name, hid_t type, void* data) const;
    AttributeValue read_attribute(const std::string& name) const;

    std::string path_;
    Hdf5Handle file_;
    bool reading_ = false;
};

}  // namespace flagen::data
