#pragma once

namespace flagen::apps::report {

/// The style sheet of a report: page, tables and the classes that drawings use.
///
/// Series colours are those of M. Okabe and K. Ito, "Color Universal Design", 2008 (lighter ones on dark ground);
/// the density ramp d0..d5 grows in luminance contrast with the ground, so it reads in grey as well.
///
///     s0 s1 s2 s3            series: blue, vermilion, green, purple; with "line", "dot" or "bar", as in "line s0"
///     observed, predicted    the two sides of a comparison
///     d0 .. d5               few to many points
///     grid axis tick label   parts of a plot; key and value: legends and numbers in it
///     identity, median       reference lines
extern const char* const kPageStyle;

}  // namespace flagen::apps::report
