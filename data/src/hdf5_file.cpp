#include "hdf5_file.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "flagen/error.h"

namespace flagen::data {
namespace {

constexpr unsigned kDeflateLevel = 4;
constexpr std::int64_t kChunkBytes = std::int64_t{1} << 20;

extern "C" herr_t keep_innermost_reason(unsigned depth, const H5E_error2_t* entry, void* out) {
    if (depth == 0 && entry->desc != nullptr) {
        *static_cast<std::string*>(out) = entry->desc;
    }
    return 0;
}

std::string innermost_reason() {
    std::string reason;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &keep_innermost_reason, &reason);
    if (reason.empty()) {
        reason = "no reason given";
    }
    if (reason.find("lock") != std::string::npos) {
        reason += "; on a file system without locks set HDF5_USE_FILE_LOCKING=BEST_EFFORT";
    }
    return reason;
}

/// Our handles close everything. HDF5's own clean-up at exit walks over files whose closing failed (a
/// full disk) and crashes there (seen with 1.10.8), so it is left out; errors come to us alone.
void prepare_library() {
    static const herr_t no_exit_handler = H5dont_atexit();
    static_cast<void>(no_exit_handler);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Handle string_type(std::size_t size) {
    Hdf5Handle type(H5Tcopy(H5T_C_S1), &H5Tclose);
    H5Tset_size(type.get(), std::max<std::size_t>(size, 1));
    H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
    H5Tset_cset(type.get(), H5T_CSET_UTF8);
    return type;
}

/// Access properties: locks where the file system has them, and a format whose attributes may be
/// larger than 64 KiB.
Hdf5Handle access_properties() {
    Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), &H5Pclose);
    H5Pset_file_locking(access.get(), true, true);
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V110);
    H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
    return access;
}

}  // namespace

std::recursive_mutex& hdf5_mutex() {
    static std::recursive_mutex mutex;
    return mutex;
}

Hdf5Handle::Hdf5Handle(Hdf5Handle&& other) noexcept
    : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}

Hdf5Handle& Hdf5Handle::operator=(Hdf5Handle&& other) noexcept {
    if (this != &other) {
        static_cast<void>(reset());
        id_ = std::exchange(other.id_, H5I_INVALID_HID);
        close_ = other.close_;
    }
    return *this;
}

bool Hdf5Handle::reset() {
    const hid_t id = std::exchange(id_, H5I_INVALID_HID);
    if (id < 0) {
        return true;
    }
    const std::lock_guard lock(hdf5_mutex());
    return close_(id) >= 0;
}

Hdf5File::Hdf5File(std::string path, Hdf5Handle file, bool reading)
    : path_(std::move(path)), file_(std::move(file)), reading_(reading) {}

Hdf5File Hdf5File::create(const std::string& path) {
    const std::lock_guard lock(hdf5_mutex());
    prepare_library();
    const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), &H5Pclose);
    // Without times the same predictions give the same bytes.
    H5Pset_obj_track_times(creation.get(), false);
    const Hdf5Handle access = access_properties();
    Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_EXCL, creation.get(), access.get()), &H5Fclose);
    FLAGEN_USER_CHECK(UserFault::kConfig, file.get() >= 0, "cannot create the HDF5 file: ", path,
                      ": ", innermost_reason());
    return Hdf5File(path, std::move(file), false);
}

Hdf5File Hdf5File::open_for_reading(const std::string& path) {
    const std::lock_guard lock(hdf5_mutex());
    prepare_library();
    H5PLset_loading_state(0);
    FLAGEN_USER_CHECK(UserFault::kInputFile, std::filesystem::exists(path),
                      "HDF5 file does not exist: ", path);
    const Hdf5Handle access = access_properties();
    Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), &H5Fclose);
    FLAGEN_USER_CHECK(UserFault::kInputFile, file.get() >= 0, "not a complete HDF5 file: ", path,
                      ": ", innermost_reason());
    return Hdf5File(path, std::move(file), true);
}

