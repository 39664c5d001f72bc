#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace fla {

/// Element types that operators may be handed. Each operator documents which it takes.
enum class DType : std::int8_t { kFloat32, kFloat64, kBFloat16, kFloat16 };

/// Returns the size of one element in bytes.
[[nodiscard]] constexpr std::int64_t size_in_bytes(DType dtype) {
    switch (dtype) {
        case DType::kFloat64:
            return 8;
        case DType::kFloat32:
            return 4;
        default:
            return 2;
    }
}

/// Returns "float32", "float64", "bfloat16" or "float16".
[[nodiscard]] const char* name_of(DType dtype);

inline constexpr int kMaxDims = 5;

/// A view of memory that the caller owns: pointer, element type, sizes and strides in elements.
///
/// Null data means "absent" where an operator says that a tensor is optional. Copying a view copies
/// no elements. `Pointer` is `void*` or `const void*`.
template <typename Pointer>
struct BasicTensorRef {
    Pointer data = nullptr;
    DType dtype = DType::kFloat32;
    int ndim = 0;
    std::array<std::int64_t, kMaxDims> sizes{};
    std::array<std::int64_t, kMaxDims> strides{};

    [[nodiscard]] bool present() const { return data != nullptr; }

    [[nodiscard]] std::int64_t size(int dim) const { return sizes[static_cast<std::size_t>(dim)]; }

    [[nodiscard]] std::int64_t stride(int dim) const {
        return strides[static_cast<std::size_t>(dim)];
    }

    [[nodiscard]] std::int64_t num_elements() const {
        std::int64_t n = 1;
        for (int d = 0; d < ndim; ++d) {
            n *= size(d);
        }
        return n;
    }

    /// Returns "float32 [2, 16, 4, 64]", for messages.
    [[nodiscard]] std::string describe() const {
        std::string text = std::string(name_of(dtype)) + " [";
        for (int d = 0; d < ndim; ++d) {
            text += (d > 0 ? ", " : "") + std::to_string(size(d));
        }
        return text + "]";
    }
};

using TensorRef = BasicTensorRef<void*>;
using ConstTensorRef = BasicTensorRef<const void*>;

/// Drops the right to write.
[[nodiscard]] inline ConstTensorRef as_const(const TensorRef& t) {
    return {t.data, t.dtype, t.ndim, t.sizes, t.strides};
}

/// Describes contiguous (row-major) memory, for example `contiguous_ref(q.data(), DType::kFloat32,
/// {B, T, H, K})`. At most kMaxDims sizes.
template <typename Pointer>
[[nodiscard]] BasicTensorRef<Pointer> contiguous_ref(Pointer data, DType dtype,
                                                     std::initializer_list<std::int64_t> sizes) {
    BasicTensorRef<Pointer> ref;
    ref.data = data;
    ref.dtype = dtype;
    for (const std::int64_t size : sizes) {
        ref.sizes[static_cast<std::size_t>(ref.ndim++)] = size;
    }
    std::int64_t stride = 1;
    for (int d = ref.ndim - 1; d >= 0; --d) {
        ref.strides[static_cast<std::size_t>(d)] = stride;
        stride *= ref.size(d);
    }
    return ref;
}

/// contiguous_ref() for float and double memory, writable or not.
[[nodiscard]] inline TensorRef ref_of(float* data, std::initializer_list<std::int64_t> sizes) {
    return contiguous_ref<void*>(data, DType::kFloat32, sizes);
}
[[nodiscard]] inline TensorRef ref_of(double* data, std::initializer_list<std::int64_t> sizes) {
    return contiguous_ref<void*>(data, DType::kFloat64, sizes);
}
[[nodiscard]] inline ConstTensorRef ref_of(const float* data,
                                           std::initializer_list<std::int64_t> sizes) {
    return contiguous_ref<const void*>(data, DType::kFloat32, sizes);
}
[[nodiscard]] inline ConstTensorRef ref_of(const double* data,
                                           std::initializer_list<std::int64_t> sizes) {
    return contiguous_ref<const void*>(data, DType::kFloat64, sizes);
}

}  // namespace fla
