#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace flagen::models {

/// Pearson's r and R2 of pairs that arrive one at a time; fp64, one pass, any order of magnitude.
///
/// Running means and co-moments as B. P. Welford, "Note on a method for calculating corrected sums
/// of squares and products", Technometrics 4, 1962; merging as T. F. Chan, G. H. Golub, R. J.
/// LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
class PairMoments {
  public:
    /// Count, two means, two sums of squared deviations, sum of products of deviations, sum of
    /// squared errors: the whole state.
    using State = std::array<double, 7>;

    PairMoments() = default;
    explicit PairMoments(const State& state);
    [[nodiscard]] State state() const;

    void add(double predicted, double measured);
    void merge(const PairMoments& other);

    [[nodiscard]] std::int64_t count() const { return count_; }
    /// NaN for fewer than two pairs or a constant side.
    [[nodiscard]] double pearson() const;
    /// 1 - sum (measured - predicted)^2 / sum (measured - mean)^2; NaN if all measured are equal.
    [[nodiscard]] double r2() const;

  private:
    std::int64_t count_ = 0;
    double mean_predicted_ = 0.0;
    double mean_measured_ = 0.0;
    double squares_predicted_ = 0.0;  // sums of squared deviations from the mean
    double squares_measured_ = 0.0;
    double products_ = 0.0;
    double squared_errors_ = 0.0;
};

/// Pearson's r in two passes. NaN for fewer than two pairs or a constant side.
[[nodiscard]] double pearson(std::span<const double> x, std::span<const double> y);
/// Spearman's rho: Pearson's r of the ranks, ties sharing the mean of their ranks.
[[nodiscard]] double spearman(std::span<const double> x, std::span<const double> y);
/// Coefficient of determination as in PairMoments::r2().
[[nodiscard]] double r2(std::span<const double> predicted, std::span<const double> measured);
/// Ranks from 1, ties sharing the mean of their ranks.
[[nodiscard]] std::vector<double> average_ranks(std::span<const double> values);

/// Three numbers for one set of pairs. NaN where undefined.
struct Agreement {
    std::int64_t num_pairs = 0;
    double pearson = 0.0;
    double spearman = 0.0;
    double r2 = 0.0;
};

/// Mean over those members that are defined, NaN if none is.
struct DefinedMean {
    double mean = 0.0;
    std::int64_t num_defined = 0;
    std::int64_t num_undefined = 0;
};
[[nodiscard]] DefinedMean mean_of_defined(std::span<const double> values);

/// What ExpressionMetrics reports. Every average says how many members were defined.
struct ExpressionScores {
    std::int64_t num_genes = 0;
    std::int64_t num_samples = 0;
    std::int64_t num_missing = 0;  ///< measured entries that are NaN

    Agreement sample_mean;  ///< across genes, of each gene's mean over its present samples
    std::vector<Agreement> per_sample;  ///< [S], across genes
    DefinedMean sample_pearson;         ///< "V1": mean over samples of the across-gene Pearson r
    DefinedMean sample_spearman;
    DefinedMean sample_r2;

    std::vector<double> per_gene;          ///< [G], Pearson across samples
    DefinedMean gene_pearson;              ///< over all genes
    DefinedMean gene_pearson_variable;     ///< over genes whose measured SD is above the median SD
    std::vector<double> per_gene_centred;  ///< [G], the same of the double-centred matrices
    DefinedMean gene_pearson_centred;      ///< "V2"
};

/// Agreement of predicted and measured expression, genes x samples, fed gene by gene.
///
/// A measured NaN is missing: the entry counts nowhere, on either side. A prediction must be
/// finite, also where nothing was measured; measured values must not be infinite.
///
/// Double-centring, done to both matrices over the present entries: x - mean of its gene - mean of
/// its sample + grand mean. Genes then show what is left of the differences between samples when
/// what is common to all genes is taken away. A vector counts as constant, and its r as NaN, when
/// its standard deviation is at most 1e-13 of the largest value that it was computed from.
///
/// Keeps all values (16 bytes an entry): ranks and centring need them.
class ExpressionMetrics {
  public:
    explicit ExpressionMetrics(std::int64_t num_samples);

    /// One gene: both spans of num_samples values. @throws Error on the wrong length, a prediction
    /// that is not finite, or an infinite measurement.
    void add(std::span<const float> predicted, std::span<const float> measured);
    void add(std::span<const double> predicted, std::span<const double> measured);

    [[nodiscard]] std::int64_t num_genes() const;
    /// All zeros and NaN if no gene was added.
    [[nodiscard]] ExpressionScores scores() const;

  private:
    std::size_t num_samples_;
    std::vector<double> predicted_;  // [G, S]
    std::vector<double> measured_;   // [G, S], NaN = missing
};

}  // namespace flagen::models
