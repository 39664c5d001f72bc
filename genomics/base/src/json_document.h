#pragma once

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "flagen/json_object.h"
#include "json_text.h"

namespace flagen {

/// What the reading code has asked for below one object.
struct JsonVisit {
    std::set<std::string> asked;
    std::vector<std::vector<std::string>> opened;  // in the order of reading
    std::set<std::vector<std::string>> opened_before;
    std::set<std::string> reported;
};

struct JsonObject::Document {
    nlohmann::json root = nlohmann::json::object();
    Problems problems;
    std::string source_name = "JSON";
    std::map<std::vector<std::string>, JsonVisit> visits;
    std::set<std::string> ignored;
};

/// The index that a step "2" or "[2]" names, if it names one.
[[nodiscard]] inline std::optional<std::size_t> index_of_step(const std::string& step) {
    const bool bracketed = step.size() > 2 && step.front() == '[' && step.back() == ']';
    const std::string digits = bracketed ? step.substr(1, step.size() - 2) : step;
    if (digits.empty() || digits.size() > 9 ||
        digits.find_first_not_of("0123456789") != std::string::npos) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(std::stoul(digits));
}

}  // namespace flagen
