#pragma once

#include <ATen/autocast_mode.h>

namespace flagen::models {

/// Autocast off on one kind of device for a scope.
class NoAutocast {
  public:
    explicit NoAutocast(at::DeviceType device)
        : device_(device), was_on_(at::autocast::is_autocast_enabled(device)) {
        at::autocast::set_autocast_enabled(device_, false);
    }
    NoAutocast(const NoAutocast&) = delete;
    NoAutocast& operator=(const NoAutocast&) = delete;
    ~NoAutocast() { at::autocast::set_autocast_enabled(device_, was_on_); }

  private:
    at::DeviceType device_;
    bool was_on_;
};

}  // namespace flagen::models
