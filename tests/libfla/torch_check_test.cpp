// What the operators refuse, and how they behave without memory or without a kernel.
#include <ATen/core/dispatch/Dispatcher.h>
#include <gmock/gmock.h>

#include "torch_scan_case.h"

namespace fla::testing {
namespace {

using ::testing::HasSubstr;

/// Returns the message of the c10::Error that `call` throws, or an empty string.
template <typename Call>
std::string error_of(Call call) {
    try {
        call();
    } catch (const c10::Error& error) {
        return error.what_without_backtrace();
    }
    return {};
}

std::string error_of_gla(const ScanTensors& x) {
    return error_of([&] { (void)run_operator(Scan::kGla, x); });
}

ScanTensors small_gla() { return random_tensors(Scan::kGla, {.t = 5}).leaves(at::kFloat); }

TEST(ScanCheckTest, NamesTensorFoundAndExpectedSizes) {
    ScanTensors x = small_gla();
    x.g = at::zeros({2, 5, 4});
    EXPECT_EQ(error_of_gla(x),
              "fla::chunk_gla: g has sizes [2, 5, 4], expected 4 dimensions [B, T, H, K]");
    x = small_gla();
    x.k = at::zeros({2, 6, 2, 8});
    EXPECT_EQ(error_of_gla(x),
              "fla::chunk_gla: k has sizes [2, 6, 2, 8], expected [B, T, Hq, K] = [2, 5, 2, 8]");
    x = small_gla();
    x.state = at::zeros({2, 4, 6, 8});
    EXPECT_EQ(error_of_gla(x),
              "fla::chunk_gla: initial_state has sizes [2, 4, 6, 8], expected [B, H, K, V] = "
              "[2, 4, 8, 6]");
    x = small_gla();
    x.v = at::zeros({2, 5, 3, 6});
    EXPECT_THAT(error_of_gla(x), HasSubstr("v has H = 3 heads, expected a multiple of the Hq = 2"));
    x = small_gla();
    x.q = at::zeros({2, 5, 8});
    EXPECT_THAT(error_of_gla(x), HasSubstr("q has sizes [2, 5, 8], expected 4 dimensions"));
}

TEST(ScanCheckTest, NamesTensorFoundAndExpectedDtypes) {
    ScanTensors x = small_gla();
    x.k = x.k.to(at::kHalf);
    EXPECT_EQ(error_of_gla(x), "fla::chunk_gla: k is Half, expected Float (the dtype of q)");
    x = small_gla();
    x.g = x.g.to(at::kDouble);
    EXPECT_THAT(error_of_gla(x), HasSubstr("g is Double but q is Float"));
    x = small_gla();
    x.g = at::zeros({2, 5, 4, 8}, at::kInt);
    EXPECT_THAT(error_of_gla(x), HasSubstr("g is Int, expected Float"));
    x = small_gla().map([](const at::Tensor& t) { return t.to(at::kInt); });
    EXPECT_THAT(error_of_gla(x), HasSubstr("q is Int, expected Float"));
}

TEST(ScanCheckTest, CoreErrorsBecomeTorchErrors) {
    ScanTensors x = small_gla();
    x.g = at::ones({2, 5, 4, 8});
    EXPECT_THAT(error_of_gla(x), HasSubstr("fla::chunk_gla: "));
}

TEST(ScanCheckTest, LinearAttnOptionsMustFit) {
    const ScanTensors x = random_tensors(Scan::kLinearAttn, {.t = 5});
    EXPECT_THAT(error_of([&] {
                    ops::LinearAttnOptions options;
                    options.initial_z = at::zeros({2, 4, 8}, at::kDouble);
                    (void)ops::chunk_linear_attn(x.q, x.k, x.v, options);
                }),
                HasSubstr("initial_z is given, expected none without normalize"));
    EXPECT_EQ(error_of([&] {
                  ops::LinearAttnOptions options{.normalize = true};
                  options.initial_z = at::zeros({2, 4, 7}, at::kDouble);
                  (void)ops::chunk_linear_attn(x.q, x.k, x.v, options);
              }),
              "fla::chunk_linear_attn: initial_z has sizes [2, 4, 7], expected [B, H, K] = "
              "[2, 4, 8]");
}

TEST(ScanCheckTest, SecondDerivativesAreRefused) {
    for (const Scan scan : all_scans()) {
        const ScanTensors x = random_tensors(scan, {.t = 5}).leaves(at::kDouble);
        const auto grads =
            torch::autograd::grad({run_operator(scan, x).o.pow(2).sum()}, x.list(), {},
                                  /*retain_graph=*/true, /*create_graph=*/true);
        ASSERT_TRUE(grads[0].requires_grad()) << name_of(scan);
        EXPECT_THAT(error_of([&] { (void)torch::autograd::grad({grads[0].pow(2).sum()}, {x.v}); }),
                    HasSubstr("differentiable once"))
            << name_of(scan);
    }
}

TEST(ScanCheckTest, MetaTensorsGiveShapesAndDtypes) {
    for (const Scan scan : all_scans()) {
        const ScanTensors x =
            random_tensors(scan, {.t = 5})
                .map([](const at::Tensor& t) {
                    return t.to(at::dtype(at::kBFloat16).device(at::kMeta));
                })
                .map([](const at::Tensor& t) { return t.detach().requires_grad_(); });
        const auto out = run_operator(scan, x);
        EXPECT_EQ(out.o.sizes(), x.v.sizes());
        EXPECT_EQ(out.o.scalar_type(), at::kBFloat16);
        EXPECT_EQ(out.final_state.sizes(), at::IntArrayRef({2, 4, 8, 6}));
        EXPECT_EQ(out.final_state.scalar_type(), at::kFloat);
        const auto grads = torch::autograd::grad({out.o.sum()}, x.list());
        for (std::size_t i = 0; i < grads.size(); ++i) {
            EXPECT_EQ(grads[i].sizes(), x.list()[i].sizes()) << x.named()[i].first;
        }
    }
}

/// Calls the CUDA kernel of operator `name` with what is enough to reach its first check.
std::string error_of_cuda_kernel(const std::string& name) {
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), "");
    EXPECT_TRUE(op.hasKernelForDispatchKey(c10::DispatchKey::CUDA)) << name;
    torch::jit::Stack stack;
    for (const auto& argument : op.schema().arguments()) {
        const bool per_head = argument.name() == "g" && name == "fla::chunk_simple_gla";
        stack.push_back(argument.default_value().value_or(per_head ? at::zeros({1, 1, 1})
                                                                   : at::zeros({1, 1, 1, 1})));
    }
    return error_of([&] { op.callBoxedForDispatchKey(c10::DispatchKey::CUDA, stack); });
}

TEST(ScanCheckTest, OperatorsWithoutCudaKernelSaySo) {
    std::vector<std::string> names = {"fla::chunk_delta_rule", "fla::chunk_gated_delta_rule"};
#ifndef FLA_TORCH_CUDA
    names.insert(names.end(),
                 {"fla::chunk_linear_attn_base", "fla::chunk_simple_gla", "fla::chunk_gla"});
#endif
    for (const std::string& name : names) {
        EXPECT_THAT(error_of_cuda_kernel(name), HasSubstr(name + ": no CUDA kernel in this build"));
    }
}

#ifdef FLA_TORCH_CUDA
TEST(ScanCheckTest, CudaKernelsWantCudaTensors) {
    for (const std::string name :
         {"fla::chunk_linear_attn_base", "fla::chunk_simple_gla", "fla::chunk_gla"}) {
        EXPECT_EQ(error_of_cuda_kernel(name), name + ": q is on cpu, expected a CUDA device");
    }
}
#endif

}  // namespace
}  // namespace fla::testing
