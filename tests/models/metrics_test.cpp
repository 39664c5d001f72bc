#include "flagen/models/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <random>
#include <sstream>

#include "flagen/error.h"
#include "support/run_python.h"
#include "support/temp_dir.h"

namespace flagen::models {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

using Matrix = std::vector<std::vector<double>>;

struct Case {
    Matrix predicted;
    Matrix measured;
};

/// Genes differ in level, samples differ a little, some values tie, `missing` of the entries are
/// NaN.
Case make_case(int num_genes, int num_samples, double missing, double offset = 0.0) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    Case result;
    std::vector<double> sample_effect;
    for (int s = 0; s < num_samples; ++s) {
        sample_effect.push_back(0.3 * normal(random));
    }
    for (int g = 0; g < num_genes; ++g) {
        const double level = 5.0 + 2.0 * normal(random);
        std::vector<double> predicted;
        std::vector<double> measured;
        for (int s = 0; s < num_samples; ++s) {
            // Rounded to quarters, so that ranks tie.
            const double truth =
                std::round(4.0 * (level + sample_effect[static_cast<std::size_t>(s)] +
                                  0.7 * normal(random))) /
                4.0;
            measured.push_back(uniform(random) < missing ? kNan : offset + truth);
            predicted.push_back(offset + 0.6 * truth + normal(random));
        }
        result.predicted.push_back(predicted);
        result.measured.push_back(measured);
    }
    return result;
}

ExpressionScores score(const Case& data) {
    ExpressionMetrics metrics(static_cast<std::int64_t>(data.measured.at(0).size()));
    for (std::size_t g = 0; g < data.measured.size(); ++g) {
        metrics.add(std::span<const double>(data.predicted[g]),
                    std::span<const double>(data.measured[g]));
    }
    return metrics.scores();
}

std::map<std::string, double> python_scores(const Case& data) {
    const flagen::testing::TempDir dir;
    std::string bytes;
    for (const Matrix* matrix : {&data.predicted, &data.measured}) {
        for (const auto& row : *matrix) {
            bytes.append(reinterpret_cast<const char*>(row.data()), row.size() * sizeof(double));
        }
    }
    const std::string output = flagen::testing::run_python_file(
        (std::filesystem::path(__FILE__).parent_path() / "metrics_reference.py").string(),
        {dir.write("matrices", bytes), std::to_string(data.measured.size()),
         std::to_string(data.measured.at(0).size())});
    std::map<std::string, double> values;
    std::istringstream lines(output);
    std::string name;
    std::string value;
    while (lines >> name >> value) {
        values[name] = std::stod(value);
    }
    return values;
}

void expect_equal(const std::map<std::string, double>& reference, const std::string& name,
                  double value, double tolerance) {
    ASSERT_TRUE(reference.contains(name)) << name;
    const double expected = reference.at(name);
    if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(value)) << name << " is " << value;
    } else {
        EXPECT_NEAR(value, expected, tolerance) << name;
    }
}

void expect_scipys_scores(const Case& data, double tolerance) {
    const ExpressionScores scores = score(data);
    const auto reference = python_scores(data);
    ASSERT_GT(reference.size(), 10U);
    for (std::size_t s = 0; s < scores.per_sample.size(); ++s) {
        const std::string index = "[" + std::to_string(s) + "]";
        expect_equal(reference, "sample_pearson" + index, scores.per_sample[s].pearson, tolerance);
        expect_equal(reference, "sample_spearman" + index, scores.per_sample[s].spearman,
                     tolerance);
        expect_equal(reference, "sample_r2" + index, scores.per_sample[s].r2, tolerance);
    }
    for (std::size_t g = 0; g < scores.per_gene.size(); ++g) {
        expect_equal(reference, "gene[" + std::to_string(g) + "]", scores.per_gene[g], tolerance);
    }
    expect_equal(reference, "mean_sample_pearson", scores.sample_pearson.mean, tolerance);
    expect_equal(reference, "mean_sample_spearman", scores.sample_spearman.mean, tolerance);
    expect_equal(reference, "mean_sample_r2", scores.sample_r2.mean, tolerance);
    expect_equal(reference, "profile_pearson", scores.sample_mean.pearson, tolerance);
    expect_equal(reference, "profile_spearman", scores.sample_mean.spearman, tolerance);
    expect_equal(reference, "profile_r2", scores.sample_mean.r2, tolerance);
    expect_equal(reference, "mean_gene", scores.gene_pearson.mean, tolerance);
    expect_equal(reference, "mean_variable_gene", scores.gene_pearson_variable.mean, tolerance);
    expect_equal(reference, "v2", scores.gene_pearson_centred.mean, tolerance);
}

