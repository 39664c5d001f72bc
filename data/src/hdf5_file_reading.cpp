// The reading half of Hdf5File.
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "hdf5_file.h"

namespace flagen::data {
namespace {

constexpr std::uint64_t kMaxReadBytes = std::uint64_t{1} << 36;
constexpr std::uint64_t kMaxDeflateRatio = 1100;  // zlib's bound is 1032

std::string without_padding(const char* text, std::size_t size) {
    return std::string(text, strnlen(text, size));
}

}  // namespace

Hdf5Handle Hdf5File::open_dataset(const std::string& name, std::vector<hsize_t>& dims,
                                  int rank) const {
    const std::string action = "cannot read";
    const auto refuse = [&](const std::string& why) {
        throw_user_error(UserFault::kInputFile, path_, ": ", name, ": ", why);
    };
    H5L_info_t link;
    check(H5Lget_info(file_.get(), name.c_str(), &link, H5P_DEFAULT), name, "dataset is absent");
    if (link.type != H5L_TYPE_HARD) {
        refuse("is a link to elsewhere, which flagen never writes");
    }
    Hdf5Handle dataset(check_id(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), name, action),
                       &H5Dclose);
    const Hdf5Handle creation(check_id(H5Dget_create_plist(dataset.get()), name, action),
                              &H5Pclose);
    if (H5Pget_layout(creation.get()) != H5D_CHUNKED) {
        refuse("is not stored in chunks of this file, as flagen writes it");
    }
    const Hdf5Handle space(check_id(H5Dget_space(dataset.get()), name, action), &H5Sclose);
    if (H5Sget_simple_extent_ndims(space.get()) != rank) {
        refuse("has " + std::to_string(H5Sget_simple_extent_ndims(space.get())) +
               " dimensions, expected " + std::to_string(rank));
    }
    dims.assign(static_cast<std::size_t>(rank), 0);
    H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
    const Hdf5Handle type(check_id(H5Dget_type(dataset.get()), name, action), &H5Tclose);
    std::uint64_t num_bytes = H5Tget_size(type.get());
    for (const hsize_t dim : dims) {
        if (dim == 0 || num_bytes == 0 || dim > kMaxReadBytes / num_bytes) {
            refuse("has an impossible size");
        }
        num_bytes *= dim;
    }
    if (num_bytes / kMaxDeflateRatio > H5Dget_storage_size(dataset.get())) {
        refuse("holds less data than its size says");
    }
    return dataset;
}

void Hdf5File::read_all(const Hdf5Handle& dataset, const std::string& name, hid_t type,
                        void* data) const {
    check(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), name,
          "cannot read (damaged data?)");
}

std::vector<std::string> Hdf5File::read_strings(const std::string& name) const {
    const std::lock_guard lock(hdf5_mutex());
    std::vector<hsize_t> dims;
    const Hdf5Handle dataset = open_dataset(name, dims, 1);
    const Hdf5Handle type(check_id(H5Dget_type(dataset.get()), name, "cannot read"), &H5Tclose);
    FLAGEN_USER_CHECK(UserFault::kInputFile,
                      H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0,
                      path_, ": ", name, ": expected fixed-length strings");
    const std::size_t width = H5Tget_size(type.get());
    std::vector<char> padded(width * static_cast<std::size_t>(dims[0]));
    read_all(dataset, name, type.get(), padded.data());
    std::vector<std::string> values;
    values.reserve(static_cast<std::size_t>(dims[0]));
    for (std::size_t i = 0; i < dims[0]; ++i) {
        values.push_back(without_padding(padded.data() + i * width, width));
    }
    return values;
}

std::vector<std::int64_t> Hdf5File::read_int64(const std::string& name) const {
    const std::lock_guard lock(hdf5_mutex());
    std::vector<hsize_t> dims;
    const Hdf5Handle dataset = open_dataset(name, dims, 1);
    std::vector<std::int64_t> values(static_cast<std::size_t>(dims[0]));
    read_all(dataset, name, H5T_NATIVE_INT64, values.data());
    return values;
}

