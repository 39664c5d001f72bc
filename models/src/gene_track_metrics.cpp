#include "flagen/models/gene_track_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "correlation.h"
#include "flagen/error.h"

namespace flagen::models {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kLeastVariance = 1e-6;  // of a gene's bins
constexpr double kVariablePercentile = 80.0;

double mean_of(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double population_variance(std::span<const double> values) {
    const double mean = mean_of(values);
    double squares = 0.0;
    for (const double value : values) {
        squares += (value - mean) * (value - mean);
    }
    return squares / static_cast<double>(values.size());
}

/// NaN where the measured values' SD is at most 1e-13 of `scale`.
double explained_variance_with_scale(std::span<const double> predicted,
                                     std::span<const double> measured, double scale) {
    FLAGEN_CHECK_EQ(predicted.size(), measured.size(), "pairs");
    if (measured.size() < 2) {
        return kNan;
    }
    const double variance = population_variance(measured);
    if (is_constant(variance, scale)) {
        return kNan;
    }
    std::vector<double> residual(measured.size());
    for (std::size_t i = 0; i < measured.size(); ++i) {
        residual[i] = measured[i] - predicted[i];
    }
    return 1.0 - population_variance(residual) / variance;
}

/// Percentile by linear interpolation between order statistics; `values` is not empty.
double percentile_of(std::vector<double> values, double percent) {
    std::sort(values.begin(), values.end());
    const double position = percent / 100.0 * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] +
           (position - static_cast<double>(below)) * (values[above] - values[below]);
}

void check_same_shape(const GeneTrackMatrix& left, const GeneTrackMatrix& right) {
    FLAGEN_CHECK(left.num_genes == right.num_genes && left.num_tracks == right.num_tracks,
                 "matrices of ", left.num_genes, " x ", left.num_tracks, " and ", right.num_genes,
                 " x ", right.num_tracks);
    for (const GeneTrackMatrix* matrix : {&left, &right}) {
        FLAGEN_CHECK_EQ(matrix->values.size(),
                        static_cast<std::size_t>(matrix->num_genes * matrix->num_tracks), "values");
    }
}

void check_finite(const GeneTrackMatrix& matrix) {
    FLAGEN_CHECK(std::all_of(matrix.values.begin(), matrix.values.end(),
                             [](double value) { return std::isfinite(value); }),
                 "a matrix of genes and tracks holds values that are not finite");
}

GeneTrackMatrix take_columns(const GeneTrackMatrix& matrix,
                             const std::vector<std::int64_t>& tracks) {
    GeneTrackMatrix part{matrix.num_genes, static_cast<std::int64_t>(tracks.size()), {}};
    part.values.reserve(static_cast<std::size_t>(part.num_genes * part.num_tracks));
    for (std::int64_t gene = 0; gene < matrix.num_genes; ++gene) {
        for (const std::int64_t track : tracks) {
            part.values.push_back(matrix.at(gene, track));
        }
    }
    return part;
}

/// Row numbers of a column in ascending order of its values.
std::vector<std::size_t> order_of(const std::vector<double>& values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) {
        return values[left] < values[right];
    });
    return order;
}

}  // namespace

std::vector<double> GeneTrackMatrix::column(std::int64_t track) const {
    std::vector<double> result(static_cast<std::size_t>(num_genes));
    for (std::int64_t gene = 0; gene < num_genes; ++gene) {
        result[static_cast<std::size_t>(gene)] = at(gene, track);
    }
    return result;
}

double explained_variance(std::span<const double> predicted, std::span<const double> measured) {
    return explained_variance_with_scale(predicted, measured, largest_absolute(measured));
}

GeneTrackMatrix quantile_normalise(const GeneTrackMatrix& matrix) {
    check_same_shape(matrix, matrix);
    FLAGEN_CHECK(std::none_of(matrix.values.begin(), matrix.values.end(),
                              [](double value) { return std::isnan(value); }),
                 "quantile normalisation of a matrix with NaN");
    const auto num_tracks = static_cast<std::size_t>(matrix.num_tracks);
    std::vector<double> target(static_cast<std::size_t>(matrix.num_genes), 0.0);
    for (std::int64_t track = 0; track < matrix.num_tracks; ++track) {
        std::vector<double> sorted = matrix.column(track);
        std::sort(sorted.begin(), sorted.end());
        for (std::size_t rank = 0; rank < sorted.size(); ++rank) {
            target[rank] += sorted[rank] / static_cast<double>(matrix.num_tracks);
        }
    }
    GeneTrackMatrix result = matrix;
    for (std::int64_t track = 0; track < matrix.num_tracks; ++track) {
        const std::vector<double> values = matrix.column(track);
        const std::vector<std::size_t> order = order_of(values);
        for (std::size_t begin = 0; begin < order.size();) {
            std::size_t end = begin;
            double sum = 0.0;
            while (end < order.size() && values[order[end]] == values[order[begin]]) {
                sum += target[end++];
            }
            const double shared = sum / static_cast<double>(end - begin);
            for (; begin < end; ++begin) {
                result.values[order[begin] * num_tracks + static_cast<std::size_t>(track)] = shared;
            }
        }
    }
    return result;
}

