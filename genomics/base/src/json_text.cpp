#include "json_text.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace flagen {
namespace {

using nlohmann::json;

/// Builds the document while it watches for what the library's own builder lets pass.
class StrictBuilder : public nlohmann::json_sax<json> {
  public:
    StrictBuilder(std::string_view text, int max_depth, ParsedJson& parsed)
        : text_(text), max_depth_(static_cast<std::size_t>(max_depth)), parsed_(parsed) {}

    bool null() override { return put(json(nullptr)); }
    bool boolean(bool value) override { return put(json(value)); }
    bool number_integer(number_integer_t value) override { return put(json(value)); }
    bool number_unsigned(number_unsigned_t value) override { return put(json(value)); }
    bool number_float(number_float_t value, const string_t&) override { return put(json(value)); }
    bool string(string_t& value) override { return put(json(std::move(value))); }
    bool binary(binary_t&) override { return false; }

    bool start_object(std::size_t) override { return open(json::object()); }
    bool start_array(std::size_t) override { return open(json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& name) override {
        Frame& frame = frames_.back();
        frame.key = name;
        if (frame.node->contains(name)) {
            parsed_.problems.add(current_path(), "duplicate key");
        }
        return true;
    }

    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::detail::exception& error) override {
        fail(position, reason_of(error.what()));
        return false;
    }

    /// Notes a syntax error at the byte before `position`.
    void fail(std::size_t position, const std::string& reason) {
        // The library counts bytes read, the offending one included.
        const std::size_t at = std::min(position == 0 ? 0 : position - 1, text_.size());
        const std::string_view before = text_.substr(0, at);
        const auto line = 1 + std::count(before.begin(), before.end(), '\n');
        const auto newline = before.rfind('\n');
        const std::size_t column = newline == std::string_view::npos ? at + 1 : at - newline;
        parsed_.syntax_error = std::to_string(line) + ":" + std::to_string(column) + ": " + reason;
    }

  private:
    struct Frame {
        json* node;
        std::string key;  // the member being read, for objects
    };

    bool put(json value) {
        (void)place(std::move(value));
        return true;
    }

    json* place(json value) {
        if (frames_.empty()) {
            parsed_.value = std::move(value);
            return &parsed_.value;
        }
        Frame& frame = frames_.back();
        if (frame.node->is_array()) {
            frame.node->push_back(std::move(value));
            return &frame.node->back();
        }
        json& slot = (*frame.node)[frame.key];
        slot = std::move(value);
        return &slot;
    }

    bool open(json container) {
        if (frames_.size() == max_depth_) {
            parsed_.syntax_error =
                "nested deeper than " + std::to_string(max_depth_) + " levels at " + current_path();
            return false;
        }
        json* node = place(std::move(container));
        frames_.push_back({node, {}});
        return true;
    }

    bool close() {
        frames_.pop_back();
        return true;
    }

    std::string current_path() const {
        std::string path;
        for (const Frame& frame : frames_) {
            if (frame.node->is_object()) {
                path = join_json_path(path, frame.key);
            } else if (&frame != &frames_.back()) {
                path = join_json_path(path, "[" + std::to_string(frame.node->size() - 1) + "]");
            }
        }
        return path;
    }

    /// Strips the library's prefix, "[json.exception.parse_error.101] parse error at line 1, column
    /// 2: ".
    static std::string reason_of(std::string what) {
        for (const char* marker : {"] ", "parse error at line "}) {
            const auto at = what.find(marker);
            if (at != std::string::npos) {
                const bool has_position = marker[0] == 'p';
                const auto end = has_position ? what.find(": ", at) : at;
                if (end != std::string::npos) {
                    what.erase(0, end + 2);
                }
            }
        }
        constexpr std::size_t kLongest = 200;
        if (what.size() > kLongest) {
            what = what.substr(0, kLongest) + "...";
        }
        return what;
    }

    std::string_view text_;
    std::size_t max_depth_;
    ParsedJson& parsed_;
    std::vector<Frame> frames_;
};

}  // namespace

ParsedJson parse_json_text(std::string_view text, int max_depth) {
    ParsedJson parsed;
    // The library takes a NUL byte for the end of the text and would ignore what follows.
    const std::size_t complete_bytes = std::min(text.find('\0'), text.size());
    StrictBuilder builder(text, max_depth, parsed);
    const std::string_view readable = text.substr(0, complete_bytes);
    if (json::sax_parse(readable.begin(), readable.end(), &builder) &&
        readable.size() < text.size()) {
        builder.fail(readable.size() + 1, "NUL byte");
    }
    return parsed;
}

std::string describe_json(const nlohmann::json& value) {
    switch (value.type()) {
        case json::value_t::null:
            return "null";
        case json::value_t::boolean:
            return value.get<bool>() ? "true" : "false";
        case json::value_t::string: {
            constexpr std::size_t kLongest = 60;
            std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
            if (text.size() > kLongest) {
                text = text.substr(0, kLongest) + "...\"";
            }
            return "a string (" + text + ")";
        }
        case json::value_t::array:
            return "a list";
        case json::value_t::object:
            return "an object";
        default:
            return "the number " + value.dump();
    }
}

std::string join_json_path(const std::string& path, const std::string& step) {
    const bool is_index = !step.empty() && step.front() == '[';
    return path.empty() || is_index ? path + step : path + "." + step;
}

}  // namespace flagen
