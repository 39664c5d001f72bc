#include "flagen/models/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "correlation.h"
#include "flagen/error.h"

namespace flagen::models {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Agreement agreement_of(const std::vector<double>& predicted, const std::vector<double>& measured) {
    return {static_cast<std::int64_t>(measured.size()), pearson(predicted, measured),
            spearman(predicted, measured), r2(predicted, measured)};
}

/// Median as numpy has it; the values are not empty.
double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2.0;
}

/// Both matrices, [G, S] row-major, and which entries are present.
struct Matrices {
    std::size_t num_genes;
    std::size_t num_samples;
    const std::vector<double>& predicted;
    const std::vector<double>& measured;

    [[nodiscard]] bool present(std::size_t entry) const { return !std::isnan(measured[entry]); }
};

/// Values minus gene mean, minus sample mean, plus grand mean; means over the present entries.
std::vector<double> double_centred(const Matrices& matrices, const std::vector<double>& values) {
    std::vector<double> gene_sum(matrices.num_genes, 0.0);
    std::vector<double> gene_count(matrices.num_genes, 0.0);
    std::vector<double> sample_sum(matrices.num_samples, 0.0);
    std::vector<double> sample_count(matrices.num_samples, 0.0);
    double sum = 0.0;
    double count = 0.0;
    for (std::size_t g = 0; g < matrices.num_genes; ++g) {
        for (std::size_t s = 0; s < matrices.num_samples; ++s) {
            const std::size_t entry = g * matrices.num_samples + s;
            if (!matrices.present(entry)) {
                continue;
            }
            gene_sum[g] += values[entry];
            gene_count[g] += 1.0;
            sample_sum[s] += values[entry];
            sample_count[s] += 1.0;
            sum += values[entry];
            count += 1.0;
        }
    }
    std::vector<double> centred(values.size(), kNan);
    for (std::size_t g = 0; g < matrices.num_genes; ++g) {
        for (std::size_t s = 0; s < matrices.num_samples; ++s) {
            const std::size_t entry = g * matrices.num_samples + s;
            if (matrices.present(entry)) {
                centred[entry] = values[entry] - gene_sum[g] / gene_count[g] -
                                 sample_sum[s] / sample_count[s] + sum / count;
            }
        }
    }
    return centred;
}

/// The present pairs of one gene (stride 1) or one sample (stride S).
struct Pairs {
    std::vector<double> predicted;
    std::vector<double> measured;
};

Pairs pairs_of_gene(const Matrices& matrices, std::size_t gene,
                    const std::vector<double>& predicted, const std::vector<double>& measured) {
    Pairs pairs;
    for (std::size_t s = 0; s < matrices.num_samples; ++s) {
        const std::size_t entry = gene * matrices.num_samples + s;
        if (matrices.present(entry)) {
            pairs.predicted.push_back(predicted[entry]);
            pairs.measured.push_back(measured[entry]);
        }
    }
    return pairs;
}

double mean_of(const std::vector<double>& values) {
    double sum = 0.0;
    for (const double value : values) {
        sum += value;
    }
    return sum / static_cast<double>(values.size());
}

double standard_deviation(const std::vector<double>& values) {
    const double mean = mean_of(values);
    double squares = 0.0;
    for (const double value : values) {
        squares += (value - mean) * (value - mean);
    }
    return std::sqrt(squares / static_cast<double>(values.size()));
}

void score_samples(const Matrices& matrices, ExpressionScores& scores) {
    std::vector<double> pearsons;
    std::vector<double> spearmans;
    std::vector<double> r2s;
    for (std::size_t s = 0; s < matrices.num_samples; ++s) {
        Pairs pairs;
        for (std::size_t g = 0; g < matrices.num_genes; ++g) {
            const std::size_t entry = g * matrices.num_samples + s;
            if (matrices.present(entry)) {
                pairs.predicted.push_back(matrices.predicted[entry]);
                pairs.measured.push_back(matrices.measured[entry]);
            }
        }
        scores.per_sample.push_back(agreement_of(pairs.predicted, pairs.measured));
        pearsons.push_back(scores.per_sample.back().pearson);
        spearmans.push_back(scores.per_sample.back().spearman);
        r2s.push_back(scores.per_sample.back().r2);
    }
    scores.sample_pearson = mean_of_defined(pearsons);
    scores.sample_spearman = mean_of_defined(spearmans);
    scores.sample_r2 = mean_of_defined(r2s);
}

