#include "strided_conv.h"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <algorithm>

#include "flagen/error.h"
#include "no_autocast.h"

namespace flagen::models {
namespace {

/// Sizes of one convolution. Product i joins row t + i of the padded input with taps i * stride ...
struct ConvShape {
    std::int64_t num_windows, num_tokens, in, out, kernel, stride;

    [[nodiscard]] std::int64_t out_tokens() const { return num_tokens / stride; }
    [[nodiscard]] std::int64_t padding() const { return (kernel - stride + 1) / 2; }
    [[nodiscard]] std::int64_t num_products() const { return (kernel + stride - 1) / stride; }
    [[nodiscard]] std::int64_t num_rows() const { return out_tokens() + num_products() - 1; }
    /// Columns of product i: the last one may have fewer taps than the stride.
    [[nodiscard]] std::int64_t width(std::int64_t i) const {
        return std::min(stride, kernel - i * stride) * in;
    }
    [[nodiscard]] std::int64_t first_tap(std::int64_t i) const { return i * stride * in; }
    /// Rows of window b that product i reads, out of [B, num_rows, stride * in].
    [[nodiscard]] at::Tensor rows(const at::Tensor& padded, std::int64_t b, std::int64_t i) const {
        return padded.select(0, b).narrow(0, i, out_tokens()).narrow(1, 0, width(i));
    }
};

class StridedConv : public torch::autograd::Function<StridedConv> {
  public:
    /// taps: [kernel * in, out], row j * in + c.
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                              const at::Tensor& taps, std::int64_t kernel, std::int64_t stride) {
        const NoAutocast guard(x.device().type());  // it cannot cast what is written in place
        const ConvShape shape{x.size(0), x.size(1), x.size(2), taps.size(1), kernel, stride};
        const at::Tensor padded =
            at::zeros({shape.num_windows, shape.num_rows() * stride, shape.in}, x.options());
        padded.narrow(1, shape.padding(), shape.num_tokens).copy_(x);
        const at::Tensor rows = padded.view({shape.num_windows, shape.num_rows(), -1});
        at::Tensor y = at::empty({shape.num_windows, shape.out_tokens(), shape.out}, x.options());
        for (std::int64_t b = 0; b < shape.num_windows; ++b) {
            at::Tensor result = y.select(0, b);
            for (std::int64_t i = 0; i < shape.num_products(); ++i) {
                const at::Tensor part = taps.narrow(0, shape.first_tap(i), shape.width(i));
                if (i == 0) {
                    at::mm_out(result, shape.rows(rows, b, i), part);
                } else {
                    result.addmm_(shape.rows(rows, b, i), part);
                }
            }
        }
        context->save_for_backward({rows, taps});
        context->saved_data["kernel"] = kernel;
        context->saved_data["stride"] = stride;
        context->saved_data["num_tokens"] = shape.num_tokens;
        return y;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   torch::autograd::variable_list grads) {
        const auto saved = context->get_saved_variables();
        const at::Tensor& rows = saved[0];
        const at::Tensor& taps = saved[1];
        const NoAutocast guard(rows.device().type());
        const std::int64_t kernel = context->saved_data["kernel"].toInt();
        const std::int64_t stride = context->saved_data["stride"].toInt();
        const ConvShape shape{rows.size(0),
                              context->saved_data["num_tokens"].toInt(),
                              rows.size(2) / stride,
                              taps.size(1),
                              kernel,
                              stride};
        const at::Tensor grad_y = grads[0].contiguous();
        at::Tensor grad_taps = at::zeros_like(taps);
        at::Tensor grad_rows;
        if (context->needs_input_grad(0)) {
            grad_rows = at::zeros_like(rows);
        }
        for (std::int64_t b = 0; b < shape.num_windows; ++b) {
            const at::Tensor grad = grad_y.select(0, b);
            for (std::int64_t i = 0; i < shape.num_products(); ++i) {
                const std::int64_t first = shape.first_tap(i);
                grad_taps.narrow(0, first, shape.width(i)).addmm_(shape.rows(rows, b, i).t(), grad);
                if (grad_rows.defined()) {
                    const at::Tensor part = taps.narrow(0, first, shape.width(i));
                    shape.rows(grad_rows, b, i).addmm_(grad, part.t());
                }
            }
        }
        at::Tensor grad_x;
        if (grad_rows.defined()) {
            grad_x = grad_rows.view({shape.num_windows, -1, shape.in})
                         .narrow(1, shape.padding(), shape.num_tokens);
        }
        return {grad_x, grad_taps, at::Tensor(), at::Tensor()};
    }
};

}  // namespace

at::Tensor strided_conv(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        std::int64_t stride) {
    FLAGEN_CHECK(x.dim() == 3 && weight.dim() == 3 && x.size(2) == weight.size(1), "tokens ",
                 x.sizes(), " and weight ", weight.sizes());
    FLAGEN_CHECK(x.size(1) % stride == 0 && *strided_conv_fault(weight.size(2), stride) == '\0',
                 x.size(1), " tokens, kernel ", weight.size(2), ", stride ", stride);
    const at::DeviceType device = x.device().type();
    const at::ScalarType dtype = at::autocast::is_autocast_enabled(device)
                                     ? at::autocast::get_autocast_dtype(device)
                                     : x.scalar_type();
    const at::Tensor taps = weight.permute({2, 1, 0}).reshape({-1, weight.size(0)}).to(dtype);
    const at::Tensor y = StridedConv::apply(x.to(dtype), taps, weight.size(2), stride);
    return bias.defined() ? y + bias.to(dtype) : y;
}

}  // namespace flagen::models
