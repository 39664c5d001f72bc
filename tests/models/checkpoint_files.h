#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "flagen/atomic_file.h"
#include "flagen/models/checkpoint_folder.h"

namespace flagen::models {

inline std::string contents(const std::string& path) {
    return read_whole_file(path, UserFault::kInputFile);
}

inline FileWriter text(std::string content) {
    return [content = std::move(content)](const ByteSink& sink) {
        sink(content.data(), content.size());
    };
}

/// Two files whose content follows from the step.
inline std::map<std::string, FileWriter> files_of(std::int64_t step) {
    return {{"a.txt", text("step " + std::to_string(step) + "\n")},
            {"b.bin", text(std::string(100, '\0'))}};
}

}  // namespace flagen::models
