#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "delta/delta_check.h"
#include "fla/delta_rule.h"

namespace fla {
namespace {

using std::int64_t;
using Vector = std::vector<double>;

constexpr int64_t kCheckpoint = 64;  // Tokens between the states that the backward pass keeps.

int64_t offset_of(int64_t b, int64_t i1, int64_t i2, int64_t i3, const ConstTensorRef& t) {
    return b * t.stride(0) + i1 * t.stride(1) + i2 * t.stride(2) +
           (t.ndim > 3 ? i3 * t.stride(3) : 0);
}

double read(const ConstTensorRef& t, int64_t b, int64_t i1, int64_t i2, int64_t i3 = 0) {
    const int64_t at = offset_of(b, i1, i2, i3, t);
    return t.dtype == DType::kFloat64 ? static_cast<const double*>(t.data)[at]
                                      : static_cast<double>(static_cast<const float*>(t.data)[at]);
}

void write(const TensorRef& t, int64_t b, int64_t i1, int64_t i2, int64_t i3, double value) {
    const int64_t at = offset_of(b, i1, i2, i3, as_const(t));
    if (t.dtype == DType::kFloat64) {
        static_cast<double*>(t.data)[at] = value;
    } else {
        static_cast<float*>(t.data)[at] = static_cast<float>(value);
    }
}

/// Reads the row (b, i1, i2, :), each element times `factor`.
Vector read_row(const ConstTensorRef& t, int64_t b, int64_t i1, int64_t i2, double factor = 1.0) {
    Vector row(static_cast<std::size_t>(t.size(3)));
    for (int64_t c = 0; c < t.size(3); ++c) {
        row[static_cast<std::size_t>(c)] = factor * read(t, b, i1, i2, c);
    }
    return row;
}

void write_row(const TensorRef& t, int64_t b, int64_t i1, int64_t i2, const Vector& row) {
    for (int64_t c = 0; c < t.size(3); ++c) {
        write(t, b, i1, i2, c, row[static_cast<std::size_t>(c)]);
    }
}

/// A state or its gradient, [K, V].
class Matrix {
  public:
    Matrix(std::size_t rows, std::size_t cols) : cols_(cols), values_(rows * cols, 0.0) {}

    [[nodiscard]] std::size_t rows() const { return values_.size() / cols_; }
    double* row(std::size_t c) { return values_.data() + c * cols_; }
    [[nodiscard]] const double* row(std::size_t c) const { return values_.data() + c * cols_; }

    void scale(double factor) {
        for (double& value : values_) {
            value *= factor;
        }
    }
    /// this += factor * left rightᵀ.
    void add_outer(double factor, const Vector& left, const Vector& right) {
        for (std::size_t c = 0; c < rows(); ++c) {
            for (std::size_t x = 0; x < cols_; ++x) {
                row(c)[x] += factor * left[c] * right[x];
            }
        }
    }
    /// thisᵀ vector, [V].
    [[nodiscard]] Vector transposed_times(const Vector& vector) const {
        Vector out(cols_, 0.0);
        for (std::size_t c = 0; c < rows(); ++c) {
            for (std::size_t x = 0; x < cols_; ++x) {
                out[x] += row(c)[x] * vector[c];
            }
        }
        return out;
    }
    /// this vector, [K].
    [[nodiscard]] Vector times(const Vector& vector) const {
        Vector out(rows(), 0.0);
        for (std::size_t c = 0; c < rows(); ++c) {
            for (std::size_t x = 0; x < cols_; ++x) {
                out[c] += row(c)[x] * vector[x];
            }
        }
        return out;
    }
    [[nodiscard]] double inner_product(const Matrix& other) const {
        double sum = 0.0;
        for (std::size_t i = 0; i < values_.size(); ++i) {
            sum += values_[i] * other.values_[i];
        }
        return sum;
    }