void score_genes(const Matrices& matrices, ExpressionScores& scores) {
    const auto centred_predicted = double_centred(matrices, matrices.predicted);
    const auto centred_measured = double_centred(matrices, matrices.measured);
    std::vector<double> deviations;
    Pairs means;
    for (std::size_t g = 0; g < matrices.num_genes; ++g) {
        const Pairs raw = pairs_of_gene(matrices, g, matrices.predicted, matrices.measured);
        const Pairs centred = pairs_of_gene(matrices, g, centred_predicted, centred_measured);
        scores.per_gene.push_back(pearson(raw.predicted, raw.measured));
        // Rounding leaves residues of the order of the raw values where the true ones are zero.
        scores.per_gene_centred.push_back(pearson_with_scale(centred.predicted, centred.measured,
                                                             largest_absolute(raw.predicted),
                                                             largest_absolute(raw.measured)));
        deviations.push_back(raw.measured.empty() ? kNan : standard_deviation(raw.measured));
        if (!raw.measured.empty()) {
            means.predicted.push_back(mean_of(raw.predicted));
            means.measured.push_back(mean_of(raw.measured));
        }
    }
    scores.sample_mean = agreement_of(means.predicted, means.measured);
    scores.gene_pearson = mean_of_defined(scores.per_gene);
    scores.gene_pearson_centred = mean_of_defined(scores.per_gene_centred);

    std::vector<double> known = deviations;
    std::erase_if(known, [](double value) { return std::isnan(value); });
    const double median = known.empty() ? kNan : median_of(known);
    std::vector<double> variable;
    for (std::size_t g = 0; g < matrices.num_genes; ++g) {
        if (deviations[g] > median) {
            variable.push_back(scores.per_gene[g]);
        }
    }
    scores.gene_pearson_variable = mean_of_defined(variable);
}

template <typename Value>
void append(std::span<const Value> predicted, std::span<const Value> measured, std::size_t length,
            std::vector<double>& all_predicted, std::vector<double>& all_measured) {
    FLAGEN_CHECK_EQ(predicted.size(), length, "predicted samples");
    FLAGEN_CHECK_EQ(measured.size(), length, "measured samples");
    for (std::size_t s = 0; s < length; ++s) {
        FLAGEN_CHECK(std::isfinite(predicted[s]), "prediction of sample ", s, " is ", predicted[s]);
        FLAGEN_CHECK(!std::isinf(measured[s]), "measurement of sample ", s, " is ", measured[s]);
    }
    all_predicted.insert(all_predicted.end(), predicted.begin(), predicted.end());
    all_measured.insert(all_measured.end(), measured.begin(), measured.end());
}

}  // namespace

DefinedMean mean_of_defined(std::span<const double> values) {
    DefinedMean result;
    double sum = 0.0;
    for (const double value : values) {
        if (std::isnan(value)) {
            ++result.num_undefined;
        } else {
            ++result.num_defined;
            sum += value;
        }
    }
    result.mean = result.num_defined > 0 ? sum / static_cast<double>(result.num_defined) : kNan;
    return result;
}

ExpressionMetrics::ExpressionMetrics(std::int64_t num_samples)
    : num_samples_(static_cast<std::size_t>(num_samples)) {
    FLAGEN_CHECK(num_samples > 0, "samples: ", num_samples);
}

void ExpressionMetrics::add(std::span<const float> predicted, std::span<const float> measured) {
    append(predicted, measured, num_samples_, predicted_, measured_);
}

void ExpressionMetrics::add(std::span<const double> predicted, std::span<const double> measured) {
    append(predicted, measured, num_samples_, predicted_, measured_);
}

std::int64_t ExpressionMetrics::num_genes() const {
    return static_cast<std::int64_t>(predicted_.size() / num_samples_);
}

ExpressionScores ExpressionMetrics::scores() const {
    ExpressionScores scores;
    scores.num_genes = num_genes();
    scores.num_samples = static_cast<std::int64_t>(num_samples_);
    scores.num_missing = std::count_if(measured_.begin(), measured_.end(),
                                       [](double value) { return std::isnan(value); });
    const Matrices matrices{static_cast<std::size_t>(num_genes()), num_samples_, predicted_,
                            measured_};
    score_samples(matrices, scores);
    score_genes(matrices, scores);
    return scores;
}

}  // namespace flagen::models
