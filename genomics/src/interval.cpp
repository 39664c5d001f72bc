#include "flagen/genomics/interval.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "flagen/error.h"

namespace flagen::genomics {
namespace {

constexpr const char* kForms = "write contig, contig:start or contig:start-end, 1-based and closed";

[[noreturn]] void fail(const std::string& text, const std::string& fault) {
    throw_user_error(UserFault::kConfig, fault, ": \"", text, "\"; ", kForms);
}

// Reads "12,345" into `value`; commas may stand between digits only.
std::int64_t parse_position(std::string_view digits, const std::string& text,
                            const std::string& what) {
    std::string plain;
    bool last_was_digit = false;
    for (const char c : digits) {
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && !(c == ',' && last_was_digit)) {
            fail(text, "region has a bad " + what + " \"" + std::string(digits) + "\"");
        }
        if (is_digit) {
            plain.push_back(c);
        }
        last_was_digit = is_digit;
    }
    if (!last_was_digit) {
        fail(text, "region has a bad " + what + " \"" + std::string(digits) + "\"");
    }
    std::int64_t value = 0;
    const auto result = std::from_chars(plain.data(), plain.data() + plain.size(), value);
    if (result.ec != std::errc{} || value == kContigEnd) {
        fail(text, "region has a " + what + " that is too large");
    }
    if (value == 0) {
        fail(text, "region has " + what + " 0, but positions count from 1");
    }
    return value;
}

}  // namespace

char strand_symbol(Strand strand) {
    switch (strand) {
        case Strand::kForward:
            return '+';
        case Strand::kReverse:
            return '-';
        case Strand::kUnknown:
            return '.';
    }
    return '.';
}

Interval parse_region(const std::string& text) {
    std::string contig = text;
    std::optional<std::string> range;
    if (!text.empty() && text.front() == '{') {
        const std::size_t brace = text.find('}');
        if (brace == std::string::npos) {
            fail(text, "region has no closing brace");
        }
        contig = text.substr(1, brace - 1);
        const std::string rest = text.substr(brace + 1);
        if (!rest.empty() && rest.front() != ':') {
            fail(text, "region has \"" + rest + "\" after the brace");
        }
        if (!rest.empty()) {
            range = rest.substr(1);
        }
    } else if (const std::size_t colon = text.rfind(':'); colon != std::string::npos) {
        contig = text.substr(0, colon);
        range = text.substr(colon + 1);
    }
    if (contig.empty()) {
        fail(text, "region names no contig");
    }
    if (!range) {
        return {contig, 0, kContigEnd};
    }
    const std::size_t dash = range->find('-');
    const std::int64_t start = parse_position(range->substr(0, dash), text, "start");
    if (dash == std::string::npos) {
        return {contig, start - 1, kContigEnd};
    }
    const std::int64_t end = parse_position(range->substr(dash + 1), text, "end");
    if (end < start) {
        fail(text, "region ends before it starts");
    }
    return {contig, start - 1, end};
}

}  // namespace flagen::genomics