class AgainstScipy : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!flagen::testing::python_has("scipy")) {
            GTEST_SKIP() << "scipy is absent from " << FLAGEN_VENV_PYTHON;
        }
    }
};

TEST_F(AgainstScipy, CompleteMatrices) { expect_scipys_scores(make_case(97, 23, 0.0), 1e-12); }

TEST_F(AgainstScipy, MissingEntriesAndConstantVectors) {
    Case data = make_case(61, 17, 0.2);
    for (std::size_t s = 0; s < 17; ++s) {
        data.measured[5][s] = kNan;  // a gene never measured
        data.measured[6][s] = 3.1;   // a constant gene
        data.predicted[7][s] = 0.1;  // a constant prediction
    }
    for (std::size_t g = 0; g < 61; ++g) {
        data.measured[g][4] = 2.7;  // a constant sample
    }
    expect_scipys_scores(data, 1e-12);
    const ExpressionScores scores = score(data);
    EXPECT_EQ(scores.sample_pearson.num_undefined, 1);
    EXPECT_EQ(scores.gene_pearson.num_defined + scores.gene_pearson.num_undefined, 61);
    EXPECT_GE(scores.gene_pearson.num_undefined, 1);
}

TEST_F(AgainstScipy, ALargeOffsetCostsNoPrecision) {
    expect_scipys_scores(make_case(40, 9, 0.1, 1e6), 1e-8);
}

TEST(ExpressionMetrics, HandComputedValues) {
    // Predictions are measured + a sample effect of their own: V2 must be 1, per-gene r must not.
    Case data{{{1, 5, 0}, {2, 7, 3}, {6, 6, 6}}, {{1, 2, 3}, {2, 4, 6}, {6, 3, 9}}};
    const ExpressionScores scores = score(data);
    EXPECT_EQ(scores.num_genes, 3);
    EXPECT_EQ(scores.num_samples, 3);
    // Gene means: predicted 2, 4, 6; measured 2, 4, 6.
    EXPECT_DOUBLE_EQ(scores.sample_mean.pearson, 1.0);
    EXPECT_DOUBLE_EQ(scores.sample_mean.r2, 1.0);
    EXPECT_DOUBLE_EQ(scores.per_sample[0].pearson, 1.0);
    // r of (1, 5, 0) and (1, 2, 3): -1 / sqrt(14 * 2).
    EXPECT_NEAR(scores.per_gene[0], -1.0 / std::sqrt(28.0), 1e-15);
    EXPECT_TRUE(std::isnan(scores.per_gene[2]));
}

TEST(ExpressionMetrics, CentringRemovesWhatIsCommonToAllGenes) {
    const Case base = make_case(30, 8, 0.0);
    Case shifted = base;
    shifted.predicted = base.measured;
    for (std::size_t g = 0; g < 30; ++g) {
        for (std::size_t s = 0; s < 8; ++s) {
            shifted.predicted[g][s] +=
                10.0 * std::sin(static_cast<double>(s)) + static_cast<double>(g);
        }
    }
    const ExpressionScores scores = score(shifted);
    EXPECT_NEAR(scores.gene_pearson_centred.mean, 1.0, 1e-12);
    EXPECT_LT(scores.gene_pearson.mean, 0.5);

    // A prediction of gene means and sample means alone has nothing left after centring.
    for (std::size_t g = 0; g < 30; ++g) {
        for (std::size_t s = 0; s < 8; ++s) {
            shifted.predicted[g][s] = 0.1 * static_cast<double>(g) + 0.3 * static_cast<double>(s);
        }
    }
    const ExpressionScores additive = score(shifted);
    EXPECT_EQ(additive.gene_pearson_centred.num_defined, 0)
        << "rounding residues must not correlate";
    EXPECT_TRUE(std::isnan(additive.gene_pearson_centred.mean));
}

TEST(ExpressionMetrics, FloatAndDoubleInputAgree) {
    ExpressionMetrics floats(2);
    ExpressionMetrics doubles(2);
    for (int g = 0; g < 5; ++g) {
        const float p[2] = {static_cast<float>(g), 1.5F};
        const float m[2] = {static_cast<float>(g * g), std::numeric_limits<float>::quiet_NaN()};
        const double pd[2] = {p[0], p[1]};
        const double md[2] = {m[0], kNan};
        floats.add(std::span<const float>(p), std::span<const float>(m));
        doubles.add(std::span<const double>(pd), std::span<const double>(md));
    }
    EXPECT_EQ(floats.scores().per_sample[0].pearson, doubles.scores().per_sample[0].pearson);
    EXPECT_EQ(floats.scores().num_missing, 5);
    EXPECT_EQ(floats.scores().per_sample[1].num_pairs, 0);
}

