#include "flagen/models/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <iomanip>
#include <sstream>
#include <vector>

#include "flagen/json_object.h"
#include "support/run_python.h"

namespace flagen::models {
namespace {

TEST(LearningRate, OneCycleEqualsTorchsScheduler) {
    if (!flagen::testing::python_has("torch")) {
        GTEST_SKIP() << "torch is absent from " << FLAGEN_VENV_PYTHON;
    }
    struct Case {
        std::int64_t total;
        double fraction;
        double start;
        double end;
    };
    const std::vector<Case> cases = {
        {240, 0.3, 25, 1e4}, {1000, 0.1, 10, 100}, {7, 0.5, 25, 1e4}, {11, 0.25, 1, 1}};
    std::ostringstream arguments;
    for (const Case& c : cases) {
        arguments << c.total << ' ' << c.fraction << ' ' << c.start << ' ' << c.end << '\n';
    }
    std::istringstream expected(flagen::testing::run_python(R"(
import sys, torch
for line in sys.argv[1].splitlines():
    total, fraction, start, end = (float(x) for x in line.split())
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=3e-3, total_steps=int(total), pct_start=fraction,
        div_factor=start, final_div_factor=end, anneal_strategy='cos', cycle_momentum=False)
    for step in range(int(total)):
        print(repr(opt.param_groups[0]['lr']))
        opt.step()
        if step + 1 < total: sched.step()
)",
                                                            {arguments.str()}));
    int compared = 0;
    for (const Case& c : cases) {
        LearningRate rate;
        rate.peak = 3e-3;
        rate.total_steps = c.total;
        rate.warmup_fraction = c.fraction;
        rate.start_divisor = c.start;
        rate.end_divisor = c.end;
        for (std::int64_t step = 0; step < c.total; ++step, ++compared) {
            double value = 0.0;
            ASSERT_TRUE(expected >> value);
            EXPECT_NEAR(rate.at(step), value, 1e-15) << c.total << " steps, step " << step;
        }
        EXPECT_EQ(rate.at(c.total + 100), rate.at(c.total - 1));
        EXPECT_EQ(rate.at(-3), rate.at(0));
    }
    EXPECT_EQ(compared, 1258);
}

TEST(LearningRate, WarmupCosineByItsFormula) {
    LearningRate rate;
    rate.kind = LearningRateKind::kWarmupCosine;
    rate.peak = 2.0;
    rate.total_steps = 120;
    rate.warmup_steps = 20;
    rate.final_ratio = 0.1;
    EXPECT_DOUBLE_EQ(rate.at(0), 0.1);
    EXPECT_DOUBLE_EQ(rate.at(9), 1.0);
    EXPECT_DOUBLE_EQ(rate.at(19), 2.0);
    EXPECT_DOUBLE_EQ(rate.at(20), 2.0);
    EXPECT_DOUBLE_EQ(rate.at(70), 1.1);  // half way between 2.0 and 0.2
    EXPECT_NEAR(rate.at(45), 0.2 + 0.9 * (1.0 + std::sqrt(0.5)), 1e-15);
    for (std::int64_t step = 21; step < 120; ++step) {
        EXPECT_LT(rate.at(step), rate.at(step - 1));
    }
    EXPECT_GT(rate.at(119), 0.2);
    rate.warmup_steps = 0;
    EXPECT_DOUBLE_EQ(rate.at(0), 2.0);
    rate.warmup_steps = 120;
    EXPECT_DOUBLE_EQ(rate.at(119), 2.0);
}

TEST(LearningRate, DegenerateLengthsStayFinite) {
    for (const auto kind : {LearningRateKind::kConstant, LearningRateKind::kOneCycle,
                            LearningRateKind::kWarmupCosine}) {
        for (const std::int64_t total : {0, 1, 2, 3}) {
            LearningRate rate;
            rate.kind = kind;
            rate.total_steps = total;
            for (const std::int64_t step : {0, 1, 2, 5}) {
                EXPECT_TRUE(std::isfinite(rate.at(step))) << total << " " << step;
                EXPECT_GT(rate.at(step) + 1e-300, 0.0);
            }
        }
    }
}

TEST(LearningRate, ReadsTheConfiguration) {
    auto root = JsonObject::parse(
        R"({"a": {"kind": "warmup_cosine", "peak": 0.01, "warmup_steps": 20, "final_ratio": 0.05}, "b": {},
            "c": {"kind": "onecycle", "peak": -1}, "d": {"warmup_steps": 5}})",
        "c.json");
    auto a = root.get_object("a");
    const LearningRate rate = LearningRate::from_json(a, 100);
    EXPECT_EQ(rate.kind, LearningRateKind::kWarmupCosine);
    EXPECT_EQ(rate.warmup_steps, 20);
    EXPECT_EQ(rate.total_steps, 100);
    auto b = root.get_object("b");
    EXPECT_EQ(LearningRate::from_json(b, 10).kind, LearningRateKind::kOneCycle);
    EXPECT_TRUE(root.problems().empty());
    auto c = root.get_object("c");
    (void)LearningRate::from_json(c, 10);
    EXPECT_EQ(root.problems().size(), 2U);
    auto d = root.get_object("d");
    (void)LearningRate::from_json(d, 10);
    d.finish();
    EXPECT_EQ(root.problems().size(), 3U) << "a key of another kind of schedule is unknown here";
}

}  // namespace
}  // namespace flagen::models
