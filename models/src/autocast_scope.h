#pragma once

#include <ATen/autocast_mode.h>

namespace flagen::models {

/// Autocast as it stands on this thread for one kind of device.
///
/// Casts of weights are never cached while it is on: a weight is used once a pass, and a cast that
/// outlives the pass would hide the optimiser's next step.
struct AutocastState {
    at::DeviceType device;
    bool enabled;
    at::ScalarType dtype;
    bool caches;

    static AutocastState current(at::DeviceType device) {
        return {device, at::autocast::is_autocast_enabled(device),
                at::autocast::get_autocast_dtype(device),
                at::autocast::is_autocast_cache_enabled()};
    }
    void apply() const {
        at::autocast::set_autocast_enabled(device, enabled);
        at::autocast::set_autocast_dtype(device, dtype);
        at::autocast::set_autocast_cache_enabled(caches);
    }
};

/// Autocast to `dtype` for a scope; to fp32 it leaves everything as it is.
class AutocastScope {
  public:
    AutocastScope(at::DeviceType device, at::ScalarType dtype)
        : before_(AutocastState::current(device)) {
        if (dtype != at::kFloat) {
            AutocastState{device, true, dtype, false}.apply();
        }
    }
    AutocastScope(const AutocastScope&) = delete;
    AutocastScope& operator=(const AutocastScope&) = delete;
    ~AutocastScope() { before_.apply(); }

  private:
    AutocastState before_;
};

}  // namespace flagen::models