  private:
    std::size_t cols_;
    Vector values_;
};

double dot(const Vector& a, const Vector& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

Matrix read_state(const ConstTensorRef& t, const DeltaShape& s, int64_t b, int64_t h) {
    Matrix state(static_cast<std::size_t>(s.keys), static_cast<std::size_t>(s.values));
    for (int64_t c = 0; t.present() && c < s.keys; ++c) {
        for (int64_t x = 0; x < s.values; ++x) {
            state.row(static_cast<std::size_t>(c))[x] = read(t, b, h, c, x);
        }
    }
    return state;
}

void write_state(const TensorRef& t, const DeltaShape& s, int64_t b, int64_t h,
                 const Matrix& state) {
    for (int64_t c = 0; t.present() && c < s.keys; ++c) {
        for (int64_t x = 0; x < s.values; ++x) {
            write(t, b, h, c, x, state.row(static_cast<std::size_t>(c))[x]);
        }
    }
}

/// One token of one head.
struct Step {
    Vector k;
    Vector v;
    double beta;
    double decay;
};

template <typename Params>
Step read_step(const Params& p, const DeltaShape& s, int64_t b, int64_t t, int64_t h) {
    return {read_row(p.k, b, t, h / s.group), read_row(p.v, b, t, h), read(p.beta, b, t, h),
            p.log_decay.present() ? std::exp(read(p.log_decay, b, t, h)) : 1.0};
}

/// Turns S_{t-1} into S̄_t and returns e_t.
Vector decay_and_compare(const Step& step, Matrix& state) {
    state.scale(step.decay);
    Vector error = state.transposed_times(step.k);
    for (std::size_t x = 0; x < error.size(); ++x) {
        error[x] = step.v[x] - error[x];
    }
    return error;
}

/// Turns S_{t-1} into S_t.
void advance(const Step& step, Matrix& state) {
    const Vector error = decay_and_compare(step, state);
    state.add_outer(step.beta, step.k, error);
}

/// Token that stands at place `i` of the walk.
int64_t token_at(Direction direction, const DeltaShape& s, int64_t i) {
    return direction == Direction::kForward ? i : s.tokens - 1 - i;
}

/// grad_q and grad_k of one (b, h), summed into those of its group.
void add_row(const TensorRef& t, int64_t b, int64_t token, int64_t head, bool first,
             const Vector& row) {
    for (int64_t c = 0; c < t.size(3); ++c) {
        const double before = first ? 0.0 : read(as_const(t), b, token, head, c);
        write(t, b, token, head, c, before + row[static_cast<std::size_t>(c)]);
    }
}

/// Transposes one token: `state` is S_{t-1}, `grad` the gradient of S_t, turned into that of
/// S_{t-1}.
void step_back(const DeltaBackward& p, const DeltaShape& s, int64_t b, int64_t t, int64_t h,
               Matrix state, Matrix& grad) {
    const Step step = read_step(p, s, b, t, h);
    const Vector q = read_row(p.q, b, t, h / s.group, p.scale);
    const Vector grad_o = read_row(p.grad_o, b, t, h);
    const Vector error = decay_and_compare(step, state);  // state is now S̄.
    Matrix after = state;
    after.add_outer(step.beta, step.k, error);

    Vector grad_q = after.times(grad_o);
    for (double& value : grad_q) {
        value *= p.scale;
    }
    grad.add_outer(1.0, q, grad_o);
    const Vector grad_times_error = grad.times(error);
    Vector grad_error = grad.transposed_times(step.k);
    for (double& value : grad_error) {
        value *= step.beta;
    }
    const Vector state_times_grad_error = state.times(grad_error);
    Vector grad_k(grad_q.size());
    for (std::size_t c = 0; c < grad_k.size(); ++c) {
        grad_k[c] = step.beta * grad_times_error[c] - state_times_grad_error[c];
    }
    grad.add_outer(-1.0, step.k, grad_error);  // grad is now that of S̄.

    const bool first_of_group = h % s.group == 0;
    add_row(p.grad_q, b, t, h / s.group, first_of_group, grad_q);
    add_row(p.grad_k, b, t, h / s.group, first_of_group, grad_k);
    write_row(p.grad_v, b, t, h, grad_error);
    write(p.grad_beta, b, t, h, 0, dot(step.k, grad_times_error));
    if (p.log_decay.present()) {
        write(p.grad_log_decay, b, t, h, 0, state.inner_product(grad));
    }
    grad.scale(step.decay);
}

void backward_head(const DeltaBackward& p, const DeltaShape& s, int64_t b, int64_t h) {
    std::vector<Matrix> checkpoints;  // State before every kCheckpoint-th token of the walk.
    Matrix state = read_state(p.initial_state, s, b, h);
    for (int64_t i = 0; i < s.tokens; ++i) {
        if (i % kCheckpoint == 0) {
            checkpoints.push_back(state);
        }
        advance(read_step(p, s, b, token_at(p.direction, s, i), h), state);
    }
    Matrix grad = read_state(p.grad_final_state, s, b, h);
    for (int64_t segment = static_cast<int64_t>(checkpoints.size()) - 1; segment >= 0; --segment) {
        const int64_t begin = segment * kCheckpoint;
        const int64_t end = std::min(begin + kCheckpoint, s.tokens);
        std::vector<Matrix> states = {checkpoints[static_cast<std::size_t>(segment)]};
        for (int64_t i = begin; i + 1 < end; ++i) {
            states.push_back(states.back());
            advance(read_step(p, s, b, token_at(p.direction, s, i), h), states.back());
        }
        for (int64_t i = end - 1; i >= begin; --i) {
            step_back(p, s, b, token_at(p.direction, s, i), h,
                      states[static_cast<std::size_t>(i - begin)], grad);
        }
    }
    write_state(p.grad_initial_state, s, b, h, grad);
}

}  // namespace

void delta_forward_reference(const DeltaForward& p) {
    const DeltaShape s = check_delta_forward(p, DeltaDTypes::kFloat32OrFloat64);
    for (int64_t b = 0; b < s.batch; ++b) {
        for (int64_t h = 0; h < s.heads; ++h) {
            Matrix state = read_state(p.initial_state, s, b, h);
            for (int64_t i = 0; i < s.tokens; ++i) {
                const int64_t t = token_at(p.direction, s, i);
                advance(read_step(p, s, b, t, h), state);
                const Vector q = read_row(p.q, b, t, h / s.group, p.scale);
                write_row(p.o, b, t, h, state.transposed_times(q));
            }
            write_state(p.final_state, s, b, h, state);
        }
    }
}

void delta_backward_reference(const DeltaBackward& p) {
    const DeltaShape s = check_delta_backward(p, DeltaDTypes::kFloat32OrFloat64);
    for (int64_t b = 0; b < s.batch; ++b) {
        for (int64_t h = 0; h < s.heads; ++h) {
            backward_head(p, s, b, h);
        }
    }
}

}  // namespace fla
