#include "host/cpu_isa.h"

#include <cstdlib>
#include <string_view>

namespace fla {
namespace {

CpuIsa strongest() {
    for (const CpuIsa isa : {CpuIsa::kAvx512, CpuIsa::kAvx2}) {
        if (is_supported(isa)) {
            return isa;
        }
    }
    return CpuIsa::kBaseline;
}

CpuIsa choose() {
    const char* wanted = std::getenv("FLA_CPU_ISA");
    if (wanted != nullptr) {
        for (const CpuIsa isa : {CpuIsa::kBaseline, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
            if (std::string_view(wanted) == name_of(isa) && is_supported(isa)) {
                return isa;
            }
        }
    }
    return strongest();
}

}  // namespace

bool is_supported(CpuIsa isa) {
#ifdef FLA_X86_BUILDS
    switch (isa) {
        case CpuIsa::kAvx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("fma");
        case CpuIsa::kAvx2:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        default:
            return true;
    }
#else
    return isa == CpuIsa::kBaseline;
#endif
}

CpuIsa best_cpu_isa() {
    static const CpuIsa isa = choose();
    return isa;
}

const char* name_of(CpuIsa isa) {
    switch (isa) {
        case CpuIsa::kAvx512:
            return "avx512";
        case CpuIsa::kAvx2:
            return "avx2";
        default:
            return "baseline";
    }
}

}  // namespace fla