NormalisedMatrix normalise_groups(const GeneTrackMatrix& matrix,
                                  const std::vector<std::string>& groups) {
    FLAGEN_CHECK_EQ(static_cast<std::int64_t>(groups.size()), matrix.num_tracks, "names of groups");
    std::map<std::string, std::vector<std::int64_t>> members;
    for (std::size_t track = 0; track < groups.size(); ++track) {
        members[groups[track]].push_back(static_cast<std::int64_t>(track));
    }
    NormalisedMatrix result{matrix, matrix};
    for (const auto& [name, tracks] : members) {
        const GeneTrackMatrix part = quantile_normalise(take_columns(matrix, tracks));
        for (std::int64_t gene = 0; gene < matrix.num_genes; ++gene) {
            const std::span<const double> row(part.values.data() + gene * part.num_tracks,
                                              tracks.size());
            const double mean = mean_of(row);
            for (std::size_t i = 0; i < tracks.size(); ++i) {
                const auto entry = static_cast<std::size_t>(gene * matrix.num_tracks + tracks[i]);
                result.normalised.values[entry] = row[i];
                result.centred.values[entry] = row[i] - mean;
            }
        }
    }
    return result;
}

std::vector<GeneTrackScore> score_gene_tracks(const GeneTrackMatrix& predicted,
                                              const GeneTrackMatrix& measured,
                                              const std::vector<std::string>& groups) {
    check_same_shape(predicted, measured);
    check_finite(predicted);
    check_finite(measured);
    const NormalisedMatrix norm_predicted = normalise_groups(predicted, groups);
    const NormalisedMatrix norm_measured = normalise_groups(measured, groups);
    std::vector<GeneTrackScore> scores;
    for (std::int64_t track = 0; track < measured.num_tracks; ++track) {
        const auto p = predicted.column(track);
        const auto m = measured.column(track);
        const auto centred_p = norm_predicted.centred.column(track);
        const auto centred_m = norm_measured.centred.column(track);
        const double scale_p = largest_absolute(norm_predicted.normalised.column(track));
        const double scale_m = largest_absolute(norm_measured.normalised.column(track));
        scores.push_back({pearson(p, m), explained_variance(p, m),
                          pearson_with_scale(centred_p, centred_m, scale_p, scale_m),
                          explained_variance_with_scale(centred_p, centred_m, scale_m)});
    }
    return scores;
}

WithinGene within_gene(std::span<const double> predicted, std::span<const double> measured) {
    FLAGEN_CHECK_EQ(predicted.size(), measured.size(), "bins of a gene");
    FLAGEN_CHECK(!measured.empty(), "a gene without bins");
    WithinGene result{kNan, population_variance(measured)};
    if (result.variance > kLeastVariance && population_variance(predicted) > kLeastVariance) {
        const auto logarithms = [](std::span<const double> values) {
            std::vector<double> logs(values.size());
            std::transform(values.begin(), values.end(), logs.begin(),
                           [](double value) { return std::log2(value + 1.0); });
            return logs;
        };
        result.pearson = pearson(logarithms(predicted), logarithms(measured));
    }
    return result;
}

std::vector<DefinedMean> score_within_genes(const GeneTrackMatrix& pearson,
                                            const GeneTrackMatrix& variance) {
    check_same_shape(pearson, variance);
    FLAGEN_CHECK(variance.num_genes > 0, "no genes");
    std::vector<DefinedMean> scores;
    for (std::int64_t track = 0; track < variance.num_tracks; ++track) {
        const double bound = percentile_of(variance.column(track), kVariablePercentile);
        std::vector<double> variable;
        for (std::int64_t gene = 0; gene < variance.num_genes; ++gene) {
            if (variance.at(gene, track) > bound) {
                variable.push_back(pearson.at(gene, track));
            }
        }
        scores.push_back(mean_of_defined(variable));
    }
    return scores;
}

}  // namespace flagen::models
