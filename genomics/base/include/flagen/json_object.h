#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flagen/error.h"
#include "flagen/problems.h"

namespace flagen {

/// Strict view of one JSON object: every key must be asked for, every fault is collected.
///
/// A handle: copies and the objects reached from it share one document and one Problems list. The
/// getters never throw for the user's faults. They note a problem and return the default
/// (require_*: zero, an empty string or an empty list), so one pass over a configuration finds
/// everything:
///
///     JsonObject root = JsonObject::read_file("params.json");
///     root.set_path("train.learning_rate", "3e-4");              // --set, before anything is read
///     JsonObject train = root.get_object("train");
///     const double rate = train.get_number("learning_rate", 1e-3, 0.0, 1.0);
///     root.finish();                                             // unknown keys, in `train` as
///     well root.problems().throw_if_any(root.source_name());
///
/// Numbers: an integer may be written 3, 3.0 or 3e0, if the value is whole and below 2^53; ranges
/// are closed. NaN and infinity cannot be written in JSON, and a number past the range of a double
/// is a syntax error. `null` is a wrong type everywhere. Not thread-safe.
class JsonObject {
  public:
    static constexpr std::int64_t kMinInt = std::numeric_limits<std::int64_t>::min();
    static constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();
    static constexpr double kMinNumber = std::numeric_limits<double>::lowest();
    static constexpr double kMaxNumber = std::numeric_limits<double>::max();
    static constexpr int kMaxDepth = 64;  ///< Deepest nesting that parse() accepts.

    /// An empty object, for building a document with the set functions.
    JsonObject();

    /// @throws UserError of `fault`: syntax error (with line:column), an outermost value that is no
    ///         object, nesting deeper than kMaxDepth, or duplicate keys (all of them named).
    [[nodiscard]] static JsonObject parse(std::string_view text, const std::string& source_name,
                                          UserFault fault = UserFault::kConfig);
    /// parse() of a file's content, named by its path. @throws UserError if it cannot be read.
    [[nodiscard]] static JsonObject read_file(const std::string& path,
                                              UserFault fault = UserFault::kConfig);

    /// Whether the key is present. Counts as asking for it.
    [[nodiscard]] bool has(const std::string& key);
    /// Whether the key is present with the value null. Counts as asking for it.
    [[nodiscard]] bool is_null(const std::string& key);
    /// Keys of this object in alphabetical order. Does not count as asking for them.
    [[nodiscard]] std::vector<std::string> keys() const;

    std::int64_t get_int(const std::string& key, std::int64_t fallback, std::int64_t min = kMinInt,
                         std::int64_t max = kMaxInt);
    double get_number(const std::string& key, double fallback, double min = kMinNumber,
                      double max = kMaxNumber);
    bool get_bool(const std::string& key, bool fallback);
    std::string get_string(const std::string& key, const std::string& fallback);
    /// A string out of `choices`.
    std::string get_choice(const std::string& key, const std::string& fallback,
                           const std::vector<std::string>& choices);
    /// Lists. A single string stands for a list of one, as in "feature": "gene"; numbers need the
    /// list.
    std::vector<std::string> get_strings(const std::string& key,
                                         const std::vector<std::string>& fallback);
    std::vector<std::int64_t> get_ints(const std::string& key,
                                       const std::vector<std::int64_t>& fallback,
                                       std::int64_t min = kMinInt, std::int64_t max = kMaxInt);
    std::vector<double> get_numbers(const std::string& key, const std::vector<double>& fallback,
                                    double min = kMinNumber, double max = kMaxNumber);

    /// As the getters, but an absent key is a problem.
    std::int64_t require_int(const std::string& key, std::int64_t min = kMinInt,
                             std::int64_t max = kMaxInt);
    double require_number(const std::string& key, double min = kMinNumber, double max = kMaxNumber);
    bool require_bool(const std::string& key);
    std::string require_string(const std::string& key);
    std::vector<std::string> require_strings(const std::string& key);
    std::vector<std::int64_t> require_ints(const std::string& key, std::int64_t min = kMinInt,
                                           std::int64_t max = kMaxInt);
    std::string require_choice(const std::string& key, const std::vector<std::string>& choices);

    /// The object under `key`; an empty one if it is absent or of another type (a problem).
    [[nodiscard]] JsonObject get_object(const std::string& key);
    /// The objects of the array under `key`; empty if it is absent. A single object stands for a
    /// list of one, under the path `key` itself. Another type is a problem.
    [[nodiscard]] std::vector<JsonObject> get_objects(const std::string& key);

    /// Accepts a key without effect.
    void ignore(const std::string& key);
    /// Names of the keys of the whole document that are there and were accepted without effect,
    /// each once, in alphabetical order.
    [[nodiscard]] std::vector<std::string> ignored_keys() const;
    /// Notes a problem of one key of this object; an empty key means the object itself.
    void add_problem(const std::string& key, const std::string& message);
    /// Notes every key never asked for, with the nearest asked-for key, in this object and in every
    /// object that was reached through it. Call it last; a key is reported once however often it
    /// runs.
    void finish();

    [[nodiscard]] Problems& problems();
    [[nodiscard]] const std::string& source_name() const;
    /// Dotted path from the root, "model.trunk[2]"; empty for the root.
    [[nodiscard]] std::string path() const;
    /// Canonical text of this object: keys sorted, shortest numbers that read back exactly. One
    /// line, or indented by `indent` spaces. Equal documents give equal text, so it can be hashed.
    [[nodiscard]] std::string dump(int indent = -1) const;

    void set(const std::string& key, std::int64_t value);
    void set(const std::string& key, int value) { set(key, static_cast<std::int64_t>(value)); }
    void set(const std::string& key, double value);  ///< @throws Error if it is not finite.
    void set(const std::string& key, bool value);
    void set(const std::string& key, const std::string& value);
    void set(const std::string& key, const char* value) { set(key, std::string(value)); }
    void set(const std::string& key, const std::vector<std::string>& value);
    void set(const std::string& key, const std::vector<std::int64_t>& value);
    void set(const std::string& key, const std::vector<double>& value);
    /// Puts an empty object under `key`, or at the end of the array under `key`, and returns it.
    JsonObject set_object(const std::string& key);
    JsonObject append_object(const std::string& key);

    /// Overrides one value by path, "train.seed", "model.trunk[2].heads" or "model.trunk.2.heads".
    /// `text` is read as JSON, else taken as a string. Missing objects are made on the way. A path
    /// through a value of another type or past the end of an array is noted as a problem.
    void set_path(const std::string& dotted_path, const std::string& text);

  private:
    struct Document;  // defined in the source file, which keeps the JSON library out of this header
    struct Access;
    JsonObject(std::shared_ptr<Document> document, std::vector<std::string> steps);

    std::shared_ptr<Document> document_;
    std::vector<std::string> steps_;  // keys from the root; "[2]" is an array index
};

}  // namespace flagen
