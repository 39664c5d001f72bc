#include "flagen/data/target_transform.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "flagen/error.h"
#include "genomics/user_error_of.h"
#include "support/temp_dir.h"
#include "support/tiny_genome.h"

namespace flagen::data {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

const std::vector<std::string> kSamples = {"a", "b", "c"};

/// 40 x 3 of positive values with holes.
at::Tensor values() {
    std::mt19937_64 random(6);
    at::Tensor result = at::empty({40, 3}, at::kFloat);
    auto* data = result.mutable_data_ptr<float>();
    for (int i = 0; i < 120; ++i) {
        data[i] = random() % 11 == 0 ? kMissing : static_cast<float>(random() % 100'000) / 137.0F;
    }
    return result;
}

std::vector<std::int64_t> train_rows() {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < 40; row += 3) {
        rows.push_back(row);
    }
    return rows;
}

void expect_equal(const at::Tensor& a, const at::Tensor& b, double tolerance) {
    EXPECT_EQ(a.sizes(), b.sizes());
    EXPECT_TRUE(at::allclose(a, b, tolerance, tolerance, /*equal_nan=*/true)) << a << b;
}

TEST(TargetTransformTest, StatisticsOfTheTrainingRowsEqualNumpys) {
    const ::flagen::testing::TempDir folder;
    const at::Tensor x = values();
    std::ostringstream table;
    table.precision(9);
    for (std::int64_t i = 0; i < x.numel(); ++i) {
        table << x.const_data_ptr<float>()[i] << (i % 3 == 2 ? "\n" : " ");
    }
    const std::string file = folder.write("values.txt", table.str());
    for (const std::string name : {"zscore", "log2p1_zscore"}) {
        const auto transform = TargetTransform::fit(name, x, train_rows(), kSamples);
        const std::string log = name == "zscore" ? "" : "x = np.log2(x + 1)\n";
        const std::string script =
            folder.write("reference.py",
                         "import numpy as np\n"
                         "x = np.loadtxt('" +
                             file + "', dtype=np.float32).astype(np.float64)\n" + log +
                             "t = x[::3]\n"
                             "m, s = np.nanmean(t, 0), np.nanstd(t, 0)\n"
                             "np.set_printoptions(precision=17)\n"
                             "print(*[repr(float(v)) for v in np.concatenate([m, s, ((x - m) / "
                             "s).ravel()])])\n");
        std::istringstream out(
            ::flagen::testing::tool_output(std::string(FLAGEN_VENV_PYTHON) + " " + script));
        std::vector<double> wanted;
        for (std::string word; out >> word;) {
            wanted.push_back(word == "nan" ? std::nan("") : std::stod(word));
        }
        ASSERT_EQ(wanted.size(), 126U);
        for (std::size_t s = 0; s < 3; ++s) {
            EXPECT_NEAR(transform.mean()[s], wanted[s], 1e-12 * std::abs(wanted[s]));
            EXPECT_NEAR(transform.sd()[s], wanted[3 + s], 1e-12 * wanted[3 + s]);
        }
        const at::Tensor y = transform.apply(x);
        for (std::size_t i = 0; i < 120; ++i) {
            const float found = y.const_data_ptr<float>()[i];
            if (std::isnan(wanted[6 + i])) {
                EXPECT_TRUE(std::isnan(found));
            } else {
                EXPECT_FLOAT_EQ(found, static_cast<float>(wanted[6 + i]));
            }
        }
    }
}

TEST(TargetTransformTest, OtherRowsHaveNoInfluence) {
    at::Tensor x = values();
    const auto before = TargetTransform::fit("zscore", x, train_rows(), kSamples);
    x[1].fill_(1e6F);
    x[2].fill_(kMissing);
    const auto after = TargetTransform::fit("zscore", x, train_rows(), kSamples);
    EXPECT_EQ(before.mean(), after.mean());
    EXPECT_EQ(before.sd(), after.sd());
    x[3].fill_(1e6F);  // a training row
    EXPECT_NE(TargetTransform::fit("zscore", x, train_rows(), kSamples).mean(), before.mean());
}

TEST(TargetTransformTest, InvertUndoesApply) {
    const at::Tensor x = values();
    for (const std::string& name : TargetTransform::names()) {
        const auto transform = TargetTransform::fit(name, x, train_rows(), kSamples);
        expect_equal(transform.invert(transform.apply(x)), x, 1e-5);
        if (name != "none") {
            EXPECT_FALSE(at::allclose(transform.apply(x), x, 1e-3, 1e-3, true)) << name;
        }
    }
}

TEST(TargetTransformTest, Log2p1IsWhatItSays) {
    const at::Tensor x = at::tensor({0.0F, 1.0F, 7.0F}).reshape({1, 3});
    const auto transform = TargetTransform::fit("log2p1", x, {}, kSamples);
    expect_equal(transform.apply(x), at::tensor({0.0F, 1.0F, 3.0F}).reshape({1, 3}), 0.0);
}

TEST(TargetTransformTest, TextReadsBackExactly) {
    for (const std::string& name : TargetTransform::names()) {
        const auto transform = TargetTransform::fit(name, values(), train_rows(), kSamples);
        const auto back = TargetTransform::from_json_text(transform.to_json_text(), "state.json");
        EXPECT_EQ(back.name(), name);
        EXPECT_EQ(back.mean(), transform.mean());
        EXPECT_EQ(back.sd(), transform.sd());
        EXPECT_TRUE(at::equal(back.apply(values()).nan_to_num(-9.0),
                              transform.apply(values()).nan_to_num(-9.0)));
    }
}

TEST(TargetTransformTest, RefusesMalformedText) {
    const auto read = [](const std::string& text) {
        return TargetTransform::from_json_text(text, "t.json");
    };
    FLAGEN_EXPECT_USER_ERROR(read("nonsense"), kInputFile, "t.json");
    FLAGEN_EXPECT_USER_ERROR(read(R"({"name":"zscor"})"), kInputFile, "t.json", "name");
    FLAGEN_EXPECT_USER_ERROR(read(R"({"name":"zscore","mean":[1,2],"sd":[1]})"), kInputFile, "sd");
    FLAGEN_EXPECT_USER_ERROR(read(R"({"name":"zscore","mean":[1],"sd":[0]})"), kInputFile, "sd");
    FLAGEN_EXPECT_USER_ERROR(read(R"({"name":"none","mean":[1]})"), kInputFile, "mean");
}

TEST(TargetTransformTest, RefusesWhatCannotBeTransformed) {
    at::Tensor x = values();
    const auto fit = [&](const std::string& name, const std::vector<std::int64_t>& rows) {
        return TargetTransform::fit(name, x, rows, kSamples);
    };
    FLAGEN_EXPECT_USER_ERROR(fit("zscroe", {}), kConfig, "zscroe", "did you mean \"zscore\"");
    FLAGEN_EXPECT_USER_ERROR(fit("zscore", {0}), kInputFile, "sample cannot be z-scored");
    for (const std::int64_t row : train_rows()) {
        x[row][1] = 5.0F;
    }
    FLAGEN_EXPECT_USER_ERROR(fit("zscore", train_rows()), kInputFile, "b has 14 training values",
                             "all equal");
    x[2][2] = -1.5F;
    FLAGEN_EXPECT_USER_ERROR(fit("log2p1", {}), kInputFile, "-1.5", "sample c");
    EXPECT_THROW(static_cast<void>(fit("zscore", {40})), Error);
    EXPECT_THROW(static_cast<void>(TargetTransform::fit("none", x, {}, {"a"})), Error);
}

TEST(TargetTransformTest, RefusesAnotherNumberOfSamples) {
    const auto transform = TargetTransform::fit("zscore", values(), train_rows(), kSamples);
    EXPECT_THROW(static_cast<void>(transform.apply(at::zeros({4, 2}))), Error);
    EXPECT_THROW(static_cast<void>(transform.invert(at::zeros({4, 4}))), Error);
}

}  // namespace
}  // namespace flagen::data
