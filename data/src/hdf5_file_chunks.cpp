// Chunks of Hdf5File that are encoded and decoded outside of the library.
#include <mutex>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "hdf5_file.h"

namespace flagen::data {
namespace {

std::vector<hsize_t> as_sizes(const std::vector<std::int64_t>& numbers) {
    return {numbers.begin(), numbers.end()};
}

/// binary16 as numpy's float16: 10 bits of mantissa, 5 of exponent, bias 15.
Hdf5Handle half_type() {
    Hdf5Handle type(H5Tcopy(H5T_IEEE_F32LE), &H5Tclose);
    H5Tset_fields(type.get(), 15, 10, 5, 0, 10);
    H5Tset_size(type.get(), 2);
    H5Tset_ebias(type.get(), 15);
    return type;
}

constexpr std::size_t kMaxChunkBytes = std::size_t{1} << 31;

}  // namespace

void Hdf5File::create_chunked(const std::string& name, ElementType type,
                              const std::vector<std::int64_t>& sizes,
                              const std::vector<std::int64_t>& chunk) {
    const std::lock_guard lock(hdf5_mutex());
    const Hdf5Handle half = half_type();
    Hdf5Handle dataset =
        create_dataset(name, type == ElementType::kFloat16 ? half.get() : H5T_IEEE_F32LE,
                       as_sizes(sizes), as_sizes(chunk), nullptr);
    if (!dataset.reset()) {
        fail(name, "cannot close the dataset");
    }
}

void Hdf5File::write_chunk(const std::string& name, const std::vector<std::int64_t>& offset,
                           std::span<const std::uint8_t> encoded) {
    const std::lock_guard lock(hdf5_mutex());
    const std::string action = "cannot write a chunk";
    Hdf5Handle dataset(check_id(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), name, action),
                       &H5Dclose);
    const std::vector<hsize_t> at = as_sizes(offset);
    check(H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, 0, at.data(), encoded.size(), encoded.data()),
          name, action);
    if (!dataset.reset()) {
        fail(name, action);
    }
}

Hdf5File::ChunkedLayout Hdf5File::chunked_layout(const std::string& name, int rank) const {
    const std::lock_guard lock(hdf5_mutex());
    std::vector<hsize_t> sizes;
    const Hdf5Handle dataset = open_dataset(name, sizes, rank);
    const Hdf5Handle type(check_id(H5Dget_type(dataset.get()), name, "cannot read"), &H5Tclose);
    const Hdf5Handle half = half_type();
    ChunkedLayout layout;
    if (H5Tequal(type.get(), half.get()) > 0) {
        layout.type = ElementType::kFloat16;
    } else {
        FLAGEN_USER_CHECK(UserFault::kInputFile, H5Tequal(type.get(), H5T_IEEE_F32LE) > 0, path_,
                          ": ", name, ": is neither f32 nor f16");
    }
    const Hdf5Handle creation(check_id(H5Dget_create_plist(dataset.get()), name, "cannot read"),
                              &H5Pclose);
    const bool filters_are_ours = H5Pget_nfilters(creation.get()) == 3;
    FLAGEN_USER_CHECK(UserFault::kInputFile, filters_are_ours, path_, ": ", name,
                      ": has other filters than flagen writes");
    std::vector<hsize_t> chunk(sizes.size());
    check(H5Pget_chunk(creation.get(), rank, chunk.data()), name, "cannot read");
    layout.sizes.assign(sizes.begin(), sizes.end());
    layout.chunk.assign(chunk.begin(), chunk.end());
    return layout;
}

std::vector<std::uint8_t> Hdf5File::read_chunk(const std::string& name,
                                               const std::vector<std::int64_t>& offset) const {
    const std::lock_guard lock(hdf5_mutex());
    const std::string action = "cannot read a chunk";
    const Hdf5Handle dataset(
        check_id(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), name, action), &H5Dclose);
    const std::vector<hsize_t> at = as_sizes(offset);
    hsize_t size = 0;
    check(H5Dget_chunk_storage_size(dataset.get(), at.data(), &size), name, action);
    FLAGEN_USER_CHECK(UserFault::kInputFile, size > 0 && size <= kMaxChunkBytes, path_, ": ", name,
                      ": a chunk of ", size, " bytes");
    std::vector<std::uint8_t> encoded(size);
    std::uint32_t skipped_filters = 0;
    check(H5Dread_chunk(dataset.get(), H5P_DEFAULT, at.data(), &skipped_filters, encoded.data()),
          name, action);
    FLAGEN_USER_CHECK(UserFault::kInputFile, skipped_filters == 0, path_, ": ", name,
                      ": a chunk lacks some of its filters");
    return encoded;
}

}  // namespace flagen::data
