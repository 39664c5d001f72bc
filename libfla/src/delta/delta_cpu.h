#pragma once

#include "fla/delta_rule.h"
#include "host/cpu_isa.h"

namespace fla {

/// delta_forward_cpu() and delta_backward_cpu() with the instruction set named, for tests.
///
/// @throws fla::Unsupported if this build or processor lacks it, else as those functions do.
void delta_forward_cpu_on(CpuIsa isa, const DeltaForward& params, const ParallelFor& parallel_for);
void delta_backward_cpu_on(CpuIsa isa, const DeltaBackward& params,
                           const ParallelFor& parallel_for);

}  // namespace fla
