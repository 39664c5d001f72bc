#pragma once

namespace fla {

/// Instruction sets that the hot CPU sources are built for, weakest first.
///
/// CMake compiles such a source once a set (fla_add_isa_builds in libfla/CMakeLists.txt) with the
/// macro FLA_ISA naming the namespace of that build: baseline, avx2 or avx512. Nothing else of that
/// source may have external linkage, and it must not include standard headers with inline
/// functions: the linker could otherwise keep the AVX-512 copy of one for the whole program.
enum class CpuIsa { kBaseline, kAvx2, kAvx512 };

/// Returns whether this build holds code for `isa` and this processor runs it.
[[nodiscard]] bool is_supported(CpuIsa isa);

/// Returns the strongest supported set. The environment variable FLA_CPU_ISA (baseline, avx2 or
/// avx512), read once, lowers it; a set that is not supported is ignored.
[[nodiscard]] CpuIsa best_cpu_isa();

/// Returns "baseline", "avx2" or "avx512".
[[nodiscard]] const char* name_of(CpuIsa isa);

}  // namespace fla
