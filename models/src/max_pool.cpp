#include "max_pool.h"

#include <torch/torch.h>

#include "flagen/error.h"

namespace flagen::models {
namespace {

class MaxPool : public torch::autograd::Function<MaxPool> {
  public:
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                              std::int64_t size) {
        const at::Tensor groups =
            x.unflatten(1, {x.size(1) / size, size});  // [B, T / size, size, C]
        at::Tensor largest = groups.select(2, 0);
        at::Tensor place = at::zeros(largest.sizes(), x.options().dtype(at::kByte));
        for (std::int64_t i = 1; i < size; ++i) {
            const at::Tensor next = groups.select(2, i);
            place.masked_fill_(next > largest, i);
            largest = at::maximum(largest, next);  // NaN stays NaN
        }
        context->save_for_backward({place});
        context->saved_data["size"] = size;
        return largest.contiguous();
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   torch::autograd::variable_list grads) {
        const at::Tensor place = context->get_saved_variables()[0];
        const std::int64_t size = context->saved_data["size"].toInt();
        const at::Tensor& grad = grads[0];
        const at::Tensor groups =
            at::empty({place.size(0), place.size(1), size, place.size(2)}, grad.options());
        for (std::int64_t i = 0; i < size; ++i) {
            groups.select(2, i).copy_(grad.masked_fill(place != i, 0));
        }
        return {groups.flatten(1, 2), at::Tensor()};
    }
};

}  // namespace

at::Tensor max_pool_tokens(const at::Tensor& x, std::int64_t size) {
    FLAGEN_CHECK(x.dim() == 3 && size >= 1 && size <= 256 && x.size(1) % size == 0, "tokens ",
                 x.sizes(), " pooled by ", size);
    return size == 1 ? x : MaxPool::apply(x, size);
}

}  // namespace flagen::models
