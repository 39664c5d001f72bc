#include "flagen/json_object.h"

#include <cmath>
#include <type_traits>

#include "flagen/atomic_file.h"
#include "json_document.h"

namespace flagen {
namespace {

using nlohmann::json;
using Steps = std::vector<std::string>;

template <typename Number>
std::string range_text(Number min, Number max, bool bounded_below, bool bounded_above) {
    if (bounded_below && bounded_above) {
        return "from " + json(min).dump() + " to " + json(max).dump();
    }
    return bounded_below ? "of at least " + json(min).dump() : "of at most " + json(max).dump();
}

}  // namespace

struct JsonObject::Access {
    /// The value at the end of the handle's steps, or null when there is none.
    static const json* node(const JsonObject& object) {
        const json* current = &object.document_->root;
        for (const std::string& step : object.steps_) {
            if (current->is_object()) {
                const auto found = current->find(step);
                if (found == current->end()) {
                    return nullptr;
                }
                current = &*found;
            } else if (current->is_array()) {
                const auto index = index_of_step(step);
                if (!index || *index >= current->size()) {
                    return nullptr;
                }
                current = &(*current)[*index];
            } else {
                return nullptr;
            }
        }
        return current;
    }

    /// Marks the key as asked for and returns its value, or null when it is absent.
    static const json* find(JsonObject& object, const std::string& key) {
        object.document_->visits[object.steps_].asked.insert(key);
        const json* parent = node(object);
        if (parent == nullptr || !parent->is_object()) {
            return nullptr;
        }
        const auto found = parent->find(key);
        return found == parent->end() ? nullptr : &*found;
    }

    static const json* find_required(JsonObject& object, const std::string& key) {
        const json* value = find(object, key);
        const json* parent = node(object);
        // A parent of the wrong type has been reported already.
        if (value == nullptr && (parent == nullptr || parent->is_object())) {
            object.add_problem(key, "required key is missing");
        }
        return value;
    }

    static void wrong_type(JsonObject& object, const std::string& key, const std::string& expected,
                           const json& value) {
        object.add_problem(key, "expected " + expected + ", found " + describe_json(value));
    }

    static std::optional<std::int64_t> read(JsonObject& object, const std::string& key,
                                            const json& value, std::int64_t min, std::int64_t max) {
        std::int64_t number = 0;
        if (value.is_number_unsigned() &&
            value.get<std::uint64_t>() > static_cast<std::uint64_t>(kMaxInt)) {
            object.add_problem(key, value.dump() + " is out of range; expected an integer " +
                                        range_text(min, max, min != kMinInt, true));
            return std::nullopt;
        }
        if (value.is_number_integer()) {
            number = value.get<std::int64_t>();
        } else if (value.is_number_float()) {
            constexpr double kExact = 9007199254740992.0;  // 2^53
            const double real = value.get<double>();
            if (real != std::trunc(real)) {
                wrong_type(object, key, "an integer", value);
                return std::nullopt;
            }
            if (std::fabs(real) >= kExact) {
                wrong_type(object, key, "an integer written in digits (it is past 2^53)", value);
                return std::nullopt;
            }
            number = static_cast<std::int64_t>(real);
        } else {
            wrong_type(object, key, "an integer", value);
            return std::nullopt;
        }
        if (number < min || number > max) {
            object.add_problem(key, value.dump() + " is out of range; expected an integer " +
                                        range_text(min, max, min != kMinInt, max != kMaxInt));
            return std::nullopt;
        }
        return number;
    }

    static std::optional<double> read(JsonObject& object, const std::string& key, const json& value,
                                      double min, double max) {
        if (!value.is_number()) {
            wrong_type(object, key, "a number", value);
            return std::nullopt;
        }
        const double number = value.get<double>();
        if (number < min || number > max) {
            object.add_problem(key, value.dump() + " is out of range; expected a number " +
                                        range_text(min, max, min != kMinNumber, max != kMaxNumber));
            return std::nullopt;
        }
        return number;
    }

    static std::optional<bool> read_bool(JsonObject& object, const std::string& key,
                                         const json& value) {
        if (!value.is_boolean()) {
            wrong_type(object, key, "true or false", value);
            return std::nullopt;
        }
        return value.get<bool>();
    }

    static std::optional<std::string> read_string(JsonObject& object, const std::string& key,
                                                  const json& value) {
        if (!value.is_string()) {
            wrong_type(object, key, "a string", value);
            return std::nullopt;
        }
        return value.get<std::string>();
    }

    static std::optional<std::string> read_choice(JsonObject& object, const std::string& key,
                                                  const json& value,
                                                  const std::vector<std::string>& choices) {
        const auto text = read_string(object, key, value);
        if (!text || std::find(choices.begin(), choices.end(), *text) != choices.end()) {
            return text;
        }
        std::string names;
        for (const std::string& choice : choices) {
            names += (names.empty() ? "" : ", ") + choice;
        }
        object.add_problem(
            key, "\"" + *text + "\" is not one of " + names + did_you_mean(*text, choices));
        return std::nullopt;
    }

