#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "apps/runtime/device.h"
#include "apps/runtime/gradient_scaler.h"
#include "apps/runtime/run_state.h"
#include "flagen/data/batch_sampler.h"

namespace flagen::apps {
namespace {

using ::testing::HasSubstr;

TEST(DeviceRequest, ReadsItsNames) {
    EXPECT_EQ(DeviceRequest::parse("auto").kind, DeviceRequest::Kind::kAuto);
    EXPECT_EQ(DeviceRequest::parse("cpu").kind, DeviceRequest::Kind::kCpu);
    EXPECT_EQ(DeviceRequest::parse("cuda").index, 0);
    EXPECT_EQ(DeviceRequest::parse("cuda:3").index, 3);
    EXPECT_EQ(DeviceRequest::parse("cuda:3").kind, DeviceRequest::Kind::kCuda);
    for (const char* text : {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:1 ", "cuda1", "cuda:1000"}) {
        EXPECT_THROW((void)DeviceRequest::parse(text), UserError) << text;
    }
}

TEST(ChooseDevice, CpuIsTakenWithoutAReason) {
    EXPECT_EQ(choose_device(DeviceRequest::parse("cpu"), {}).text(), "cpu");
}

TEST(ChooseDevice, WithoutAGpuAutoSaysWhyAndCudaIsAnError) {
    if (cuda_fault().empty()) {
        GTEST_SKIP() << "this machine has a GPU";
    }
    const RunDevice chosen = choose_device(DeviceRequest::parse("auto"), {});
    EXPECT_TRUE(chosen.device.is_cpu());
    EXPECT_EQ(chosen.text(), "cpu (" + cuda_fault() + ")");
    EXPECT_EQ(chosen.peak_bytes(), 0);
    try {
        (void)choose_device(DeviceRequest::parse("cuda:1"), {});
        FAIL() << "nothing was thrown";
    } catch (const DeviceError& error) {
        EXPECT_THAT(error.what(), HasSubstr("cannot use cuda:1: " + cuda_fault()));
    }
}

TEST(GradientScaler, DividesAndFollowsTheSteps) {
    GradientScaler scaler;
    at::Tensor weight = torch::ones({3}, torch::requires_grad());
    const at::Tensor bystander = torch::ones({3}, torch::requires_grad());
    ((weight * 1e-6).sum() * scaler.factor).backward();
    scaler.unscale({weight, bystander});
    EXPECT_TRUE(at::equal(weight.grad(), torch::full({3}, 1e-6)));

    scaler.update(false);
    EXPECT_EQ(scaler.factor, GradientScaler::kFirst / 2);
    for (std::int64_t step = 1; step < GradientScaler::kGrowthInterval; ++step) {
        scaler.update(true);
    }
    EXPECT_EQ(scaler.factor, GradientScaler::kFirst / 2);
    scaler.update(true);
    EXPECT_EQ(scaler.factor, GradientScaler::kFirst);
    EXPECT_EQ(scaler.finite_steps, 0);
    scaler.update(true);
    scaler.update(false);
    EXPECT_EQ(scaler.finite_steps, 0);
    while (scaler.factor > GradientScaler::kSmallest) {
        scaler.update(false);
    }
    EXPECT_THROW(scaler.update(false), Error);
}

TEST(RunState, KeepsTheLossScale) {
    RunState state;
    state.sums.resize(1);
    state.sampler = data::BatchSampler({data::ResumableSampler({3, 0, false, 1, 0, 1})}, 1).state();
    EXPECT_EQ(state.to_json_text().find("loss_scale"), std::string::npos);
    state.scaler.emplace();
    state.scaler->factor = 512.0;
    state.scaler->finite_steps = 77;
    state.sums[0].num_skipped = 2;
    const RunState again = RunState::from_json_text(state.to_json_text(), 1, "test");
    ASSERT_TRUE(again.scaler);
    EXPECT_EQ(again.scaler->factor, 512.0);
    EXPECT_EQ(again.scaler->finite_steps, 77);
    EXPECT_EQ(again.sums[0].num_skipped, 2);
}

}  // namespace
}  // namespace flagen::apps