TEST(ExpressionMetrics, RefusesWhatCannotBeScored) {
    ExpressionMetrics metrics(2);
    const auto add = [&](std::vector<double> p, std::vector<double> m) {
        metrics.add(std::span<const double>(p), std::span<const double>(m));
    };
    EXPECT_THROW(add({1, kNan}, {1, 2}), Error);
    EXPECT_THROW(add({1, kNan}, {1, kNan}), Error);
    EXPECT_THROW(add({1, kInf}, {1, 2}), Error);
    EXPECT_THROW(add({1, 2}, {1, -kInf}), Error);
    EXPECT_THROW(add({1}, {1, 2}), Error);
    EXPECT_THROW(add({1, 2}, {1, 2, 3}), Error);
    EXPECT_EQ(metrics.num_genes(), 0) << "a refused gene must leave no half row";
    EXPECT_THROW(ExpressionMetrics(0), Error);
    const ExpressionScores none = metrics.scores();
    EXPECT_TRUE(std::isnan(none.sample_pearson.mean));
    EXPECT_TRUE(std::isnan(none.sample_mean.pearson));
}

TEST(Pearson, UndefinedCasesAreNan) {
    const std::vector<double> one = {1};
    const std::vector<double> rising = {1, 2, 3};
    const std::vector<double> constant = {0.1, 0.1, 0.1};
    EXPECT_TRUE(std::isnan(pearson(one, one)));
    EXPECT_TRUE(std::isnan(pearson({}, {})));
    EXPECT_TRUE(std::isnan(pearson(rising, constant)));
    EXPECT_TRUE(std::isnan(spearman(constant, rising)));
    EXPECT_TRUE(std::isnan(r2(rising, constant)));
    EXPECT_DOUBLE_EQ(r2(constant, rising), 1.0 - (0.81 + 3.61 + 8.41) / 2.0);
    // Tiny and huge values neither underflow nor overflow.
    EXPECT_DOUBLE_EQ(
        pearson(std::vector<double>{1e-160, 2e-160, 4e-160}, std::vector<double>{1, 2, 4}), 1.0);
    EXPECT_DOUBLE_EQ(
        pearson(std::vector<double>{1e150, 2e150, 4e150}, std::vector<double>{1, 2, 4}), 1.0);
}

TEST(AverageRanks, TiesShareTheMean) {
    EXPECT_EQ(average_ranks(std::vector<double>{3, 1, 3, 2, 3}),
              (std::vector<double>{4, 1, 4, 2, 4}));
    EXPECT_EQ(average_ranks(std::vector<double>{-0.0, 0.0}), (std::vector<double>{1.5, 1.5}));
    EXPECT_TRUE(average_ranks({}).empty());
}

TEST(PairMoments, EqualsTwoPassesWhateverTheSplit) {
    const Case data = make_case(1, 4000, 0.0, 1e5);
    PairMoments whole;
    PairMoments parts;
    PairMoments part;
    for (std::size_t i = 0; i < 4000; ++i) {
        whole.add(data.predicted[0][i], data.measured[0][i]);
        part.add(data.predicted[0][i], data.measured[0][i]);
        if (i % 271 == 0) {
            parts.merge(part);
            part = {};
        }
    }
    parts.merge(part);
    parts.merge({});
    EXPECT_EQ(parts.count(), 4000);
    EXPECT_NEAR(whole.pearson(), pearson(data.predicted[0], data.measured[0]), 1e-9);
    EXPECT_NEAR(parts.pearson(), pearson(data.predicted[0], data.measured[0]), 1e-9);
    EXPECT_NEAR(whole.r2(), r2(data.predicted[0], data.measured[0]), 1e-6);
    EXPECT_NEAR(parts.r2(), whole.r2(), 1e-6);
    EXPECT_TRUE(std::isnan(PairMoments().pearson()));
    PairMoments constant;
    for (int i = 0; i < 10; ++i) {
        constant.add(0.1, i);
    }
    EXPECT_TRUE(std::isnan(constant.pearson()));
    EXPECT_FALSE(std::isnan(constant.r2()));
}

}  // namespace
}  // namespace flagen::models
