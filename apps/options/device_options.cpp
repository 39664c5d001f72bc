#include "apps/options/device_options.h"

#include <algorithm>
#include <boost/program_options.hpp>

#include "flagen/error.h"
#include "flagen/models/precision.h"

namespace flagen::apps {

namespace po = boost::program_options;

void DeviceOptions::add_to(CommandLine& line) {
    line.options().add_options()
        ("device", po::value(&device)->default_value("auto"), "auto (a GPU if there is one that can run the model) | cpu | cuda | cuda:N")
        ("precision", po::value(&precision), "fp32 | bf16 | fp16: short for --set train.precision=..");
}

DeviceRequest DeviceOptions::request(std::vector<std::string>& overrides) const {
    if (!precision.empty()) {
        const auto& names = models::precision_names();
        FLAGEN_USER_CHECK(UserFault::kConfig,
                          std::any_of(names.begin(), names.end(), [&](const auto& entry) { return entry.second == precision; }),
                          "--precision must be fp32, bf16 or fp16, found ", precision);
        overrides.push_back("train.precision=" + precision);
    }
    return DeviceRequest::parse(device);
}

}  // namespace flagen::apps
