#include "delta/delta_check.h"

#include <initializer_list>
#include <string>

#include "fla/error.h"

namespace fla {
namespace {

using std::int64_t;
using Sizes = std::initializer_list<int64_t>;

std::string bracketed(Sizes sizes) {
    std::string text = "[";
    for (const int64_t size : sizes) {
        text += (text.size() > 1 ? ", " : "") + std::to_string(size);
    }
    return text + "]";
}

bool has_sizes(const ConstTensorRef& t, Sizes sizes) {
    int d = 0;
    for (const int64_t size : sizes) {
        if (d >= t.ndim || t.size(d++) != size) {
            return false;
        }
    }
    return d == t.ndim;
}

enum class Need { kRequired, kOptional };
enum class Rows { kContiguous, kAny };

/// Checks the tensors of one call, each against the sizes that it must have.
class TensorChecker {
  public:
    explicit TensorChecker(DeltaDTypes dtypes) : dtypes_(dtypes) {}

    void check(const char* name, const ConstTensorRef& t, Sizes sizes, Need need = Need::kRequired,
               Rows rows = Rows::kContiguous) const {
        if (need == Need::kOptional && !t.present()) {
            return;
        }
        FLA_CHECK(has_sizes(t, sizes), name, " is ", t.describe(), ", expected sizes ",
                  bracketed(sizes));
        if (t.num_elements() == 0) {
            return;
        }
        FLA_CHECK(t.present(), name, " has no data");
        const bool wide = dtypes_ == DeltaDTypes::kFloat32OrFloat64;
        FLA_CHECK(t.dtype == DType::kFloat32 || (wide && t.dtype == DType::kFloat64), name, " is ",
                  t.describe(), ", expected float32", wide ? " or float64" : "");
        const int last = t.ndim - 1;
        FLA_CHECK(wide || rows == Rows::kAny || t.size(last) == 1 || t.stride(last) == 1, name,
                  " has innermost stride ", t.stride(last), ", expected 1");
    }

  private:
    DeltaDTypes dtypes_;
};

DeltaShape read_shape(const ConstTensorRef& q, const ConstTensorRef& v) {
    FLA_CHECK(q.ndim == 4, "q is ", q.describe(), ", expected [B, T, Hq, K]");
    FLA_CHECK(v.ndim == 4, "v is ", v.describe(), ", expected [B, T, H, V]");
    DeltaShape s;
    s.batch = q.size(0);
    s.tokens = q.size(1);
    s.qk_heads = q.size(2);
    s.keys = q.size(3);
    s.heads = v.size(2);
    s.values = v.size(3);
    FLA_CHECK(s.heads == 0 || (s.qk_heads >= 1 && s.heads % s.qk_heads == 0), "v has ", s.heads,
              " heads, expected a multiple of the ", s.qk_heads, " heads of q and k");
    FLA_CHECK(s.keys >= 1 && s.keys <= kMaxDeltaDim, "q has key width ", s.keys, ", expected 1 to ",
              kMaxDeltaDim);
    FLA_CHECK(s.values >= 1 && s.values <= kMaxDeltaDim, "v has value width ", s.values,
              ", expected 1 to ", kMaxDeltaDim);
    s.group = s.heads == 0 ? 1 : s.heads / s.qk_heads;
    return s;
}

template <typename Real>
void check_gate_values(const ConstTensorRef& g, const DeltaShape& s) {
    const auto* data = static_cast<const Real*>(g.data);
    for (int64_t b = 0; b < s.batch; ++b) {
        for (int64_t t = 0; t < s.tokens; ++t) {
            for (int64_t h = 0; h < s.heads; ++h) {
                const Real value = data[b * g.stride(0) + t * g.stride(1) + h * g.stride(2)];
                FLA_CHECK(value <= Real{0}, "log_decay is ", value, " at sequence ", b, ", token ",
                          t, ", head ", h, ", expected every value <= 0");
            }
        }
    }
}

template <typename Params>
DeltaShape check_inputs(const TensorChecker& checker, const Params& p) {
    const DeltaShape s = read_shape(p.q, p.v);
    checker.check("q", p.q, {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("k", p.k, {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("v", p.v, {s.batch, s.tokens, s.heads, s.values});
    checker.check("beta", p.beta, {s.batch, s.tokens, s.heads}, Need::kRequired, Rows::kAny);
    checker.check("log_decay", p.log_decay, {s.batch, s.tokens, s.heads}, Need::kOptional,
                  Rows::kAny);
    checker.check("initial_state", p.initial_state, {s.batch, s.heads, s.keys, s.values},
                  Need::kOptional);
    return s;
}

void check_gates(const ConstTensorRef& g, const DeltaShape& s) {
    if (!g.present()) {
        return;
    }
    g.dtype == DType::kFloat64 ? check_gate_values<double>(g, s) : check_gate_values<float>(g, s);
}

}  // namespace

DeltaShape check_delta_forward(const DeltaForward& p, DeltaDTypes dtypes) {
    const TensorChecker checker(dtypes);
    const DeltaShape s = check_inputs(checker, p);
    checker.check("o", as_const(p.o), {s.batch, s.tokens, s.heads, s.values});
    checker.check("final_state", as_const(p.final_state), {s.batch, s.heads, s.keys, s.values},
                  Need::kOptional);
    check_gates(p.log_decay, s);
    return s;
}

DeltaShape check_delta_backward(const DeltaBackward& p, DeltaDTypes dtypes) {
    const TensorChecker checker(dtypes);
    const DeltaShape s = check_inputs(checker, p);
    checker.check("grad_o", p.grad_o, {s.batch, s.tokens, s.heads, s.values});
    checker.check("grad_final_state", p.grad_final_state, {s.batch, s.heads, s.keys, s.values},
                  Need::kOptional);
    checker.check("grad_q", as_const(p.grad_q), {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("grad_k", as_const(p.grad_k), {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("grad_v", as_const(p.grad_v), {s.batch, s.tokens, s.heads, s.values});
    checker.check("grad_beta", as_const(p.grad_beta), {s.batch, s.tokens, s.heads}, Need::kRequired,
                  Rows::kAny);
    if (p.log_decay.present()) {
        checker.check("grad_log_decay", as_const(p.grad_log_decay), {s.batch, s.tokens, s.heads},
                      Need::kRequired, Rows::kAny);
    } else {
        FLA_CHECK(!p.grad_log_decay.present(), "grad_log_decay is ", p.grad_log_decay.describe(),
                  ", expected none without log_decay");
    }
    checker.check("grad_initial_state", as_const(p.grad_initial_state),
                  {s.batch, s.heads, s.keys, s.values}, Need::kOptional);
    check_gates(p.log_decay, s);
    return s;
}

}  // namespace fla
