#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace flagen::data {

/// The scale that a model is trained on, as an invertible map of the measured values.
///
///     none           y = x
///     log2p1         y = log2(x + 1)
///     zscore         y = (x - mean_s) / sd_s
///     log2p1_zscore  y = (log2(x + 1) - mean_s) / sd_s
///
/// mean_s and sd_s are the mean and the population standard deviation (divisor n, as numpy's std)
/// of sample s over the training genes, missing values left out, summed in fp64. They are stored
/// with the model; nothing else of the data is needed to invert. NaN stays NaN.
class TargetTransform {
  public:
    /// The names above, for configurations and error texts.
    [[nodiscard]] static const std::vector<std::string>& names();

    /// The identity.
    TargetTransform() = default;

    /// Makes the transform `name` for `values`, [G, S] fp32 with NaN = missing, and fits it on the
    /// rows `train_rows` only. `samples` are the S names, for messages.
    ///
    /// @throws UserError (kConfig) for an unknown name; UserError (kInputFile) if a log2p1 meets a
    ///         value <= -1 anywhere, or if a z-score meets a sample with fewer than two training
    ///         values or with all of them equal.
    [[nodiscard]] static TargetTransform fit(const std::string& name, const at::Tensor& values,
                                             const std::vector<std::int64_t>& train_rows,
                                             const std::vector<std::string>& samples);

    /// [.., S] of any floating dtype and device -> the same shape and device, fp32.
    [[nodiscard]] at::Tensor apply(const at::Tensor& values) const;
    /// Inverse of apply(): back to the scale of the measured values.
    [[nodiscard]] at::Tensor invert(const at::Tensor& transformed) const;

    /// One line of JSON that from_json_text() reads back exactly.
    [[nodiscard]] std::string to_json_text() const;
    /// @throws UserError (kInputFile) naming `source_name` if the text is malformed.
    [[nodiscard]] static TargetTransform from_json_text(const std::string& text,
                                                        const std::string& source_name);

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const std::vector<double>& mean() const { return mean_; }  ///< [S] or empty.
    [[nodiscard]] const std::vector<double>& sd() const { return sd_; }      ///< [S] or empty.

  private:
    [[nodiscard]] bool takes_log() const;
    [[nodiscard]] bool scales() const;
    [[nodiscard]] at::Tensor as_row(const std::vector<double>& values,
                                    const at::Tensor& like) const;

    std::string name_ = "none";
    std::vector<double> mean_;
    std::vector<double> sd_;
};

}  // namespace flagen::data