void Hdf5File::fail(const std::string& object, const std::string& action) const {
    const std::string text = path_ + ": " + object + ": " + action + ": " + innermost_reason();
    if (reading_) {
        throw UserError(UserFault::kInputFile, text);
    }
    throw Error(text);
}

hid_t Hdf5File::check_id(hid_t id, const std::string& object, const std::string& action) const {
    if (id < 0) {
        fail(object, action);
    }
    return id;
}

void Hdf5File::check(herr_t status, const std::string& object, const std::string& action) const {
    if (status < 0) {
        fail(object, action);
    }
}

void Hdf5File::create_group(const std::string& name) {
    const std::lock_guard lock(hdf5_mutex());
    const Hdf5Handle creation(H5Pcreate(H5P_GROUP_CREATE), &H5Pclose);
    H5Pset_obj_track_times(creation.get(), false);
    const Hdf5Handle group(
        check_id(H5Gcreate2(file_.get(), name.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                 name, "cannot create the group"),
        &H5Gclose);
}

Hdf5Handle Hdf5File::create_dataset(const std::string& name, hid_t type,
                                    const std::vector<hsize_t>& dims,
                                    const std::vector<hsize_t>& chunk, const float* fill) const {
    const std::string action = "cannot create the dataset";
    const Hdf5Handle space(
        check_id(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), name,
                 action),
        &H5Sclose);
    const Hdf5Handle creation(check_id(H5Pcreate(H5P_DATASET_CREATE), name, action), &H5Pclose);
    const hid_t properties = creation.get();
    check(H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data()), name, action);
    check(H5Pset_shuffle(properties), name, action);
    check(H5Pset_deflate(properties, kDeflateLevel), name, action);
    check(H5Pset_fletcher32(properties), name, action);
    check(H5Pset_obj_track_times(properties, false), name, action);
    if (fill != nullptr) {
        check(H5Pset_fill_value(properties, H5T_NATIVE_FLOAT, fill), name, action);
    }
    return {check_id(H5Dcreate2(file_.get(), name.c_str(), type, space.get(), H5P_DEFAULT,
                                properties, H5P_DEFAULT),
                     name, action),
            &H5Dclose};
}

void Hdf5File::write_vector(const std::string& name, hid_t type, std::size_t element_bytes,
                            std::size_t count, const void* data) {
    const std::lock_guard lock(hdf5_mutex());
    FLAGEN_CHECK(count > 0, "an empty dataset: ", name, " (", path_, ")");
    const auto per_chunk = static_cast<std::size_t>(kChunkBytes) / element_bytes;
    const hsize_t chunk = std::clamp<std::size_t>(per_chunk, 1, count);
    Hdf5Handle dataset = create_dataset(name, type, {count}, {chunk}, nullptr);
    // Every type written here has the same layout in memory, on the little-endian machines we run
    // on.
    check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), name, "cannot write");
    if (!dataset.reset()) {
        fail(name, "cannot close the dataset");
    }
}

void Hdf5File::write_strings(const std::string& name, const std::vector<std::string>& values) {
    const std::lock_guard lock(hdf5_mutex());
    std::size_t width = 1;
    for (const std::string& value : values) {
        FLAGEN_CHECK(value.find('\0') == std::string::npos, "NUL byte in a string of ", name);
        width = std::max(width, value.size());
    }
    std::vector<char> padded(values.size() * width, '\0');
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::copy(values[i].begin(), values[i].end(),
                  padded.begin() + static_cast<std::ptrdiff_t>(i * width));
    }
    const Hdf5Handle type = string_type(width);
    write_vector(name, type.get(), width, values.size(), padded.data());
}

void Hdf5File::write_int64(const std::string& name, const std::vector<std::int64_t>& values) {
    write_vector(name, H5T_STD_I64LE, sizeof(std::int64_t), values.size(), values.data());
}

void Hdf5File::write_uint8(const std::string& name, const std::vector<std::uint8_t>& values) {
    write_vector(name, H5T_STD_U8LE, sizeof(std::uint8_t), values.size(), values.data());
}

