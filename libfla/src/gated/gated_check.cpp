#include "gated/gated_check.h"

#include <initializer_list>
#include <string>

#include "fla/error.h"

namespace fla {
namespace {

using std::int64_t;

std::string bracketed(std::initializer_list<int64_t> sizes) {
    std::string text = "[";
    for (const int64_t size : sizes) {
        text += (text.size() > 1 ? ", " : "") + std::to_string(size);
    }
    return text + "]";
}

bool same_sizes(const ConstTensorRef& t, std::initializer_list<int64_t> sizes) {
    int d = 0;
    for (const int64_t size : sizes) {
        if (d >= t.ndim || t.size(d++) != size) {
            return false;
        }
    }
    return d == t.ndim;
}

/// Checks tensors of one call, each against the sizes it must have.
class Checker {
  public:
    explicit Checker(GatedDTypes dtypes) : dtypes_(dtypes) {}

    void check(const char* name, const ConstTensorRef& t, std::initializer_list<int64_t> sizes,
               bool contiguous_rows = true) const {
        FLA_CHECK(same_sizes(t, sizes), name, " is ", t.describe(), ", expected sizes ",
                  bracketed(sizes));
        if (t.num_elements() == 0) {
            return;
        }
        FLA_CHECK(t.present(), name, " has no data");
        check_dtype(name, t, false);
        FLA_CHECK(dtypes_ == GatedDTypes::kFloat32OrFloat64 || !contiguous_rows ||
                      t.size(t.ndim - 1) == 1 || t.stride(t.ndim - 1) == 1,
                  name, " has innermost stride ", t.stride(t.ndim - 1), ", expected 1");
    }

    /// Checks a state, which may be absent.
    void check_state(const char* name, const ConstTensorRef& t, const GatedShape& s) const {
        if (t.present()) {
            check(name, t, {s.batch, s.heads, s.keys, s.values});
            check_dtype(name, t, true);
        }
    }

    void check_log_decay(const char* name, Decay decay, const ConstTensorRef& t,
                         const GatedShape& s) const {
        switch (decay) {
            case Decay::kNone:
                FLA_CHECK(!t.present(), name, " is ", t.describe(),
                          ", expected none without decay");
                break;
            case Decay::kHead:
                check(name, t, {s.batch, s.tokens, s.heads}, false);
                break;
            case Decay::kChannel:
                check(name, t, {s.batch, s.tokens, s.heads, s.keys});
                break;
        }
    }

  private:
    void check_dtype(const char* name, const ConstTensorRef& t, bool is_state) const {
        switch (dtypes_) {
            case GatedDTypes::kFloat32:
                FLA_CHECK(t.dtype == DType::kFloat32, name, " is ", t.describe(),
                          ", expected float32");
                break;
            case GatedDTypes::kFloat32OrFloat64:
                FLA_CHECK(t.dtype == DType::kFloat32 || t.dtype == DType::kFloat64, name, " is ",
                          t.describe(), ", expected float32 or float64");
                break;
            case GatedDTypes::kCuda:
                FLA_CHECK(is_state ? t.dtype == DType::kFloat32 : t.dtype != DType::kFloat64, name,
                          " is ", t.describe(), ", expected float32",
                          is_state ? "" : ", bfloat16 or float16");
                break;
        }
    }

    GatedDTypes dtypes_;
};

GatedShape check_inputs(const Checker& checker, const ConstTensorRef& q, const ConstTensorRef& k,
                        const ConstTensorRef& v) {
    FLA_CHECK(q.ndim == 4, "q is ", q.describe(), ", expected [B, T, Hq, K]");
    FLA_CHECK(v.ndim == 4, "v is ", v.describe(), ", expected [B, T, H, V]");
    GatedShape s;
    s.batch = q.size(0);
    s.tokens = q.size(1);
    s.qk_heads = q.size(2);
    s.keys = q.size(3);
    s.heads = v.size(2);
    s.values = v.size(3);
    checker.check("q", q, {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("k", k, {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("v", v, {s.batch, s.tokens, s.heads, s.values});
    FLA_CHECK(s.qk_heads >= 1 && s.heads >= s.qk_heads && s.heads % s.qk_heads == 0, "v has ",
              s.heads, " heads, expected a multiple of the ", s.qk_heads, " heads of q and k");
    FLA_CHECK(s.keys >= 1 && s.keys <= kMaxGatedDim, "q has key width ", s.keys, ", expected 1 to ",
              kMaxGatedDim);
    FLA_CHECK(s.values >= 1 && s.values <= kMaxGatedDim, "v has value width ", s.values,
              ", expected 1 to ", kMaxGatedDim);
    s.group = s.heads / s.qk_heads;
    return s;
}

}  // namespace

GatedShape check_gated_forward(const GatedForward& p, GatedDTypes dtypes) {
    const Checker checker(dtypes);
    const GatedShape s = check_inputs(checker, p.q, p.k, p.v);
    checker.check_log_decay("log_decay", p.decay, p.log_decay, s);
    checker.check_state("initial_state", p.initial_state, s);
    checker.check("o", as_const(p.o), {s.batch, s.tokens, s.heads, s.values});
    checker.check_state("final_state", as_const(p.final_state), s);
    return s;
}

GatedShape check_gated_backward(const GatedBackward& p, GatedDTypes dtypes) {
    const Checker checker(dtypes);
    const GatedShape s = check_inputs(checker, p.q, p.k, p.v);
    checker.check_log_decay("log_decay", p.decay, p.log_decay, s);
    checker.check_state("initial_state", p.initial_state, s);
    checker.check("grad_o", p.grad_o, {s.batch, s.tokens, s.heads, s.values});
    checker.check_state("grad_final_state", p.grad_final_state, s);
    checker.check("grad_q", as_const(p.grad_q), {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("grad_k", as_const(p.grad_k), {s.batch, s.tokens, s.qk_heads, s.keys});
    checker.check("grad_v", as_const(p.grad_v), {s.batch, s.tokens, s.heads, s.values});
    checker.check_log_decay("grad_log_decay", p.decay, as_const(p.grad_log_decay), s);
    checker.check_state("grad_initial_state", as_const(p.grad_initial_state), s);
    return s;
}

void throw_bad_log_decay(int64_t b, int64_t t, int64_t h) {
    throw InvalidArgument(join_text("log_decay is positive or NaN at sequence ", b, ", token ", t,
                                    ", head ", h, "; expected every value <= 0"));
}

}  // namespace fla
