#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "flagen/error.h"

namespace flagen {

/// Faults found while reading one configuration, kept so that the user sees all of them at once.
///
/// Not thread-safe. The order of add() is the order of the report.
class Problems {
  public:
    /// Notes one fault. `path` is dotted, as "model.trunk[2].heads"; it may be empty for a fault of
    /// the whole document.
    void add(std::string path, std::string message);

    [[nodiscard]] bool empty() const { return entries_.empty(); }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }

    /// The report: a headline with the count, then one indented line a fault.
    ///
    ///     params.json: 2 problems
    ///       train.learnig_rate: unknown key; did you mean "learning_rate"?
    ///       train.seed: expected an integer, found a string ("one")
    [[nodiscard]] std::string report(const std::string& source_name) const;

    /// @throws UserError of `fault` with report(source_name) as its text, if there is any problem.
    void throw_if_any(const std::string& source_name, UserFault fault = UserFault::kConfig) const;

  private:
    struct Entry {
        std::string path;
        std::string message;
    };
    std::vector<Entry> entries_;
};

/// The member of `candidates` with the smallest edit distance (Levenshtein) to `name`, if that is
/// at most max(2, a third of the length of `name`); the earliest one on a tie. Used for "did you
/// mean".
[[nodiscard]] std::optional<std::string> nearest_name(const std::string& name,
                                                      const std::vector<std::string>& candidates);

/// "; did you mean \"x\"?" for the nearest candidate, or an empty string when none is near.
[[nodiscard]] std::string did_you_mean(const std::string& name,
                                       const std::vector<std::string>& candidates);

}  // namespace flagen
