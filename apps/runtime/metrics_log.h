#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace flagen::apps {

/// metrics.jsonl: one JSON object a line, each with a "step".
class MetricsLog {
  public:
    /// Opens `path` for appending after dropping what lies past `last_step`: lines of a killed run
    /// that the checkpoint it resumes from does not know, and a half-written last line.
    MetricsLog(const std::string& path, std::int64_t last_step);

    /// Appends one object's text and flushes it. @throws Error if the disk does not take it.
    void append(const std::string& json_line);

  private:
    std::string path_;
    std::ofstream file_;
};

}  // namespace flagen::apps
