#include "apps/runtime/build_info.h"

#include <H5public.h>
#include <htslib/hts.h>
#include <sys/utsname.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <boost/version.hpp>
#include <fstream>
#include <thread>

#include "apps/runtime/device.h"
#include "apps/version.h"

namespace flagen::apps {

std::string short_version() {
    return std::string("flagen ") + kVersion + " (" + kGitHash + ")";
}

std::vector<std::pair<std::string, std::string>> library_versions() {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    H5get_libversion(&major, &minor, &release);
    return {
        {"flagen", kVersion},
        {"git", kGitHash},
        {"build", kBuildType},
        {"compiler", __VERSION__},
        {"libtorch", TORCH_VERSION},
        {"htslib", hts_version()},
        {"hdf5", std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release)},
        {"boost", BOOST_LIB_VERSION},
        {"cpu capability", at::get_cpu_capability()},
        {"cuda", cuda_fault().empty() ? "available" : "not available: " + cuda_fault()},
    };
}

std::string version_text() {
    std::string text = short_version() + "\n";
    for (const auto& [name, version] : library_versions()) {
        if (name != "flagen" && name != "git") {
            text += "  " + name + ": " + version + "\n";
        }
    }
    return text;
}

std::string host_description() {
    utsname system{};
    uname(&system);
    std::string cpu = "unknown processor";
    std::ifstream cpuinfo("/proc/cpuinfo");
    for (std::string line; std::getline(cpuinfo, line);) {
        if (line.rfind("model name", 0) == 0) {
            cpu = line.substr(line.find(':') + 2);
            break;
        }
    }
    return std::string(system.sysname) + " " + system.nodename + ", " + cpu + ", " +
           std::to_string(std::thread::hardware_concurrency()) + " threads";
}

}  // namespace flagen::apps
