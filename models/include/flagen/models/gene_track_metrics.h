#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flagen/models/metrics.h"

namespace flagen::models {

/// A matrix of genes x tracks in fp64, row-major. Axes: G genes, T tracks.
struct GeneTrackMatrix {
    std::int64_t num_genes = 0;
    std::int64_t num_tracks = 0;
    std::vector<double> values;  ///< [G, T]

    [[nodiscard]] double at(std::int64_t gene, std::int64_t track) const {
        return values[static_cast<std::size_t>(gene * num_tracks + track)];
    }
    [[nodiscard]] std::vector<double> column(std::int64_t track) const;  ///< [G]
};

/// Explained variance: 1 - var(measured - predicted) / var(measured). NaN for fewer than two pairs
/// or constant measurements. Unlike r2(), a constant offset costs nothing.
[[nodiscard]] double explained_variance(std::span<const double> predicted,
                                        std::span<const double> measured);

/// Gives every column the same distribution: the value of rank k becomes the mean over columns of
/// their k-th smallest value, values that are equal in a column the mean over their ranks. Source:
/// B. M. Bolstad et al., "A comparison of normalization methods for high density oligonucleotide
/// array data", Bioinformatics 19, 2003.
///
/// @throws Error if a value is NaN.
[[nodiscard]] GeneTrackMatrix quantile_normalise(const GeneTrackMatrix& matrix);

/// Quantile normalisation within each group of tracks.
struct NormalisedMatrix {
    GeneTrackMatrix normalised;  ///< [G, T]
    GeneTrackMatrix centred;     ///< [G, T], normalised less the gene's mean over the group
};

/// @param groups [T], name of each track's group
[[nodiscard]] NormalisedMatrix normalise_groups(const GeneTrackMatrix& matrix,
                                                const std::vector<std::string>& groups);

/// Scores of one track over genes. NaN where undefined, as for a group of one track when centred.
struct GeneTrackScore {
    double pearson = 0;
    double r2 = 0;            ///< explained variance
    double pearson_norm = 0;  ///< of NormalisedMatrix::centred
    double r2_norm = 0;
};

/// One score a track. Values are log2(x + 1) of each gene's coverage.
///
/// Centred values count as constant below 1e-13 of the largest normalised one: rounding leaves
/// residues where the true ones are zero.
///
/// @throws Error if shapes differ, a value is not finite, or groups is not [T].
[[nodiscard]] std::vector<GeneTrackScore> score_gene_tracks(const GeneTrackMatrix& predicted,
                                                            const GeneTrackMatrix& measured,
                                                            const std::vector<std::string>& groups);

/// Agreement along one gene and one track, bin by bin.
struct WithinGene {
    double pearson = 0;   ///< of log2(x + 1); NaN unless both variances of x are above 1e-6
    double variance = 0;  ///< population variance of the measured x
};

/// @param predicted, measured values x >= 0 of the gene's bins, not transformed
[[nodiscard]] WithinGene within_gene(std::span<const double> predicted,
                                     std::span<const double> measured);

/// Mean of a track's within-gene Pearson over the genes whose measured variance is above the 80th
/// percentile of that track (linear interpolation); one number a track.
///
/// @param pearson  [G, T], NaN where undefined
/// @param variance [G, T]
[[nodiscard]] std::vector<DefinedMean> score_within_genes(const GeneTrackMatrix& pearson,
                                                          const GeneTrackMatrix& variance);

}  // namespace flagen::models
