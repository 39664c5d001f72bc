#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#include "apps/report/figures.h"
#include "apps/report/html_page.h"
#include "apps/report/locus_axis.h"
#include "apps/report/markup.h"
#include "apps/report/plot_axes.h"
#include "apps/report/svg_writer.h"
#include "flagen/error.h"

namespace flagen::apps::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        ++count;
    }
    return count;
}

// Numbers of an attribute over all elements of a name, as `<circle cx=`.
std::vector<double> numbers(const std::string& svg, const std::string& element, const std::string& attribute) {
    std::vector<double> values;
    const std::regex pattern("<" + element + "[^>]* " + attribute + "=\"(-?[0-9.]+)\"");
    for (auto it = std::sregex_iterator(svg.begin(), svg.end(), pattern); it != std::sregex_iterator(); ++it) {
        values.push_back(std::stod((*it)[1]));
    }
    return values;
}

TEST(ReportMarkup, EscapesWhatMarkupReads) {
    EXPECT_EQ(escape("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    EXPECT_EQ(escape("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\xA7\xAC\t\n"), "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\xA7\xAC\t\n");
}

TEST(ReportMarkup, ReplacesWhatXmlForbids) {
    const std::string bad = "\xEF\xBF\xBD";
    EXPECT_EQ(escape(std::string("a\0b\x01\x1B", 5)), "a" + bad + "b" + bad + bad);
    EXPECT_EQ(escape("\xC3"), bad);                      // cut off
    EXPECT_EQ(escape("\x80z"), bad + "z");               // no lead byte
    EXPECT_EQ(escape("\xC0\xBC"), bad + bad);            // '<' written too long
    EXPECT_EQ(escape("\xE0\x80\xBC"), bad + bad + bad);  // the same in three bytes
    EXPECT_EQ(escape("\xED\xA0\x80"), bad + bad + bad);  // surrogate
    EXPECT_EQ(escape("\xEF\xBF\xBF"), bad + bad + bad);  // U+FFFF
    EXPECT_EQ(escape("\xF4\x90\x80\x80"), bad + bad + bad + bad);
    EXPECT_EQ(escape("\xC2\x85"), bad + bad);  // C1 control
}

TEST(ReportMarkup, ShortensInTheMiddleByCharacters) {
    EXPECT_EQ(shortened("abcdefghij", 10), "abcdefghij");
    EXPECT_EQ(shortened("abcdefghijk", 10), "abcd\xE2\x80\xA6ghijk");
    EXPECT_EQ(count_characters(shortened("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 5)), 5U);
}

TEST(ReportMarkup, WritesNumbersForPeople) {
    EXPECT_EQ(fixed(0.7324, 3), "0.732");
    EXPECT_EQ(fixed(-1.5, 2),
              "\xE2\x88\x92"
              "1.50");
    EXPECT_EQ(fixed(-0.0001, 3), "0.000");
    EXPECT_EQ(fixed(kNan, 3), "\xE2\x80\x93");
    EXPECT_EQ(with_commas(4641652), "4,641,652");
    EXPECT_EQ(with_commas(-1234),
              "\xE2\x88\x92"
              "1,234");
    EXPECT_EQ(with_commas(999), "999");
    EXPECT_EQ(with_prefix(960980), "961 k");
    EXPECT_EQ(base_pairs(4641652), "4.64 Mb");
    EXPECT_EQ(base_pairs(32), "32 bp");
}

TEST(ReportTicks, AreTheNumbersThatAPersonWrites) {
    EXPECT_THAT(nice_ticks({0.0, 1.0}, 6), ElementsAre(0.0, 0.2, 0.4, 0.6, 0.8, 1.0));
    EXPECT_THAT(nice_ticks({0.08, 0.52}, 5), ElementsAre(0.1, 0.2, 0.3, 0.4, 0.5));
    EXPECT_THAT(nice_ticks({-1.0, 1.0}, 5), ElementsAre(-1.0, -0.5, 0.0, 0.5, 1.0));
    EXPECT_THAT(nice_ticks({1'800'000, 1'845'000}, 6),
                ElementsAre(1'800'000, 1'810'000, 1'820'000, 1'830'000, 1'840'000));
    EXPECT_THAT(nice_ticks({0.0, 3.0}, 9, 1.0), ElementsAre(0, 1, 2, 3));
}

TEST(ReportTicks, StayInTheRangeAndWithinTheCount) {
    for (const double low : {-1e6, -3.7, 0.0, 1e-7, 0.999, 12345.6}) {
        for (const double span : {1e-6, 0.01, 0.73, 5.0, 4321.0, 3e8}) {
            for (const int most : {2, 3, 5, 9}) {
                const auto ticks = nice_ticks({low, low + span}, most);
                ASSERT_LE(ticks.size(), static_cast<std::size_t>(most));
                for (std::size_t i = 0; i < ticks.size(); ++i) {
                    EXPECT_GE(ticks[i], low - span * 1e-6);
                    EXPECT_LE(ticks[i], low + span * (1 + 1e-6));
                    EXPECT_TRUE(i == 0 || ticks[i] > ticks[i - 1]);
                }
                EXPECT_GE(ticks.size(), most >= 5 ? 2U : 0U) << low << " " << span << " " << most;
            }
        }
    }
}

TEST(ReportTicks, LabelsShareTheirDecimalsAndDiffer) {
    EXPECT_THAT(tick_labels({0.0, 0.25e-2, 0.5e-2}), ElementsAre("0.000", "0.003", "0.005"));
    EXPECT_THAT(tick_labels({0.0, 0.2, 0.4}), ElementsAre("0.0", "0.2", "0.4"));
    EXPECT_THAT(tick_labels({0.0, 5000.0, 10000.0}), ElementsAre("0", "5,000", "10,000"));
    EXPECT_EQ(axis_exponent({0.0, 0.003}), -3);
    EXPECT_EQ(axis_exponent({0.0, 0.7}), 0);
    EXPECT_EQ(axis_exponent({0.0, 3e6}), 6);
}

TEST(ReportScale, MapsEndsAndMiddle) {
    const LinearScale scale({-2.0, 2.0}, 100, 300);
    EXPECT_EQ(scale(-2.0), 100);
    EXPECT_EQ(scale(0.0), 200);
    EXPECT_EQ(scale(2.0), 300);
    Range range = Range::empty();
    EXPECT_EQ(padded(range).high, 1.0);
    range.include(kNan);
    range.include(3.0);
    EXPECT_LT(padded(range).low, 3.0);
    EXPECT_GT(padded(range).high, 3.0);
}

TEST(ReportAxes, LabelsOfTheXAxisKeepTheirDistance) {
    for (const double high : {7.0, 300.0, 123'456.0, 99'999'999.0}) {
        SvgWriter svg(560, 330, "test");
        const PlotFrame frame(svg, {68, 16, 540, 276}, {"step", {0, high}, 1.0}, {"loss", {0, 1}});
        const std::string text = svg.finish();
        std::vector<std::pair<double, double>> spans;
        const std::regex label("<text x=\"([0-9.]+)\" y=\"295\" text-anchor=\"middle\" class=\"tick\">([^<]*)<");
        for (auto it = std::sregex_iterator(text.begin(), text.end(), label); it != std::sregex_iterator(); ++it) {
            const double half = text_width((*it)[2].str()) / 2;
            spans.emplace_back(std::stod((*it)[1]) - half, std::stod((*it)[1]) + half);
        }
        ASSERT_GE(spans.size(), 3U) << high;
        for (std::size_t i = 1; i < spans.size(); ++i) {
            EXPECT_GT(spans[i].first, spans[i - 1].second + 8) << high;
        }
    }
}

TEST(ReportSvg, RefusesWhatCannotBeDrawn) {
    SvgWriter svg(10, 10, "test");
    EXPECT_THROW(svg.circle({kNan, 0}, 1, "dot"), Error);
    EXPECT_THROW(svg.rect({0, 0}, -1, 1, "bar"), Error);
}

TEST(ReportScatter, DotsFallOnTheirValues) {
    ScatterPlot plot{"test", "log2 TPM", {{"<b>", 1.0, 1.0}, {"c", 5.0, 5.0}, {"d", 5.0, 1.0}}, 0.5, 0.5, 0.1};
    const Figure figure = scatter_figure(plot);
    auto x = numbers(figure.svg, "circle", "cx");
    auto y = numbers(figure.svg, "circle", "cy");
    ASSERT_EQ(x.size(), 3U);
    std::sort(x.begin(), x.end());
    std::sort(y.begin(), y.end());
    EXPECT_EQ(x[1], x[2]);  // the two with observed = 5
    EXPECT_EQ(y[1], y[2]);  // the two with predicted = 1, which lie lower on the page
    EXPECT_THAT(figure.svg, HasSubstr("&lt;b&gt;: observed 1.00"));
    EXPECT_THAT(figure.svg, Not(HasSubstr("<b>")));
    EXPECT_THAT(figure.svg, HasSubstr("r = 0.500"));
    EXPECT_THAT(figure.title, HasSubstr("3 genes"));
}

TEST(ReportScatter, ManyPointsBecomeCountedHexagons) {
    ScatterPlot plot{"valid", "x", {}, 0.9, 0.9, 0.8};
    for (int i = 0; i < 5000; ++i) {
        const double value = std::fmod(i * 0.6180339887, 1.0) * 10;
        plot.pairs.push_back({"g", value, value + std::fmod(i * 0.7548776662, 1.0)});
    }
    const Figure figure = scatter_figure(plot);
    EXPECT_EQ(count_of(figure.svg, "<circle"), 0U);
    std::int64_t sum = 0;
    const std::regex count("<title>([0-9,]+) genes?</title>");
    for (auto it = std::sregex_iterator(figure.svg.begin(), figure.svg.end(), count); it != std::sregex_iterator();
         ++it) {
        sum += std::stoll((*it)[1]);
    }
    EXPECT_EQ(sum, 5000);
    EXPECT_LT(figure.svg.size(), 400'000U);
}

TEST(ReportCurves, LongSeriesAreThinnedWithoutLosingTheirMean) {
    CurvesPlot plot;
    plot.y_label = "loss";
    plot.series.push_back({"training", {}});
    for (int i = 0; i < 100'000; ++i) {
        plot.series[0].points.push_back({static_cast<double>(i), 1.0});
    }
    const Figure figure = curves_figure(plot);
    EXPECT_LT(figure.svg.size(), 20'000U);
    EXPECT_THAT(figure.svg, HasSubstr("<polyline"));
}

TEST(ReportCorrelations, FewBecomeNamedRowsAndManyAStrip) {
    ValueGroup few{"test", {{"worst", -0.2}, {"best", 0.9}, {"none", kNan}}};
    const Figure rows = correlations_figure({"sample", "genes", {few}});
    EXPECT_EQ(count_of(rows.svg, "<circle"), 2U);
    EXPECT_LT(rows.svg.find(">best<"), rows.svg.find(">worst<"));
    EXPECT_LT(rows.svg.find(">worst<"), rows.svg.find(">none<"));
    EXPECT_THAT(rows.title, HasSubstr("median 0.350 in test"));
    EXPECT_THAT(rows.caption, HasSubstr("1 undefined"));
    ValueGroup many{"valid", {}};
    for (int i = 0; i < 100; ++i) {
        many.values.push_back({"s", i / 100.0});
    }
    EXPECT_EQ(count_of(correlations_figure({"sample", "genes", {many}}).svg, "<circle"), 100U);
    EXPECT_EQ(correlations_figure({"sample", "genes", {{"test", {{"a", kNan}}}}}).svg, "");
}

TEST(ReportHistogram, CountsEveryDefinedGene) {
    const Figure figure = gene_histogram_figure({"test", {1.0, 0.5, kNan}, {-1.0, 0.5, 0.52, kNan}});
    std::int64_t sum = 0;
    const std::regex count(": ([0-9]+) genes centred");
    for (auto it = std::sregex_iterator(figure.svg.begin(), figure.svg.end(), count); it != std::sregex_iterator();
         ++it) {
        sum += std::stoll((*it)[1]);
    }
    EXPECT_EQ(sum, 3);
    EXPECT_THAT(figure.title, HasSubstr("median 0.500 centred, 0.750 as measured"));
    EXPECT_EQ(gene_histogram_figure({"test", {kNan}, {kNan}}).svg, "");
}

TEST(ReportLocus, DrawsArrowsOfBothStrandsAndSaysWhatItLeavesOut) {
    GeneLocus locus{"chr<1>", 1000, 61000, "log2 TPM", {}};
    for (int i = 0; i < 60; ++i) {
        locus.genes.push_back({std::string("g").append(std::to_string(i)), i % 2 == 0 ? '+' : '-', 1000 + i * 1000,
                               1000 + i * 1000 + 800, i % 3 == 0, i % 7 == 0 ? kNan : -1.0 + i * 0.1, 2.0});
    }
    const Figure figure = gene_locus_figure(locus);
    EXPECT_EQ(count_of(figure.svg, "<polygon"), kMaxLocusGenes);
    EXPECT_THAT(figure.caption, HasSubstr("first 48 of 60"));
    EXPECT_THAT(figure.svg, Not(HasSubstr("chr<1>")));
    EXPECT_THAT(figure.title, HasSubstr("chr<1>:1,001-"));  // plain: the page escapes it
    EXPECT_EQ(gene_locus_figure({"c", 0, 10, "x", {}}).svg, "");
}

TEST(ReportTrackLocus, ShowsPeaksFinerThanTheDrawing) {
    LocusTrack track{"CAGE", "coverage", std::vector<float>(16384, 0.0F), std::vector<float>(16384, 0.0F)};
    track.observed[9000] = 50.0F;
    track.predicted[9001] = 25.0F;
    const Figure figure = track_locus_figure({"chr1", 0, 32, {track}, {{"g", '-', 1000, 9000, true, 0, 0}}});
    // The scale ends at 50: the observed peak reaches the top of its strip, the predicted one half of it.
    EXPECT_EQ(count_of(figure.svg, ">50<"), 1U);
    EXPECT_LT(figure.svg.size(), 10'000U);  // runs of equal columns are one step
    const std::regex polygon("<polygon points=\"([^\"]*)\" class=\"(observed|predicted)\"");
    std::vector<double> heights;
    for (auto it = std::sregex_iterator(figure.svg.begin(), figure.svg.end(), polygon); it != std::sregex_iterator();
         ++it) {
        const std::string points = (*it)[1];
        const std::regex y(",(-?[0-9.]+)");
        double top = 1e9;
        double bottom = -1e9;
        for (auto p = std::sregex_iterator(points.begin(), points.end(), y); p != std::sregex_iterator(); ++p) {
            top = std::min(top, std::stod((*p)[1]));
            bottom = std::max(bottom, std::stod((*p)[1]));
        }
        heights.push_back(bottom - top);
    }
    ASSERT_EQ(heights.size(), 2U);
    EXPECT_NEAR(heights[1] / heights[0], 0.5, 0.01);
    LocusTrack shorter{"x", "y", {}, {1.0F}};
    EXPECT_THROW(static_cast<void>(track_locus_figure({"chr1", 0, 32, {track, shorter}, {}})), Error);
}

TEST(ReportPage, EscapesEveryText) {
    HtmlPage page("<script>", "a & b");
    page.section("<i>");
    page.note("<x>");
    page.facts({{"<dt>", "<dd>"}});
    page.table({"<cap>", {"<c>"}, {{{"<cell>", true}}}, 1, {0}});
    page.figures({{"<t>", "<cap>", "", false}});
    page.tiles({{"<1>", "<2>", "<3>"}});
    page.collapsed("<s>", "</pre><script>alert(1)</script>");
    const std::string html = page.finish("<f>");
    EXPECT_THAT(html, Not(HasSubstr("<script>")));
    EXPECT_THAT(html, HasSubstr("&lt;/pre&gt;&lt;script&gt;"));
    EXPECT_THAT(html, HasSubstr("default-src 'none'"));
}

}  // namespace
}  // namespace flagen::apps::report
