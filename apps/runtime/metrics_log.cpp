#include "apps/runtime/metrics_log.h"

#include <filesystem>
#include <sstream>

#include "flagen/atomic_file.h"
#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::apps {
namespace {

bool belongs_to_run(const std::string& line, std::int64_t last_step, const std::string& path) {
    try {
        JsonObject object = JsonObject::parse(line, path);
        return object.has("step") && object.get_int("step", 0) <= last_step;
    } catch (const UserError&) {
        return false;  // a line that a kill cut short
    }
}

}  // namespace

MetricsLog::MetricsLog(const std::string& path, std::int64_t last_step) : path_(path) {
    std::string kept;
    if (std::filesystem::exists(path)) {
        std::istringstream old(read_whole_file(path, UserFault::kInputFile));
        for (std::string line; std::getline(old, line);) {
            if (belongs_to_run(line, last_step, path)) {
                kept += line + "\n";
            }
        }
    }
    write_file_atomically(path, kept);
    file_.open(path, std::ios::app | std::ios::binary);
}

void MetricsLog::append(const std::string& json_line) {
    file_ << json_line << '\n';
    if (!file_.flush()) {
        throw_error("cannot write ", path_);
    }
}

}  // namespace flagen::apps
