"""Operators of libfla_torch.so as Python sees them: load_library, autograd, opcheck, torch.compile.

Usage: test_python_ops.py <path of libfla_torch.so> [unittest arguments]
"""

import math
import shutil
import sys
import unittest

import torch

B, T, HQ, H, K, V = 1, 5, 1, 2, 3, 2


def leaf(*sizes, dtype=torch.float64):
    return torch.randn(*sizes, dtype=dtype, requires_grad=True)


def qkv(dtype):
    return leaf(B, T, HQ, K, dtype=dtype), leaf(B, T, HQ, K, dtype=dtype), leaf(B, T, H, V, dtype=dtype)


def log_gate(*sizes, dtype):
    return (-torch.rand(*sizes, dtype=dtype) - 0.05).requires_grad_()


def beta(dtype):
    return torch.rand(B, T, H, dtype=dtype).requires_grad_()


def state(dtype):
    return leaf(B, H, K, V, dtype=dtype)


# Tensor arguments of each scan between v and the options.
SCANS = {
    "chunk_linear_attn_base": lambda dtype: (),
    "chunk_simple_gla": lambda dtype: (log_gate(B, T, H, dtype=dtype),),
    "chunk_gla": lambda dtype: (log_gate(B, T, H, K, dtype=dtype),),
    "chunk_delta_rule": lambda dtype: (beta(dtype),),
    "chunk_gated_delta_rule": lambda dtype: (log_gate(B, T, H, dtype=dtype), beta(dtype)),
}


def scan_samples(dtype, directions=(False, True)):
    """Yields (name, operator, positional arguments) of every operator."""
    for name, extra in SCANS.items():
        op = getattr(torch.ops.fla, name)
        for reverse in directions:
            yield name, op, (*qkv(dtype), *extra(dtype), 0.7, state(dtype), reverse)
        yield name, op, (*qkv(dtype), *extra(dtype), None, None, False)


def composite_samples(dtype):
    linear = torch.ops.fla.chunk_linear_attn
    z = (torch.rand(B, H, K, dtype=dtype) + 0.5).requires_grad_()
    yield "chunk_linear_attn", linear, (*qkv(dtype), None, state(dtype), z, "elu1", True, False)
    yield "chunk_linear_attn", linear, (*qkv(dtype), None, None, None, "elu1", False, True)
    ssd = torch.ops.fla.chunk_ssd
    x, dt = leaf(B, T, H, V, dtype=dtype), leaf(B, T, H, dtype=dtype)
    a_log, d, bias = leaf(H, dtype=dtype), leaf(H, dtype=dtype), leaf(H, dtype=dtype)
    b, c = leaf(B, T, 1, K, dtype=dtype), leaf(B, T, 1, K, dtype=dtype)
    yield "chunk_ssd", ssd, (x, dt, a_log, b, c, d, bias, leaf(B, H, V, K, dtype=dtype))
    yield "chunk_ssd", ssd, (x, dt, a_log, b, c)


def oracle(q, k, v, g=None, beta=None, scale=None, initial_state=None, reverse=False):
    """The recurrence, token by token."""
    group = v.shape[2] // q.shape[2]
    q, k = q.repeat_interleave(group, 2), k.repeat_interleave(group, 2)
    scale = 1 / math.sqrt(q.shape[3]) if scale is None else scale
    s = torch.zeros(B, H, K, V, dtype=v.dtype) if initial_state is None else initial_state
    o = [None] * q.shape[1]
    for t in reversed(range(len(o))) if reverse else range(len(o)):
        if g is not None:
            decay = g[:, t].exp()
            s = s * (decay[..., None] if decay.dim() == 3 else decay[..., None, None])
        value = v[:, t]
        if beta is not None:
            value = (value - torch.einsum("bhkv,bhk->bhv", s, k[:, t])) * beta[:, t, :, None]
        s = s + k[:, t, :, :, None] * value[:, :, None, :]
        o[t] = torch.einsum("bhkv,bhk->bhv", s, q[:, t]) * scale
    return torch.stack(o, 1), s


def one_of_each(samples):
    """Keeps the first sample of every operator."""
    first = {}
    for sample in samples:
        first.setdefault(sample[0], sample)
    return first


def tensors_of(args):
    return [a for a in args if isinstance(a, torch.Tensor)]


def loss_of(results):
    return sum((r.double() * torch.arange(1, r.numel() + 1).view(r.shape)).sum() for r in results)


class OperatorTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(3)

    def test_equals_recurrence(self):
        for name, op, args in scan_samples(torch.float64):
            with self.subTest(name=name):
                q, k, v, *extra, scale, s, reverse = args
                g = extra[0] if "g" in [a.name for a in op.default._schema.arguments] else None
                b = extra[-1] if "delta" in name else None
                for got, want in zip(op(*args), oracle(q, k, v, g, b, scale, s, reverse)):
                    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)

    def test_gradcheck_of_every_input(self):
        for name, op, args in [*scan_samples(torch.float64), *composite_samples(torch.float64)]:
            with self.subTest(name=name):
                index = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor)]

                def call(*tensors, op=op, args=args, index=index):
                    full = list(args)
                    for i, tensor in zip(index, tensors):
                        full[i] = tensor
                    return tuple(r for r in op(*full) if r.numel() > 0)

                self.assertTrue(torch.autograd.gradcheck(call, tensors_of(args), eps=1e-6, atol=1e-7, rtol=1e-5))

    def test_opcheck(self):
        for name, op, args in [*scan_samples(torch.float32, [True]), *composite_samples(torch.float32)]:
            with self.subTest(name=name):
                torch.library.opcheck(op.default, args)

    def test_opcheck_of_backward(self):
        for name, op, args in scan_samples(torch.float32, [True]):
            with self.subTest(name=name):
                *inputs, scale, s, reverse = [a.detach() if isinstance(a, torch.Tensor) else a for a in args]
                grad_o = torch.randn(B, T, H, V)
                grad_state = None if s is None else torch.randn(B, H, K, V)
                backward = getattr(torch.ops.fla, name + "_backward").default
                torch.library.opcheck(backward, (*inputs, grad_o, grad_state, scale, s, reverse))

    def check_compiled(self, backend, samples, **options):
        for name, op, args in samples:
            with self.subTest(name=name, backend=backend):
                torch._dynamo.reset()

                def step(*args, op=op):
                    first, *rest = args
                    results = op(first * 2.0, *rest)
                    return (results[0].tanh(), *results[1:])

                compiled = torch.compile(step, backend=backend, fullgraph=True, **options)
                got, want = compiled(*args), step(*args)
                for a, b in zip(got, want):
                    torch.testing.assert_close(a, b)
                got = torch.autograd.grad(loss_of(got), tensors_of(args), allow_unused=True)
                want = torch.autograd.grad(loss_of(want), tensors_of(args), allow_unused=True)
                for a, b in zip(got, want):
                    torch.testing.assert_close(a, b)

    def test_compile_aot_eager(self):
        samples = [*scan_samples(torch.float32), *composite_samples(torch.float32)]
        self.check_compiled("aot_eager", one_of_each(samples).values())

    def test_compile_with_dynamic_shapes(self):
        op = torch.ops.fla.chunk_gla
        torch._dynamo.reset()
        counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
        compiled = torch.compile(lambda *a: op(*a)[0], backend=counter, fullgraph=True, dynamic=True)
        for tokens in (6, 7, 33):
            args = [torch.randn(2, tokens, 2, 4) for _ in range(3)] + [-torch.rand(2, tokens, 2, 4)]
            torch.testing.assert_close(compiled(*args), op(*args)[0])
        self.assertEqual(counter.frame_count, 1)

    @unittest.skipIf(shutil.which("g++") is None and shutil.which("clang++") is None, "inductor needs a C++ compiler")
    def test_compile_inductor(self):
        # One scan and one composite: each costs a run of the C++ compiler.
        samples = one_of_each([*scan_samples(torch.float32), *composite_samples(torch.float32)])
        self.check_compiled("inductor", [samples["chunk_gated_delta_rule"], samples["chunk_linear_attn"]])

    def test_errors_name_the_tensor(self):
        q, k, v = qkv(torch.float32)
        with self.assertRaisesRegex(RuntimeError, r"fla::chunk_gla: g has sizes \[1, 5, 2, 4\], expected "
                                                  r"\[B, T, H, K\] = \[1, 5, 2, 3\]"):
            torch.ops.fla.chunk_gla(q, k, v, torch.zeros(B, T, H, K + 1))

    def test_second_derivative_is_an_error(self):
        for name, op, args in scan_samples(torch.float64):
            with self.subTest(name=name):
                (grad,) = torch.autograd.grad(op(*args)[0].pow(2).sum(), args[0], create_graph=True)
                with self.assertRaisesRegex(RuntimeError, "differentiable once"):
                    grad.sum().backward()

    def test_inference_mode_and_no_grad(self):
        for name, op, args in scan_samples(torch.float32):
            with self.subTest(name=name):
                want = op(*args)[0].detach()
                with torch.inference_mode():
                    self.assertTrue(torch.equal(op(*args)[0], want))
                with torch.no_grad():
                    self.assertFalse(op(*args)[0].requires_grad)


if __name__ == "__main__":
    torch.ops.load_library(sys.argv.pop(1))
    unittest.main()
