#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace flagen::apps::report {

/// `text` as character data or as a quoted attribute value, in HTML and in XML alike.
///
/// Names of contigs, genes and samples come from files of strangers: & < > " ' become entities, and
/// bytes that are no UTF-8 or that XML 1.0 forbids (control characters) become U+FFFD.
[[nodiscard]] std::string escape(std::string_view text);

/// At most `max_chars` code points: the middle of a longer text is replaced by an ellipsis, so that
/// the ends, in which sample names differ, stay. Not escaped.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t max_chars);

/// Number of code points, for estimates of width.
[[nodiscard]] std::size_t count_characters(std::string_view text);

/// "0.732", "−1.50"; an en dash where the value is not finite. Never "−0.000".
[[nodiscard]] std::string fixed(double value, int decimals);

/// "4,641,652".
[[nodiscard]] std::string with_commas(std::int64_t value);

/// "1.23 M", "961 k"; counts below 1000 as they are.
[[nodiscard]] std::string with_prefix(double value);

/// A training step, as metrics.jsonl counts them: "1200".
[[nodiscard]] std::string step_number(double step);

/// A length of DNA: "512 bp", "524 kb", "4.64 Mb".
[[nodiscard]] std::string base_pairs(std::int64_t length_bp);

}  // namespace flagen::apps::report
