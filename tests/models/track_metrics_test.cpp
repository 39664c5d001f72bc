#include "flagen/models/track_metrics.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "flagen/models/gene_track_metrics.h"
#include "support/run_python.h"
#include "support/temp_dir.h"

namespace flagen::models {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Scores = std::map<std::string, double>;

/// What numpy and scipy make of two fp64 tensors.
Scores python_scores(const std::string& kind, const at::Tensor& predicted,
                     const at::Tensor& measured, const std::vector<std::string>& arguments) {
    const flagen::testing::TempDir dir;
    const at::Tensor both = at::stack({predicted, measured}).contiguous();
    const std::string bytes(reinterpret_cast<const char*>(both.data_ptr<double>()),
                            static_cast<std::size_t>(both.numel()) * sizeof(double));
    std::vector<std::string> words = {kind, dir.write("values", bytes)};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::istringstream lines(flagen::testing::run_python_file(
        (std::filesystem::path(__FILE__).parent_path() / "track_metrics_reference.py").string(),
        words));
    Scores scores;
    std::string name;
    std::string value;
    while (lines >> name >> value) {
        scores[name] = std::stod(value);
    }
    return scores;
}

void expect_equal(const Scores& reference, const std::string& name, double value,
                  double tolerance) {
    ASSERT_TRUE(reference.contains(name)) << name;
    const double expected = reference.at(name);
    if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(value)) << name << " is " << value;
    } else {
        EXPECT_NEAR(value, expected, tolerance) << name;
    }
}

std::string indexed(const std::string& name, std::int64_t track) {
    return detail::concatenate(name, "[", track, "]");
}

class AgainstScipy : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!flagen::testing::python_has("scipy")) {
            GTEST_SKIP() << "scipy is absent from " << FLAGEN_VENV_PYTHON;
        }
    }
};

/// Adds `rows` in batches of uneven size.
TrackMetrics in_batches(const at::Tensor& predicted, const at::Tensor& measured) {
    TrackMetrics metrics(predicted.size(-1));
    const std::int64_t num_rows = predicted.size(0);
    for (std::int64_t first = 0, size = 1; first < num_rows; first += size, size = 2 * size + 1) {
        const std::int64_t count = std::min(size, num_rows - first);
        metrics.add(predicted.narrow(0, first, count), measured.narrow(0, first, count));
    }
    return metrics;
}

void expect_scipys_tracks(const at::Tensor& predicted, const at::Tensor& measured,
                          double tolerance) {
    const Scores reference =
        python_scores("tracks", predicted, measured,
                      {std::to_string(predicted.size(0)), std::to_string(predicted.size(1))});
    const TrackMetrics metrics = in_batches(predicted, measured);
    for (std::int64_t track = 0; track < metrics.num_tracks(); ++track) {
        expect_equal(reference, indexed("pearson", track), metrics.pearson(track), tolerance);
        expect_equal(reference, indexed("r2", track), metrics.r2(track),
                     tolerance * std::max(1.0, std::abs(reference.at(indexed("r2", track)))));
    }
}

TEST_F(AgainstScipy, TracksAgree) {
    torch::manual_seed(1);
    const at::Tensor measured = torch::rand({900, 300}, torch::kDouble).pow(4) * 30.0;
    const at::Tensor predicted = 0.7 * measured + torch::rand({900, 300}, torch::kDouble) * 3.0;
    expect_scipys_tracks(predicted, measured, 1e-12);
}

TEST_F(AgainstScipy, TracksOnABadScaleAgree) {
    torch::manual_seed(2);
    const at::Tensor signal = torch::randn({700, 3}, torch::kDouble);
    const at::Tensor noise = torch::randn({700, 3}, torch::kDouble);
    expect_scipys_tracks(1e6 + 0.01 * (signal + noise), 1e6 + 0.01 * signal, 1e-7);
    expect_scipys_tracks(1e-9 * (signal + noise), 1e-9 * signal, 1e-12);
}

TEST_F(AgainstScipy, TracksWithMissingValuesAgree) {
    torch::manual_seed(3);
    at::Tensor measured = torch::randn({200, 4}, torch::kDouble);
    const at::Tensor predicted = measured + torch::randn({200, 4}, torch::kDouble);
    measured.masked_fill_(torch::rand({200, 4}) < 0.3, kNan);
    measured[0].fill_(kNan);  // a whole batch without a value
    expect_scipys_tracks(predicted, measured, 1e-12);
    const TrackMetrics metrics = in_batches(predicted, measured);
    EXPECT_EQ(metrics.count(2),
              measured.select(1, 2).isnan().logical_not().sum().item<std::int64_t>());
}

