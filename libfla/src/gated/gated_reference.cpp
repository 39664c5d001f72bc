#include <cmath>
#include <vector>

#include "fla/gated_attn.h"
#include "gated/gated_check.h"

namespace fla {
namespace {

using std::int64_t;

/// Reads one element of a fp32 or fp64 tensor; indices beyond its dimensions are left out.
double read(const ConstTensorRef& t, int64_t i0, int64_t i1, int64_t i2, int64_t i3 = 0) {
    int64_t offset = i0 * t.stride(0) + i1 * t.stride(1) + i2 * t.stride(2);
    offset += t.ndim > 3 ? i3 * t.stride(3) : 0;
    return t.dtype == DType::kFloat64
               ? static_cast<const double*>(t.data)[offset]
               : static_cast<double>(static_cast<const float*>(t.data)[offset]);
}

void write(const TensorRef& t, int64_t i0, int64_t i1, int64_t i2, int64_t i3, double value) {
    int64_t offset = i0 * t.stride(0) + i1 * t.stride(1) + i2 * t.stride(2);
    offset += t.ndim > 3 ? i3 * t.stride(3) : 0;
    if (t.dtype == DType::kFloat64) {
        static_cast<double*>(t.data)[offset] = value;
    } else {
        static_cast<float*>(t.data)[offset] = static_cast<float>(value);
    }
}

/// A [rows, cols] matrix of doubles.
struct Matrix {
    Matrix(int64_t rows, int64_t cols)
        : cols(cols), values(static_cast<std::size_t>(rows * cols), 0.0) {}

    double& at(int64_t row, int64_t col) {
        return values[static_cast<std::size_t>(row * cols + col)];
    }

