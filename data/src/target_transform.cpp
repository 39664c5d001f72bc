#include "flagen/data/target_transform.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "flagen/error.h"
#include "flagen/json_object.h"

namespace flagen::data {
namespace {

/// Running sums of one sample; the mean first, then squares around it.
struct SampleMoments {
    std::int64_t count = 0;
    double mean = 0.0;
    double variance = 0.0;
};

double transformed(float value, bool take_log) {
    const auto x = static_cast<double>(value);
    return take_log ? std::log2(x + 1.0) : x;
}

SampleMoments moments(const float* column, std::int64_t num_samples,
                      const std::vector<std::int64_t>& rows, bool take_log) {
    SampleMoments result;
    double sum = 0.0;
    for (const std::int64_t row : rows) {
        const float value = column[row * num_samples];
        if (!std::isnan(value)) {
            sum += transformed(value, take_log);
            ++result.count;
        }
    }
    if (result.count == 0) {
        return result;
    }
    result.mean = sum / static_cast<double>(result.count);
    double squares = 0.0;
    for (const std::int64_t row : rows) {
        const float value = column[row * num_samples];
        if (!std::isnan(value)) {
            const double difference = transformed(value, take_log) - result.mean;
            squares += difference * difference;
        }
    }
    result.variance = squares / static_cast<double>(result.count);
    return result;
}

void check_log_domain(const at::Tensor& values, const std::vector<std::string>& samples) {
    const float* data = values.const_data_ptr<float>();
    for (std::int64_t i = 0; i < values.numel(); ++i) {
        FLAGEN_USER_CHECK(UserFault::kInputFile, std::isnan(data[i]) || data[i] > -1.0F,
                          "value has no log2(x + 1): ", data[i], " in sample ",
                          samples[static_cast<std::size_t>(i % values.size(1))],
                          "; is the matrix on a log scale already?");
    }
}

}  // namespace

const std::vector<std::string>& TargetTransform::names() {
    static const std::vector<std::string> names = {"none", "log2p1", "zscore", "log2p1_zscore"};
    return names;
}

bool TargetTransform::takes_log() const { return name_ == "log2p1" || name_ == "log2p1_zscore"; }
bool TargetTransform::scales() const { return name_ == "zscore" || name_ == "log2p1_zscore"; }

TargetTransform TargetTransform::fit(const std::string& name, const at::Tensor& values,
                                     const std::vector<std::int64_t>& train_rows,
                                     const std::vector<std::string>& samples) {
    FLAGEN_USER_CHECK(UserFault::kConfig,
                      std::find(names().begin(), names().end(), name) != names().end(),
                      "unknown target transform: ", name, did_you_mean(name, names()));
    FLAGEN_CHECK(values.dim() == 2 && values.scalar_type() == at::kFloat &&
                     values.is_contiguous() && values.device().is_cpu(),
                 "target values must be a contiguous fp32 matrix");
    FLAGEN_CHECK_EQ(values.size(1), static_cast<std::int64_t>(samples.size()), "sample names");
    TargetTransform result;
    result.name_ = name;
    if (result.takes_log()) {
        check_log_domain(values, samples);
    }
    if (!result.scales()) {
        return result;
    }
    for (const std::int64_t row : train_rows) {
        FLAGEN_CHECK(row >= 0 && row < values.size(0), "training row ", row);
    }
    const float* data = values.const_data_ptr<float>();
    for (std::int64_t s = 0; s < values.size(1); ++s) {
        const SampleMoments found =
            moments(data + s, values.size(1), train_rows, result.takes_log());
        FLAGEN_USER_CHECK(UserFault::kInputFile, found.count >= 2 && found.variance > 0.0,
                          "sample cannot be z-scored: ", samples[static_cast<std::size_t>(s)],
                          " has ", found.count, " training values",
                          found.count >= 2 ? ", all equal" : "",
                          "; leave the sample out or use another transform");
        result.mean_.push_back(found.mean);
        result.sd_.push_back(std::sqrt(found.variance));
    }
    return result;
}

at::Tensor TargetTransform::as_row(const std::vector<double>& values,
                                   const at::Tensor& like) const {
    FLAGEN_CHECK(like.dim() >= 1 && like.size(-1) == static_cast<std::int64_t>(values.size()),
                 "the transform was fitted for ", values.size(), " samples, the values have ",
                 like.dim() >= 1 ? like.size(-1) : 0);
    return at::tensor(values, at::kDouble).to(like.device());
}

at::Tensor TargetTransform::apply(const at::Tensor& values) const {
    at::Tensor result = values.to(at::kDouble);
    if (takes_log()) {
        result = at::log2(result + 1.0);
    }
    if (scales()) {
        result = (result - as_row(mean_, result)) / as_row(sd_, result);
    }
    return result.to(at::kFloat);
}

at::Tensor TargetTransform::invert(const at::Tensor& transformed) const {
    at::Tensor result = transformed.to(at::kDouble);
    if (scales()) {
        result = result * as_row(sd_, result) + as_row(mean_, result);
    }
    if (takes_log()) {
        result = at::exp2(result) - 1.0;
    }
    return result.to(at::kFloat);
}

std::string TargetTransform::to_json_text() const {
    JsonObject json;
    json.set("name", name_);
    if (scales()) {
        json.set("mean", mean_);
        json.set("sd", sd_);
    }
    return json.dump();
}

TargetTransform TargetTransform::from_json_text(const std::string& text,
                                                const std::string& source_name) {
    JsonObject json = JsonObject::parse(text, source_name, UserFault::kInputFile);
    TargetTransform result;
    result.name_ = json.require_choice("name", names());
    if (result.scales()) {
        result.mean_ = json.get_numbers("mean", {});
        result.sd_ = json.get_numbers("sd", {}, 0.0);
        if (result.mean_.empty() || result.mean_.size() != result.sd_.size()) {
            json.add_problem("sd", "expected as many numbers as in mean, at least one");
        }
        if (std::find(result.sd_.begin(), result.sd_.end(), 0.0) != result.sd_.end()) {
            json.add_problem("sd", "a standard deviation of 0 cannot be inverted");
        }
    }
    json.finish();
    json.problems().throw_if_any(source_name, UserFault::kInputFile);
    return result;
}

}  // namespace flagen::data