TEST(TrackMetrics, MergesWhatOthersHaveSeen) {
    torch::manual_seed(4);
    const at::Tensor measured = 5.0 + torch::randn({6, 50, 7});
    const at::Tensor predicted = measured + torch::randn({6, 50, 7});
    TrackMetrics all(7);
    all.add(predicted, measured);
    TrackMetrics first(7);
    TrackMetrics second(7);
    first.add(predicted.narrow(0, 0, 2), measured.narrow(0, 0, 2));
    second.add(predicted.narrow(0, 2, 4), measured.narrow(0, 2, 4));
    first.merge(TrackMetrics(7));
    first.merge(TrackMetrics::from_state(second.state()));
    for (std::int64_t track = 0; track < 7; ++track) {
        EXPECT_EQ(first.count(track), 300);
        EXPECT_NEAR(first.pearson(track), all.pearson(track), 1e-13);
        EXPECT_NEAR(first.r2(track), all.r2(track), 1e-13);
    }
    EXPECT_THROW(first.merge(TrackMetrics(8)), Error);
}

TEST(TrackMetrics, ConstantTracksHaveNoCorrelation) {
    TrackMetrics metrics(3);
    at::Tensor measured = torch::randn({40, 3});
    measured.select(1, 0).fill_(0.1F);
    at::Tensor predicted = torch::randn({40, 3});
    predicted.select(1, 1).fill_(0.7F);
    metrics.add(predicted, measured);
    metrics.add(predicted, measured);
    EXPECT_TRUE(std::isnan(metrics.pearson(0)));
    EXPECT_TRUE(std::isnan(metrics.r2(0)));
    EXPECT_TRUE(std::isnan(metrics.pearson(1)));
    EXPECT_FALSE(std::isnan(metrics.r2(1)));
    EXPECT_FALSE(std::isnan(metrics.pearson(2)));
    EXPECT_TRUE(std::isnan(TrackMetrics(1).pearson(0)));
}

TEST(TrackMetrics, ThreadsDoNotChangeTheBits) {
    torch::manual_seed(5);
    const at::Tensor measured = torch::randn({20, 1000});
    const at::Tensor predicted = torch::randn({20, 1000});
    const int threads = at::get_num_threads();
    const auto state = [&](int count) {
        at::set_num_threads(count);
        TrackMetrics metrics(1000);
        metrics.add(predicted, measured);
        return metrics.state();
    };
    EXPECT_TRUE(torch::equal(state(1), state(2)));
    at::set_num_threads(threads);
}

TEST(TrackMetrics, RefusesWhatWouldSpoilEverything) {
    TrackMetrics metrics(2);
    const at::Tensor good = torch::ones({3, 2});
    at::Tensor bad = good.clone();
    for (const float value :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        bad[1][1] = value;
        EXPECT_THROW(metrics.add(bad, good), Error);
    }
    bad[1][1] = std::numeric_limits<float>::infinity();
    EXPECT_THROW(metrics.add(good, bad), Error);
    EXPECT_THROW(metrics.add(good, torch::ones({3, 3})), Error);
    EXPECT_THROW(metrics.add(torch::ones({3, 3}), torch::ones({3, 3})), Error);
    EXPECT_EQ(metrics.count(0), 0) << "a refused batch must leave no trace";
}

TEST(TrackMetrics, GroupsAverageTheirDefinedTracks) {
    const auto scores = score_track_groups({0.5, kNan, 0.7, 0.1}, {0.2, 0.4, kNan, -1.0},
                                           {"RNA", "RNA", "RNA", "CAGE"});
    ASSERT_EQ(scores.size(), 2U);
    EXPECT_EQ(scores.at("RNA").num_tracks, 3);
    EXPECT_NEAR(scores.at("RNA").pearson.mean, 0.6, 1e-15);
    EXPECT_EQ(scores.at("RNA").pearson.num_undefined, 1);
    EXPECT_NEAR(scores.at("RNA").r2.mean, 0.3, 1e-15);
    EXPECT_EQ(scores.at("CAGE").r2.mean, -1.0);
    EXPECT_THROW((void)score_track_groups({0.5}, {0.5}, {"a", "b"}), Error);
}

GeneTrackMatrix matrix_of(const at::Tensor& x) {
    const at::Tensor values = x.contiguous();
    const double* first = values.const_data_ptr<double>();
    return {x.size(0), x.size(1), std::vector<double>(first, first + x.numel())};
}

