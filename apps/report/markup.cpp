#include "apps/report/markup.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace flagen::apps::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";
constexpr std::string_view kMinus = "\xE2\x88\x92";
constexpr std::string_view kEnDash = "\xE2\x80\x93";

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// Length of the well-formed UTF-8 character at the start of `text` that XML 1.0 allows, or 0.
std::size_t valid_character(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    if (lead < 0x80) {
        return lead >= 0x20 ? (lead == 0x7F ? 0 : 1) : (lead == '\t' || lead == '\n' || lead == '\r' ? 1 : 0);
    }
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < length) {
        return 0;
    }
    std::uint32_t code = lead & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if (!is_continuation(text[i])) {
            return 0;
        }
        code = (code << 6U) | (static_cast<unsigned char>(text[i]) & 0x3FU);
    }
    constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    const bool control = code < 0xA0;
    const bool fits = code >= kSmallest[length] && code <= 0x10FFFF && code != 0xFFFE && code != 0xFFFF;
    return fits && !surrogate && !control ? length : 0;
}

}  // namespace

std::string escape(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 16);
    while (!text.empty()) {
        const std::size_t length = valid_character(text);
        if (length == 0) {
            out += kReplacement;
            text.remove_prefix(1);
            continue;
        }
        switch (text[0]) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            default: out += text.substr(0, length);
        }
        text.remove_prefix(length);
    }
    return out;
}

std::size_t count_characters(std::string_view text) {
    std::size_t count = 0;
    for (const char byte : text) {
        count += is_continuation(byte) ? 0 : 1;
    }
    return count;
}

std::string shortened(std::string_view text, std::size_t max_chars) {
    const std::size_t count = count_characters(text);
    if (count <= max_chars || max_chars < 3) {
        return std::string(text);
    }
    const std::size_t head = (max_chars - 1) / 2;
    const std::size_t tail = max_chars - 1 - head;
    std::string out;
    std::size_t index = 0;
    for (const char byte : text) {
        index += is_continuation(byte) ? 0 : 1;  // number of the character, from 1
        if (index <= head || index > count - tail) {
            out += byte;
        } else if (index == head + 1 && !is_continuation(byte)) {
            out += kEllipsis;
        }
    }
    return out;
}

std::string fixed(double value, int decimals) {
    if (!std::isfinite(value)) {
        return std::string(kEnDash);
    }
    std::array<char, 400> digits{};
    std::snprintf(digits.data(), digits.size(), "%.*f", decimals, std::fabs(value));
    std::string out(digits.data());
    if (value < 0 && out.find_first_not_of("0.") != std::string::npos) {
        out.insert(0, kMinus);
    }
    return out;
}

std::string with_commas(std::int64_t value) {
    std::string digits = std::to_string(value);
    const std::size_t first = digits.front() == '-' ? 1 : 0;
    for (std::size_t place = digits.size(); place > first + 3;) {
        place -= 3;
        digits.insert(place, 1, ',');
    }
    if (first == 1) {
        digits.replace(0, 1, kMinus);
    }
    return digits;
}

std::string with_prefix(double value) {
    static constexpr std::array<const char*, 6> kPrefixes = {"", " k", " M", " G", " T", " P"};
    std::size_t prefix = 0;
    while (value >= 999.5 && prefix + 1 < kPrefixes.size()) {
        value /= 1000.0;
        ++prefix;
    }
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), prefix == 0 ? "%.0f%s" : "%.3g%s", value, kPrefixes[prefix]);
    return text.data();
}

std::string step_number(double step) { return std::to_string(std::llround(step)); }

std::string base_pairs(std::int64_t length_bp) {
    const auto value = static_cast<double>(length_bp);
    std::array<char, 64> text{};
    if (length_bp < 10'000) {
        return with_commas(length_bp).append(" bp");
    }
    const bool mega = length_bp >= 1'000'000;
    std::snprintf(text.data(), text.size(), "%.3g %s", value / (mega ? 1e6 : 1e3), mega ? "Mb" : "kb");
    return text.data();
}

}  // namespace flagen::apps::report