std::vector<std::uint8_t> Hdf5File::read_uint8(const std::string& name) const {
    const std::lock_guard lock(hdf5_mutex());
    std::vector<hsize_t> dims;
    const Hdf5Handle dataset = open_dataset(name, dims, 1);
    std::vector<std::uint8_t> values(static_cast<std::size_t>(dims[0]));
    read_all(dataset, name, H5T_NATIVE_UINT8, values.data());
    return values;
}

std::vector<float> Hdf5File::read_matrix(const std::string& name, std::int64_t rows,
                                         std::int64_t columns) const {
    const std::lock_guard lock(hdf5_mutex());
    std::vector<hsize_t> dims;
    const Hdf5Handle dataset = open_dataset(name, dims, 2);
    FLAGEN_USER_CHECK(
        UserFault::kInputFile,
        dims[0] == static_cast<hsize_t>(rows) && dims[1] == static_cast<hsize_t>(columns), path_,
        ": ", name, ": is ", dims[0], " x ", dims[1], ", expected ", rows, " x ", columns);
    std::vector<float> values(static_cast<std::size_t>(rows * columns));
    read_all(dataset, name, H5T_NATIVE_FLOAT, values.data());
    return values;
}

AttributeValue Hdf5File::read_attribute(const std::string& name) const {
    const std::string object = "attribute " + name;
    const std::string action = "cannot read";
    const Hdf5Handle attribute(
        check_id(H5Aopen(file_.get(), name.c_str(), H5P_DEFAULT), object, action), &H5Aclose);
    const Hdf5Handle type(check_id(H5Aget_type(attribute.get()), object, action), &H5Tclose);
    const Hdf5Handle space(check_id(H5Aget_space(attribute.get()), object, action), &H5Sclose);
    FLAGEN_USER_CHECK(UserFault::kInputFile, H5Sget_simple_extent_npoints(space.get()) == 1, path_,
                      ": ", object, ": expected one value");
    switch (H5Tget_class(type.get())) {
        case H5T_STRING: {
            FLAGEN_USER_CHECK(UserFault::kInputFile, H5Tis_variable_str(type.get()) == 0, path_,
                              ": ", object, ": expected a fixed-length string");
            std::vector<char> text(H5Tget_size(type.get()));
            check(H5Aread(attribute.get(), type.get(), text.data()), object, action);
            return without_padding(text.data(), text.size());
        }
        case H5T_INTEGER: {
            std::int64_t value = 0;
            check(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), object, action);
            return value;
        }
        case H5T_FLOAT: {
            double value = 0;
            check(H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, &value), object, action);
            return value;
        }
        default:
            throw_user_error(UserFault::kInputFile, path_, ": ", object, ": unexpected type");
    }
}

bool Hdf5File::has(const std::string& name) const {
    const std::lock_guard lock(hdf5_mutex());
    return H5Lexists(file_.get(), name.c_str(), H5P_DEFAULT) > 0;
}

Attributes Hdf5File::read_attributes() const {
    const std::lock_guard lock(hdf5_mutex());
    H5O_info_t info;
    check(H5Oget_info(file_.get(), &info), "file", "cannot read the attributes");
    Attributes attributes;
    for (hsize_t i = 0; i < info.num_attrs; ++i) {
        char name[256] = {};
        const ssize_t length = H5Aget_name_by_idx(file_.get(), ".", H5_INDEX_NAME, H5_ITER_INC, i,
                                                  name, sizeof(name), H5P_DEFAULT);
        FLAGEN_USER_CHECK(UserFault::kInputFile,
                          length > 0 && length < static_cast<ssize_t>(sizeof(name)), path_,
                          ": unreadable attribute name");
        attributes.emplace(name, read_attribute(name));
    }
    return attributes;
}

}  // namespace flagen::data