void Hdf5File::write_uint16(const std::string& name, const std::vector<std::uint16_t>& values) {
    write_vector(name, H5T_STD_U16LE, sizeof(std::uint16_t), values.size(), values.data());
}

std::int64_t Hdf5File::rows_per_chunk(std::int64_t columns) {
    const auto row_bytes = static_cast<std::int64_t>(sizeof(float)) * columns;
    return std::max<std::int64_t>(kChunkBytes / row_bytes, 1);
}

void Hdf5File::create_matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    const std::lock_guard lock(hdf5_mutex());
    FLAGEN_CHECK(rows > 0 && columns > 0, name, " of ", rows, " x ", columns, " (", path_, ")");
    const float fill = std::numeric_limits<float>::quiet_NaN();
    const std::int64_t chunk_rows = std::min(rows, rows_per_chunk(columns));
    Hdf5Handle dataset = create_dataset(
        name, H5T_IEEE_F32LE, {static_cast<hsize_t>(rows), static_cast<hsize_t>(columns)},
        {static_cast<hsize_t>(chunk_rows), static_cast<hsize_t>(columns)}, &fill);
    if (!dataset.reset()) {
        fail(name, "cannot close the dataset");
    }
}

void Hdf5File::write_rows(const std::string& name, std::int64_t first_row, std::int64_t num_rows,
                          std::int64_t columns, std::span<const float> values) {
    const std::lock_guard lock(hdf5_mutex());
    const std::string action = "cannot write rows from " + std::to_string(first_row);
    FLAGEN_CHECK_EQ(static_cast<std::int64_t>(values.size()), num_rows * columns, name);
    Hdf5Handle dataset(check_id(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), name, action),
                       &H5Dclose);
    const Hdf5Handle space(check_id(H5Dget_space(dataset.get()), name, action), &H5Sclose);
    const hsize_t start[2] = {static_cast<hsize_t>(first_row), 0};
    const hsize_t count[2] = {static_cast<hsize_t>(num_rows), static_cast<hsize_t>(columns)};
    check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start, nullptr, count, nullptr), name,
          action);
    const Hdf5Handle memory(check_id(H5Screate_simple(2, count, nullptr), name, action), &H5Sclose);
    check(H5Dwrite(dataset.get(), H5T_NATIVE_FLOAT, memory.get(), space.get(), H5P_DEFAULT,
                   values.data()),
          name, action);
    if (!dataset.reset()) {  // chunks reach the file when the dataset closes
        fail(name, action);
    }
}

void Hdf5File::write_attribute(const std::string& name, const AttributeValue& value) {
    const std::lock_guard lock(hdf5_mutex());
    const std::string object = "attribute " + name;
    const std::string action = "cannot write";
    const Hdf5Handle space(check_id(H5Screate(H5S_SCALAR), object, action), &H5Sclose);
    const auto write = [&](hid_t type, const void* data) {
        Hdf5Handle attribute(check_id(H5Acreate2(file_.get(), name.c_str(), type, space.get(),
                                                 H5P_DEFAULT, H5P_DEFAULT),
                                      object, action),
                             &H5Aclose);
        check(H5Awrite(attribute.get(), type, data), object, action);
        if (!attribute.reset()) {
            fail(object, action);
        }
    };
    if (const auto* text = std::get_if<std::string>(&value)) {
        FLAGEN_CHECK(text->find('\0') == std::string::npos, "NUL byte in ", object);
        const Hdf5Handle type = string_type(text->size());
        write(type.get(), text->c_str());
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        write(H5T_STD_I64LE, number);
    } else {
        write(H5T_IEEE_F64LE, &std::get<double>(value));
    }
}

void Hdf5File::flush_and_close() {
    const std::lock_guard lock(hdf5_mutex());
    check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "file", "cannot flush");
    if (!file_.reset()) {
        fail("file", "cannot close");
    }
}

}  // namespace flagen::data
