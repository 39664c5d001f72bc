#pragma once

#include <string>
#include <vector>

#include "apps/options/command_line.h"
#include "apps/runtime/device.h"

namespace flagen::apps {

/// Options --device and --precision of the commands that run a model.
struct DeviceOptions {
    std::string device = "auto";
    std::string precision;  ///< Empty: the configuration's.

    void add_to(CommandLine& line);
    /// Checks both, and adds the precision to the changes of the configuration.
    /// @throws UserError (kConfig).
    [[nodiscard]] DeviceRequest request(std::vector<std::string>& overrides) const;
};

}  // namespace flagen::apps
