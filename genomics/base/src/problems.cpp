#include "flagen/problems.h"

#include <algorithm>
#include <utility>

namespace flagen {
namespace {

std::size_t edit_distance(const std::string& left, const std::string& right) {
    std::vector<std::size_t> row(right.size() + 1);
    for (std::size_t j = 0; j <= right.size(); ++j) {
        row[j] = j;
    }
    for (std::size_t i = 1; i <= left.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= right.size(); ++j) {
            const std::size_t replaced = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

}  // namespace

void Problems::add(std::string path, std::string message) {
    entries_.push_back({std::move(path), std::move(message)});
}

std::string Problems::report(const std::string& source_name) const {
    std::string text = source_name + ": " + std::to_string(entries_.size()) +
                       (entries_.size() == 1 ? " problem" : " problems");
    for (const Entry& entry : entries_) {
        text += "\n  " + entry.path + (entry.path.empty() ? "" : ": ") + entry.message;
    }
    return text;
}

void Problems::throw_if_any(const std::string& source_name, UserFault fault) const {
    if (!entries_.empty()) {
        throw UserError(fault, report(source_name));
    }
}

std::optional<std::string> nearest_name(const std::string& name,
                                        const std::vector<std::string>& candidates) {
    std::size_t best = std::max<std::size_t>(2, name.size() / 3) + 1;
    std::optional<std::string> nearest;
    for (const std::string& candidate : candidates) {
        const std::size_t difference = candidate.size() > name.size()
                                           ? candidate.size() - name.size()
                                           : name.size() - candidate.size();
        if (difference >= best) {
            continue;  // the distance is at least the difference in length
        }
        const std::size_t distance = edit_distance(name, candidate);
        if (distance < best) {
            best = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

std::string did_you_mean(const std::string& name, const std::vector<std::string>& candidates) {
    const auto nearest = nearest_name(name, candidates);
    return nearest ? "; did you mean \"" + *nearest + "\"?" : std::string{};
}

}  // namespace flagen