TEST_F(AgainstScipy, GeneTrackScoresAgree) {
    torch::manual_seed(6);
    const at::Tensor level = torch::randn({120, 1}, torch::kDouble) * 2.0 + 5.0;
    // Rounded, so that values tie.
    const at::Tensor measured =
        (4.0 * (level + torch::randn({120, 7}, torch::kDouble))).round() / 4.0;
    const at::Tensor predicted = 0.6 * measured + torch::randn({120, 7}, torch::kDouble);
    const std::vector<std::string> groups = {"RNA", "CAGE", "RNA", "RNA", "CAGE", "RNA", "ATAC"};
    const Scores reference =
        python_scores("genes", predicted, measured, {"120", "7", "RNA,CAGE,RNA,RNA,CAGE,RNA,ATAC"});
    const auto scores = score_gene_tracks(matrix_of(predicted), matrix_of(measured), groups);
    ASSERT_EQ(scores.size(), 7U);
    for (std::int64_t track = 0; track < 7; ++track) {
        const GeneTrackScore& score = scores[static_cast<std::size_t>(track)];
        expect_equal(reference, indexed("pearson", track), score.pearson, 1e-12);
        expect_equal(reference, indexed("r2", track), score.r2, 1e-12);
        expect_equal(reference, indexed("pearson_norm", track), score.pearson_norm, 1e-12);
        expect_equal(reference, indexed("r2_norm", track), score.r2_norm, 1e-12);
    }
}

TEST_F(AgainstScipy, WithinGeneScoresAgree) {
    torch::manual_seed(7);
    constexpr std::int64_t kGenes = 23;
    constexpr std::int64_t kBins = 12;
    constexpr std::int64_t kTracks = 3;
    at::Tensor measured = torch::rand({kGenes, kBins, kTracks}, torch::kDouble).pow(3) * 20.0;
    measured = measured * torch::rand({kGenes, 1, kTracks}, torch::kDouble);
    at::Tensor predicted = (measured + torch::rand({kGenes, kBins, kTracks}, torch::kDouble)) * 0.5;
    measured[4].fill_(1.5);  // constant along the gene
    predicted[5].fill_(0.5);
    const Scores reference = python_scores("within", predicted, measured, {"23", "12", "3"});
    GeneTrackMatrix pearson{kGenes, kTracks, {}};
    GeneTrackMatrix variance{kGenes, kTracks, {}};
    for (std::int64_t gene = 0; gene < kGenes; ++gene) {
        for (std::int64_t track = 0; track < kTracks; ++track) {
            const auto bins = [&](const at::Tensor& x) {
                return matrix_of(x[gene].select(1, track).unsqueeze(0)).values;
            };
            const WithinGene score = within_gene(bins(predicted), bins(measured));
            pearson.values.push_back(score.pearson);
            variance.values.push_back(score.variance);
            const auto name = [&](const char* what) {
                return detail::concatenate(what, "[", gene, ",", track, "]");
            };
            expect_equal(reference, name("gene"), score.pearson, 1e-12);
            expect_equal(reference, name("variance"), score.variance, 1e-12);
        }
    }
    const auto means = score_within_genes(pearson, variance);
    for (std::int64_t track = 0; track < kTracks; ++track) {
        const DefinedMean& mean = means[static_cast<std::size_t>(track)];
        expect_equal(reference, indexed("mean", track), mean.mean, 1e-12);
        EXPECT_EQ(mean.num_defined + mean.num_undefined, 5);  // 23 genes, 80th percentile
    }
}

TEST(GeneTrackMetrics, QuantileNormalisationOfAKnownTable) {
    // The worked example of the method with a tie in the second column: means of the ranks are 2,
    // 3, 14/3 and 17/3.
    const GeneTrackMatrix table{4, 3, {5, 4, 3, 2, 1, 4, 3, 4, 6, 4, 2, 8}};
    const GeneTrackMatrix result = quantile_normalise(table);
    const double tie = (14.0 / 3 + 17.0 / 3) / 2;
    const std::vector<double> expected = {17.0 / 3, tie, 2,        2,        2, 3,
                                          3,        tie, 14.0 / 3, 14.0 / 3, 3, 17.0 / 3};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(result.values[i], expected[i], 1e-14) << i;
    }
    EXPECT_THROW((void)quantile_normalise({1, 2, {kNan, 1.0}}), Error);
}

TEST(GeneTrackMetrics, ExplainedVarianceForgivesAnOffset) {
    const std::vector<double> measured = {1, 2, 3, 5};
    const std::vector<double> shifted = {11, 12, 13, 15};
    EXPECT_DOUBLE_EQ(explained_variance(shifted, measured), 1.0);
    EXPECT_LT(r2(shifted, measured), 0.0);
    EXPECT_TRUE(std::isnan(explained_variance(measured, std::vector<double>(4, 2.0))));
}

TEST(GeneTrackMetrics, RefusesMatricesThatDoNotMatch) {
    const GeneTrackMatrix a{2, 2, {1, 2, 3, 4}};
    const GeneTrackMatrix b{2, 1, {1, 2}};
    const GeneTrackMatrix short_of_values{2, 2, {1, 2, 3}};
    EXPECT_THROW((void)score_gene_tracks(a, b, {"x", "x"}), Error);
    EXPECT_THROW((void)score_gene_tracks(a, a, {"x"}), Error);
    EXPECT_THROW((void)score_gene_tracks(a, short_of_values, {"x", "x"}), Error);
}

}  // namespace
}  // namespace flagen::models