    /// Reads every element; nothing when any of them is wrong, each wrong one being reported.
    template <typename Value, typename ReadElement>
    static std::optional<std::vector<Value>> read_list(JsonObject& object, const std::string& key,
                                                       const json& value, const char* expected,
                                                       const ReadElement& read_element) {
        if (!value.is_array()) {
            wrong_type(object, key, expected, value);
            return std::nullopt;
        }
        std::vector<Value> list;
        for (std::size_t i = 0; i < value.size(); ++i) {
            const auto element = read_element(key + "[" + std::to_string(i) + "]", value[i]);
            if (element) {
                list.push_back(*element);
            }
        }
        return list.size() == value.size() ? std::optional(std::move(list)) : std::nullopt;
    }

    static std::optional<std::vector<std::string>> read_strings(JsonObject& object,
                                                                const std::string& key,
                                                                const json& value) {
        if (value.is_string()) {
            return std::vector<std::string>{value.get<std::string>()};
        }
        return read_list<std::string>(object, key, value, "a list of strings",
                                      [&](const std::string& name, const json& element) {
                                          return read_string(object, name, element);
                                      });
    }

    template <typename Number>
    static std::optional<std::vector<Number>> read_numbers(JsonObject& object,
                                                           const std::string& key,
                                                           const json& value, Number min,
                                                           Number max) {
        return read_list<Number>(
            object, key, value,
            std::is_integral_v<Number> ? "a list of integers" : "a list of numbers",
            [&](const std::string& name, const json& element) {
                return read(object, name, element, min, max);
            });
    }

    static JsonObject open(JsonObject& object, Steps steps) {
        JsonVisit& visit = object.document_->visits[object.steps_];
        if (visit.opened_before.insert(steps).second) {
            visit.opened.push_back(steps);
        }
        return JsonObject(object.document_, std::move(steps));
    }