    int64_t cols;
    std::vector<double> values;
};

void load_state(const ConstTensorRef& state, int64_t b, int64_t h, int64_t rows, Matrix& out) {
    for (int64_t c = 0; state.present() && c < rows; ++c) {
        for (int64_t x = 0; x < out.cols; ++x) {
            out.at(c, x) = read(state, b, h, c, x);
        }
    }
}

void store_state(const TensorRef& state, int64_t b, int64_t h, int64_t rows, Matrix& values) {
    for (int64_t c = 0; state.present() && c < rows; ++c) {
        for (int64_t x = 0; x < values.cols; ++x) {
            write(state, b, h, c, x, values.at(c, x));
        }
    }
}

/// exp(log_decay) of one token and channel.
double decay_factor(const ConstTensorRef& log_decay, Decay decay, int64_t b, int64_t t, int64_t h,
                    int64_t c) {
    if (decay == Decay::kNone) {
        return 1.0;
    }
    const double value = read(log_decay, b, t, h, c);
    if (!(value <= 0.0)) {
        throw_bad_log_decay(b, t, h);
    }
    return std::exp(value);
}

/// S = diag(a_t) S + k_t v_t^T.
void advance(const GatedBackward& p, int64_t b, int64_t h, int64_t qk_head, int64_t t,
             int64_t num_keys, Matrix& state) {
    for (int64_t c = 0; c < num_keys; ++c) {
        const double a = decay_factor(p.log_decay, p.decay, b, t, h, c);
        const double key = read(p.k, b, t, qk_head, c);
        for (int64_t x = 0; x < state.cols; ++x) {
            state.at(c, x) = a * state.at(c, x) + key * read(p.v, b, t, h, x);
        }
    }
}

/// Token visited at step `i`.
int64_t token_of(Direction direction, int64_t i, int64_t num_tokens) {
    return direction == Direction::kForward ? i : num_tokens - 1 - i;
}

/// Adjoint of one step. `after` is the state behind the token, `before` the one ahead of it,
/// `grad` the gradient of the state behind it, turned into the gradient of the one ahead.
void backward_step(const GatedBackward& p, int64_t b, int64_t h, int64_t qk_head, int64_t t,
                   Matrix& before, Matrix& after, Matrix& grad, Matrix& grad_q, Matrix& grad_k) {
    const int64_t num_keys = p.q.size(3);
    const int64_t num_values = p.v.size(3);
    std::vector<double> grad_v(static_cast<std::size_t>(num_values), 0.0);
    double grad_head_decay = 0.0;
    for (int64_t c = 0; c < num_keys; ++c) {
        const double query = p.scale * read(p.q, b, t, qk_head, c);
        const double key = read(p.k, b, t, qk_head, c);
        const double a = decay_factor(p.log_decay, p.decay, b, t, h, c);
        double sum_q = 0.0;
        double sum_k = 0.0;
        double sum_g = 0.0;
        for (int64_t x = 0; x < num_values; ++x) {
            const double grad_out = read(p.grad_o, b, t, h, x);
            sum_q += after.at(c, x) * grad_out;
            grad.at(c, x) += query * grad_out;
            sum_k += grad.at(c, x) * read(p.v, b, t, h, x);
            grad_v[static_cast<std::size_t>(x)] += grad.at(c, x) * key;
            sum_g += grad.at(c, x) * a * before.at(c, x);
            grad.at(c, x) *= a;
        }
        grad_q.at(t, c) += p.scale * sum_q;
        grad_k.at(t, c) += sum_k;
        grad_head_decay += sum_g;
        if (p.decay == Decay::kChannel) {
            write(p.grad_log_decay, b, t, h, c, sum_g);
        }
    }
    if (p.decay == Decay::kHead) {
        write(p.grad_log_decay, b, t, h, 0, grad_head_decay);
    }
    for (int64_t x = 0; x < num_values; ++x) {
        write(p.grad_v, b, t, h, x, grad_v[static_cast<std::size_t>(x)]);
    }
}

}  // namespace

void gated_forward_reference(const GatedForward& p) {
    const GatedShape shape = check_gated_forward(p, GatedDTypes::kFloat32OrFloat64);
    GatedBackward step;  // Only its inputs are read.
    step.k = p.k;
    step.v = p.v;
    step.log_decay = p.log_decay;
    step.decay = p.decay;
    for (int64_t b = 0; b < shape.batch; ++b) {
        for (int64_t h = 0; h < shape.heads; ++h) {
            const int64_t qk_head = h / shape.group;
            Matrix state(shape.keys, shape.values);
            load_state(p.initial_state, b, h, shape.keys, state);
            for (int64_t i = 0; i < shape.tokens; ++i) {
                const int64_t t = token_of(p.direction, i, shape.tokens);
                advance(step, b, h, qk_head, t, shape.keys, state);
                for (int64_t x = 0; x < shape.values; ++x) {
                    double sum = 0.0;
                    for (int64_t c = 0; c < shape.keys; ++c) {
                        sum += read(p.q, b, t, qk_head, c) * state.at(c, x);
                    }
                    write(p.o, b, t, h, x, p.scale * sum);
                }
            }
            store_state(p.final_state, b, h, shape.keys, state);
        }
    }
}

void gated_backward_reference(const GatedBackward& p) {
    const GatedShape shape = check_gated_backward(p, GatedDTypes::kFloat32OrFloat64);
    for (int64_t b = 0; b < shape.batch; ++b) {
        for (int64_t qk_head = 0; qk_head < shape.qk_heads; ++qk_head) {
            Matrix grad_q(shape.tokens, shape.keys);
            Matrix grad_k(shape.tokens, shape.keys);
            for (int64_t h = qk_head * shape.group; h < (qk_head + 1) * shape.group; ++h) {
                std::vector<Matrix> states(1, Matrix(shape.keys, shape.values));
                load_state(p.initial_state, b, h, shape.keys, states.back());
                for (int64_t i = 0; i < shape.tokens; ++i) {
                    states.push_back(states.back());
                    const int64_t t = token_of(p.direction, i, shape.tokens);
                    advance(p, b, h, qk_head, t, shape.keys, states.back());
                }
                Matrix grad(shape.keys, shape.values);
                load_state(p.grad_final_state, b, h, shape.keys, grad);
                for (int64_t i = shape.tokens - 1; i >= 0; --i) {
                    const int64_t t = token_of(p.direction, i, shape.tokens);
                    const auto step = static_cast<std::size_t>(i);
                    backward_step(p, b, h, qk_head, t, states[step], states[step + 1], grad, grad_q,
                                  grad_k);
                }
                store_state(p.grad_initial_state, b, h, shape.keys, grad);
            }
            for (int64_t t = 0; t < shape.tokens; ++t) {
                for (int64_t c = 0; c < shape.keys; ++c) {
                    write(p.grad_q, b, t, qk_head, c, grad_q.at(t, c));
                    write(p.grad_k, b, t, qk_head, c, grad_k.at(t, c));
                }
            }
        }
    }
}

}  // namespace fla
