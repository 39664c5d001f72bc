#include <cmath>

#include "json_document.h"

namespace flagen {
namespace {

using nlohmann::json;
using Steps = std::vector<std::string>;

/// The object at the end of `steps`, made on the way where it is missing.
json& writable(json& root, const Steps& steps) {
    json* current = &root;
    for (const std::string& step : steps) {
        const auto index = index_of_step(step);
        if (current->is_array() && index && *index < current->size()) {
            current = &(*current)[*index];
            continue;
        }
        if (!current->is_object()) {
            *current = json::object();
        }
        current = &(*current)[step];
    }
    if (!current->is_object()) {
        *current = json::object();
    }
    return *current;
}

bool is_utf8(const json& value) {
    try {
        (void)value.dump();
        return true;
    } catch (const json::exception&) {
        return false;
    }
}

void store(json& root, const Steps& steps, const std::string& key, json value) {
    FLAGEN_CHECK(is_utf8(key) && is_utf8(value), "text is not valid UTF-8: key or value of ", key);
    writable(root, steps)[key] = std::move(value);
}

/// "model.trunk[2].heads" -> "model", "trunk", "[2]", "heads"; nothing when a step is empty.
std::optional<Steps> split_path(const std::string& dotted_path) {
    Steps steps;
    std::string step;
    for (std::size_t i = 0; i <= dotted_path.size(); ++i) {
        const bool at_end = i == dotted_path.size();
        const char c = at_end ? '.' : dotted_path[i];
        if (c != '.' && c != '[') {
            step += c;
            if (c == ']' && !at_end && i + 1 < dotted_path.size() && dotted_path[i + 1] != '.' &&
                dotted_path[i + 1] != '[') {
                return std::nullopt;
            }
            continue;
        }
        if (step.empty()) {
            return std::nullopt;
        }
        steps.push_back(std::move(step));
        step = c == '[' ? "[" : "";
    }
    return steps;
}

/// Walks to the slot that `steps` name; null after noting a problem when there is no such slot.
json* find_slot(json& root, const Steps& steps, const std::string& path, Problems& problems) {
    json* current = &root;
    std::string walked;
    for (const std::string& step : steps) {
        const auto index = index_of_step(step);
        if (current->is_array()) {
            if (!index || *index >= current->size()) {
                problems.add(path, "cannot be set: " + walked + " is a list of " +
                                       std::to_string(current->size()) + ", without element " +
                                       step);
                return nullptr;
            }
            current = &(*current)[*index];
        } else if (current->is_object() || current->is_null()) {
            if (step.front() == '[') {
                problems.add(path, "cannot be set: " + walked + " is no list");
                return nullptr;
            }
            current = &(*current)[step];  // null when it is new
        } else {
            problems.add(path, "cannot be set: " + walked + " is " + describe_json(*current));
            return nullptr;
        }
        walked = join_json_path(walked, step);
    }
    return current;
}

}  // namespace

void JsonObject::set(const std::string& key, std::int64_t value) {
    store(document_->root, steps_, key, value);
}

void JsonObject::set(const std::string& key, double value) {
    FLAGEN_CHECK(std::isfinite(value), "JSON cannot hold it: value of ", key);
    store(document_->root, steps_, key, value);
}

void JsonObject::set(const std::string& key, bool value) {
    store(document_->root, steps_, key, value);
}

void JsonObject::set(const std::string& key, const std::string& value) {
    store(document_->root, steps_, key, value);
}

void JsonObject::set(const std::string& key, const std::vector<std::string>& value) {
    store(document_->root, steps_, key, value);
}

void JsonObject::set(const std::string& key, const std::vector<std::int64_t>& value) {
    store(document_->root, steps_, key, value);
}

void JsonObject::set(const std::string& key, const std::vector<double>& value) {
    FLAGEN_CHECK(std::all_of(value.begin(), value.end(), [](double x) { return std::isfinite(x); }),
                 "JSON cannot hold it: value of ", key);
    store(document_->root, steps_, key, value);
}

JsonObject JsonObject::set_object(const std::string& key) {
    store(document_->root, steps_, key, json::object());
    Steps steps = steps_;
    steps.push_back(key);
    return JsonObject(document_, std::move(steps));
}

JsonObject JsonObject::append_object(const std::string& key) {
    FLAGEN_CHECK(is_utf8(key), "text is not valid UTF-8: key ", key);
    json& list = writable(document_->root, steps_)[key];
    if (!list.is_array()) {
        list = json::array();
    }
    list.push_back(json::object());
    Steps steps = steps_;
    steps.push_back(key);
    steps.push_back("[" + std::to_string(list.size() - 1) + "]");
    return JsonObject(document_, std::move(steps));
}

void JsonObject::set_path(const std::string& dotted_path, const std::string& text) {
    Problems& problems = document_->problems;
    const auto steps = split_path(dotted_path);
    if (!steps) {
        problems.add(dotted_path, "cannot be set: malformed path");
        return;
    }
    ParsedJson parsed = parse_json_text(text, kMaxDepth);
    if (!parsed.problems.empty()) {
        problems.add(dotted_path, "cannot be set: duplicate keys in " + text);
        return;
    }
    json value = parsed.syntax_error ? json(text) : std::move(parsed.value);
    if (!is_utf8(value)) {
        problems.add(dotted_path, "cannot be set: the value is not valid UTF-8");
        return;
    }
    Steps full = steps_;
    full.insert(full.end(), steps->begin(), steps->end());
    json changed = document_->root;  // a refused path must not leave half-made objects behind
    json* slot = find_slot(changed, full, dotted_path, problems);
    if (slot != nullptr) {
        *slot = std::move(value);
        document_->root = std::move(changed);
    }
}

}  // namespace flagen