    static Steps child_steps(const JsonObject& object, const std::string& key) {
        Steps steps = object.steps_;
        steps.push_back(key);
        return steps;
    }
};

JsonObject::JsonObject() : document_(std::make_shared<Document>()) {}

JsonObject::JsonObject(std::shared_ptr<Document> document, std::vector<std::string> steps)
    : document_(std::move(document)), steps_(std::move(steps)) {}

JsonObject JsonObject::parse(std::string_view text, const std::string& source_name,
                             UserFault fault) {
    ParsedJson parsed = parse_json_text(text, kMaxDepth);
    if (parsed.syntax_error) {
        throw_user_error(fault, "not valid JSON: ", source_name, ":", *parsed.syntax_error);
    }
    parsed.problems.throw_if_any(source_name, fault);
    if (!parsed.value.is_object()) {
        throw_user_error(fault, "not a JSON object: ", source_name, " holds ",
                         describe_json(parsed.value));
    }
    JsonObject object;
    object.document_->root = std::move(parsed.value);
    object.document_->source_name = source_name;
    return object;
}

JsonObject JsonObject::read_file(const std::string& path, UserFault fault) {
    constexpr std::size_t kLargestBytes = std::size_t{64} << 20;
    return parse(read_whole_file(path, fault, kLargestBytes), path, fault);
}

bool JsonObject::has(const std::string& key) { return Access::find(*this, key) != nullptr; }

bool JsonObject::is_null(const std::string& key) {
    const json* value = Access::find(*this, key);
    return value != nullptr && value->is_null();
}

std::vector<std::string> JsonObject::keys() const {
    std::vector<std::string> names;
    const json* object = Access::node(*this);
    if (object != nullptr && object->is_object()) {
        for (const auto& item : object->items()) {
            names.push_back(item.key());
        }
    }
    return names;
}

std::int64_t JsonObject::get_int(const std::string& key, std::int64_t fallback, std::int64_t min,
                                 std::int64_t max) {
    const json* value = Access::find(*this, key);
    return value ? Access::read(*this, key, *value, min, max).value_or(fallback) : fallback;
}

double JsonObject::get_number(const std::string& key, double fallback, double min, double max) {
    const json* value = Access::find(*this, key);
    return value ? Access::read(*this, key, *value, min, max).value_or(fallback) : fallback;
}

bool JsonObject::get_bool(const std::string& key, bool fallback) {
    const json* value = Access::find(*this, key);
    return value ? Access::read_bool(*this, key, *value).value_or(fallback) : fallback;
}

std::string JsonObject::get_string(const std::string& key, const std::string& fallback) {
    const json* value = Access::find(*this, key);
    return value ? Access::read_string(*this, key, *value).value_or(fallback) : fallback;
}

std::string JsonObject::get_choice(const std::string& key, const std::string& fallback,
                                   const std::vector<std::string>& choices) {
    const json* value = Access::find(*this, key);
    return value ? Access::read_choice(*this, key, *value, choices).value_or(fallback) : fallback;
}

std::vector<std::string> JsonObject::get_strings(const std::string& key,
                                                 const std::vector<std::string>& fallback) {
    const json* value = Access::find(*this, key);
    return value ? Access::read_strings(*this, key, *value).value_or(fallback) : fallback;
}

std::vector<std::int64_t> JsonObject::get_ints(const std::string& key,
                                               const std::vector<std::int64_t>& fallback,
                                               std::int64_t min, std::int64_t max) {
    const json* value = Access::find(*this, key);
    return value ? Access::read_numbers(*this, key, *value, min, max).value_or(fallback) : fallback;
}

std::vector<double> JsonObject::get_numbers(const std::string& key,
                                            const std::vector<double>& fallback, double min,
                                            double max) {
    const json* value = Access::find(*this, key);
    return value ? Access::read_numbers(*this, key, *value, min, max).value_or(fallback) : fallback;
}

std::int64_t JsonObject::require_int(const std::string& key, std::int64_t min, std::int64_t max) {
    return Access::find_required(*this, key) ? get_int(key, 0, min, max) : 0;
}

double JsonObject::require_number(const std::string& key, double min, double max) {
    return Access::find_required(*this, key) ? get_number(key, 0.0, min, max) : 0.0;
}

bool JsonObject::require_bool(const std::string& key) {
    return Access::find_required(*this, key) != nullptr && get_bool(key, false);
}

std::string JsonObject::require_string(const std::string& key) {
    return Access::find_required(*this, key) ? get_string(key, "") : std::string{};
}

std::vector<std::string> JsonObject::require_strings(const std::string& key) {
    return Access::find_required(*this, key) ? get_strings(key, {}) : std::vector<std::string>{};
}

std::vector<std::int64_t> JsonObject::require_ints(const std::string& key, std::int64_t min,
                                                   std::int64_t max) {
    return Access::find_required(*this, key) ? get_ints(key, {}, min, max)
                                             : std::vector<std::int64_t>{};
}

std::string JsonObject::require_choice(const std::string& key,
                                       const std::vector<std::string>& choices) {
    return Access::find_required(*this, key) ? get_choice(key, "", choices) : std::string{};
}

JsonObject JsonObject::get_object(const std::string& key) {
    const json* value = Access::find(*this, key);
    if (value != nullptr && !value->is_object()) {
        Access::wrong_type(*this, key, "an object", *value);
    }
    return Access::open(*this, Access::child_steps(*this, key));
}

std::vector<JsonObject> JsonObject::get_objects(const std::string& key) {
    std::vector<JsonObject> objects;
    const json* value = Access::find(*this, key);
    if (value == nullptr) {
        return objects;
    }
    if (value->is_object()) {
        objects.push_back(Access::open(*this, Access::child_steps(*this, key)));
        return objects;
    }
    if (!value->is_array()) {
        Access::wrong_type(*this, key, "a list of objects", *value);
        return objects;
    }
    for (std::size_t i = 0; i < value->size(); ++i) {
        const std::string index = "[" + std::to_string(i) + "]";
        if (!(*value)[i].is_object()) {
            Access::wrong_type(*this, key + index, "an object", (*value)[i]);
            continue;
        }
        Steps steps = Access::child_steps(*this, key);
        steps.push_back(index);
        objects.push_back(Access::open(*this, std::move(steps)));
    }
    return objects;
}

void JsonObject::ignore(const std::string& key) {
    if (Access::find(*this, key) != nullptr) {
        document_->ignored.insert(key);
    }
}

std::vector<std::string> JsonObject::ignored_keys() const {
    return {document_->ignored.begin(), document_->ignored.end()};
}

void JsonObject::add_problem(const std::string& key, const std::string& message) {
    document_->problems.add(key.empty() ? path() : join_json_path(path(), key), message);
}

void JsonObject::finish() {
    JsonVisit& visit = document_->visits[steps_];
    const std::vector<std::string> asked(visit.asked.begin(), visit.asked.end());
    for (const std::string& key : keys()) {
        if (!visit.asked.contains(key) && visit.reported.insert(key).second) {
            add_problem(key, "unknown key" + did_you_mean(key, asked));
        }
    }
    for (const Steps& steps : std::vector<Steps>(visit.opened)) {
        JsonObject(document_, steps).finish();
    }
}

Problems& JsonObject::problems() { return document_->problems; }

const std::string& JsonObject::source_name() const { return document_->source_name; }

std::string JsonObject::path() const {
    std::string text;
    for (const std::string& step : steps_) {
        text = join_json_path(text, step);
    }
    return text;
}

std::string JsonObject::dump(int indent) const {
    const json* value = Access::node(*this);
    return value == nullptr ? "{}" : value->dump(indent);
}

}  // namespace flagen
