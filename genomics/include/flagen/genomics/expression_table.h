#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace flagen::genomics {

/// A matrix of measured expression, G genes x S samples.
///
/// Values are what the file says, in its unit; a missing one is NaN.
class ExpressionTable {
  public:
    /// Takes G ids, S sample names and G * S values, row-major.
    ///
    /// @throws flagen::Error if the sizes disagree or an id or a sample name repeats.
    ExpressionTable(std::vector<std::string> gene_ids, std::vector<std::string> samples,
                    std::vector<float> values);

    /// Reads a CSV or TSV file, plain, gzip or bgzip: a header with the sample names, then a row
    /// for each gene, its id first. The first header cell may be empty or hold any title.
    ///
    /// A name that ends in .csv (before .gz or .bgz) means commas, .tsv or .tab tabs; otherwise a
    /// header with a tab means tabs, else commas. Fields may stand in double quotes, with "" for a
    /// quote. Empty, NA and NaN (any case) are missing values.
    ///
    /// @throws UserError (kInputFile) with line and column for a repeated or empty id or sample, a
    ///         row of another width, a blank line between rows, an unclosed quote, a value that is
    ///         not a number, is infinite or does not fit fp32; also for a table without a gene or
    ///         a sample.
    [[nodiscard]] static ExpressionTable load(const std::string& path);

    [[nodiscard]] std::size_t num_genes() const { return gene_ids_.size(); }
    [[nodiscard]] std::size_t num_samples() const { return samples_.size(); }
    [[nodiscard]] const std::vector<std::string>& gene_ids() const { return gene_ids_; }
    [[nodiscard]] const std::vector<std::string>& samples() const { return samples_; }

    /// [G, S] row-major; NaN = missing.
    [[nodiscard]] const std::vector<float>& values() const { return values_; }
    [[nodiscard]] float at(std::size_t gene, std::size_t sample) const {
        return values_.at(gene * num_samples() + sample);
    }

    /// Row of a gene id, or nothing.
    [[nodiscard]] std::optional<std::size_t> find_gene(const std::string& id) const;
    /// Column of a sample name, or nothing.
    [[nodiscard]] std::optional<std::size_t> find_sample(const std::string& name) const;

    /// Counts the NaN entries.
    [[nodiscard]] std::size_t num_missing() const;

  private:
    std::vector<std::string> gene_ids_;
    std::vector<std::string> samples_;
    std::vector<float> values_;
    std::unordered_map<std::string, std::size_t> gene_rows_;
    std::unordered_map<std::string, std::size_t> sample_columns_;
};

}  // namespace flagen::genomics
