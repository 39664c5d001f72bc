"""Operators of libfla_torch.so on CUDA tensors, against the same operators in float64 on the CPU.

Usage: test_cuda_ops.py <path of libfla_torch.so> [unittest arguments]

Ends with 77 (skipped) where LibTorch finds no GPU.
"""

import sys
import unittest

import torch

DEVICE = torch.device("cuda", 0)
SKIPPED = 77

# Limits of RMS(found - wanted) / RMS(wanted): results, gradients of q, k, v and states, gradients of gates.
LIMITS = {
    torch.float32: (1e-5, 1e-5, 1e-4),
    torch.bfloat16: (0.005, 0.008, 0.02),
    torch.float16: (0.005, 0.008, 0.02),
}
WIDE = {"initial_state", "A_log", "D", "dt_bias"}  # float32 beside any dtype
GATES = {"g", "dt", "A_log", "dt_bias", "D"}


def normal(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def log_gate(*sizes):
    return torch.nn.functional.logsigmoid(normal(*sizes)) / 4


def qkv(b, t, hq, h, k, v):
    return {"q": normal(b, t, hq, k), "k": normal(b, t, hq, k), "v": normal(b, t, h, v)}


def scan_case(name, b=2, t=300, hq=2, h=4, k=64, v=64, state=True):
    """Returns the tensor arguments of one operator in float64, by name."""
    if name == "chunk_ssd":
        tensors = {"x": normal(b, t, h, v), "dt": normal(b, t, h) - 2, "A_log": torch.rand(h, dtype=torch.float64),
                   "B": normal(b, t, hq, k), "C": normal(b, t, hq, k) / k ** 0.5, "D": normal(h), "dt_bias": normal(h) / 4}
        state_sizes = (b, h, v, k)
    else:
        tensors = qkv(b, t, hq, h, k, v)
        state_sizes = (b, h, k, v)
    if name == "chunk_simple_gla":
        tensors["g"] = log_gate(b, t, h)
    if name == "chunk_gla":
        tensors["g"] = log_gate(b, t, h, k)
    if state:
        tensors["initial_state"] = normal(*state_sizes)
    return tensors


COMPOSITES = {"chunk_linear_attn", "chunk_ssd"}

# Operator, its keyword arguments beside the tensors.
CASES = [
    ("chunk_linear_attn_base", {}),
    ("chunk_linear_attn_base", {"scale": 0.7, "reverse": True}),
    ("chunk_simple_gla", {}),
    ("chunk_simple_gla", {"scale": 0.7, "reverse": True}),
    ("chunk_gla", {}),
    ("chunk_gla", {"scale": 0.7, "reverse": True}),
    ("chunk_linear_attn", {"feature_map": "elu1"}),
    ("chunk_linear_attn", {"feature_map": "elu1", "normalize": True}),
    ("chunk_ssd", {"dt_max": 2.0}),
    ("chunk_ssd", {"reverse": True}),
]


def rounded(tensors, dtype):
    """What a model in `dtype` holds: states and SSD's vectors in float32, the rest in `dtype`; as float64."""
    return {n: x.to(torch.float32 if n in WIDE else dtype).double() for n, x in tensors.items()}


def run(name, tensors, options, grads=None):
    """Returns results and gradients by name; `grads` are those of the results."""
    leaves = {n: x.detach().requires_grad_() for n, x in tensors.items()}
    results = getattr(torch.ops.fla, name)(**leaves, **options)
    found = {f"result {i}": r.detach() for i, r in enumerate(results) if r.numel() > 0}
    outs = [r for r in results if r.numel() > 0]
    if grads is None:
        grads = [torch.randn_like(r) for r in outs]
    grads = [g.to(device=r.device, dtype=r.dtype) for g, r in zip(grads, outs)]
    for n, grad in zip(leaves, torch.autograd.grad(outs, list(leaves.values()), grads)):
        found[n] = grad
    return found, grads


def on_gpu(tensors, dtype, wide=(), device=None):
    return {n: x.to(device=device or DEVICE, dtype=torch.float32 if n in wide else dtype) for n, x in tensors.items()}


def rms(x):
    return x.pow(2).mean().sqrt().item()


class CudaTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(5)

    def assert_same_bits(self, found, wanted):
        self.assertEqual(found.keys(), wanted.keys())
        for n in found:
            self.assertTrue(torch.equal(found[n], wanted[n]), n)

    def assert_near(self, found, wanted, limit, message=None):
        self.assertTrue(torch.isfinite(found).all(), message)
        found, wanted = found.detach().double().cpu(), wanted.detach().double().cpu()
        self.assertLessEqual(rms(found - wanted) / rms(wanted), limit, message)

    def compare(self, name, options, dtype, **sizes):
        with self.subTest(name=name, dtype=dtype, **options, **sizes):
            exact = rounded(scan_case(name, **sizes), dtype)
            found, grads = run(name, on_gpu(exact, dtype, WIDE), options)
            wanted, _ = run(name, exact, options, [g.double().cpu() for g in grads])
            result, gradient, gate = LIMITS[dtype]
            for n, x in found.items():
                limit = result if n.startswith("result") else gate if n in GATES else gradient
                self.assertEqual(x.device, DEVICE)
                self.assertTrue(x.is_contiguous() or name in COMPOSITES, n)
                self.assert_near(x, wanted[n], limit, f"{name} {dtype} {options}: {n}")

    def test_equals_float64_of_the_cpu(self):
        for name, options in CASES:
            for dtype in LIMITS:
                self.compare(name, options, dtype)

    def test_lengths_and_widths(self):
        for t in (1, 2, 63, 64, 65, 1000):
            self.compare("chunk_gla", {}, torch.bfloat16, b=1, t=t)
        for k, v in ((16, 16), (64, 128), (128, 64), (128, 128), (256, 256), (20, 12)):
            self.compare("chunk_gla", {}, torch.bfloat16, b=1, h=2, t=130, k=k, v=v)
            self.compare("chunk_simple_gla", {}, torch.bfloat16, b=1, h=2, t=130, k=k, v=v, state=False)

    def test_dtypes_of_gates_and_states(self):
        x = scan_case("chunk_gla", b=1)
        for gate in (torch.float32, torch.bfloat16, torch.float16):
            y = {n: t.to(DEVICE, torch.bfloat16) for n, t in x.items()}
            y["g"], y["initial_state"] = y["g"].to(gate), y["initial_state"].to(gate)
            found, _ = run("chunk_gla", y, {})
            self.assertEqual(found["g"].dtype, gate)
            self.assertEqual(found["initial_state"].dtype, gate)
            self.assertEqual(found["result 0"].dtype, torch.bfloat16)
            self.assertEqual(found["result 1"].dtype, torch.float32)
            self.assertEqual(found["q"].dtype, torch.bfloat16)

    def test_states_join_pieces(self):
        x = on_gpu(scan_case("chunk_gla", b=1), torch.bfloat16, {"initial_state", "g"})
        o, state = torch.ops.fla.chunk_gla(**x)
        cut = 137
        first = {n: t if n == "initial_state" else t[:, :cut] for n, t in x.items()}
        o1, middle = torch.ops.fla.chunk_gla(**first)
        second = {n: middle if n == "initial_state" else t[:, cut:] for n, t in x.items()}
        o2, last = torch.ops.fla.chunk_gla(**second)
        self.assert_near(torch.cat([o1, o2], 1), o, LIMITS[torch.bfloat16][0])
        self.assert_near(last, state, LIMITS[torch.bfloat16][0])

    def test_reads_strided_tensors_in_place(self):
        for dtype in (torch.bfloat16, torch.float32):
            x = on_gpu(scan_case("chunk_gla", hq=4), dtype)
            plain, grads = run("chunk_gla", x, {})
            fused = torch.stack([x["q"], x["k"], x["v"]], 2)
            strided = dict(x, g=x["g"].transpose(1, 2).contiguous().transpose(1, 2))
            strided["q"], strided["k"], strided["v"] = fused.unbind(2)
            self.assertFalse(strided["q"].is_contiguous() or strided["g"].is_contiguous())
            found, _ = run("chunk_gla", strided, {}, grads)
            self.assert_same_bits(found, plain)

    def test_expanded_tensors(self):
        x = on_gpu(scan_case("chunk_simple_gla", state=False), torch.bfloat16)
        x["g"] = torch.full((4,), -0.01, device=DEVICE).expand(2, 300, 4)
        expanded, grads = run("chunk_simple_gla", x, {})
        dense, _ = run("chunk_simple_gla", dict(x, g=x["g"].contiguous()), {}, grads)
        self.assert_same_bits(expanded, dense)
        # Behind a sum, autograd hands over a gradient of o with strides of 0.
        v = x["v"].clone().requires_grad_()
        torch.ops.fla.chunk_simple_gla(x["q"], x["k"], v, x["g"])[0].sum().backward()
        ones = torch.ones_like(v)
        o = torch.ops.fla.chunk_simple_gla(x["q"], x["k"], (w := x["v"].clone().requires_grad_()), x["g"])[0]
        self.assertTrue(torch.equal(v.grad, torch.autograd.grad(o, w, ones)[0]))

    def test_nothing_to_scan(self):
        x = on_gpu(scan_case("chunk_gla", t=0), torch.bfloat16, {"initial_state"})
        found, grads = run("chunk_gla", x, {})
        self.assertTrue(torch.equal(found["result 1"], x["initial_state"]))
        self.assertTrue(torch.equal(found["initial_state"], grads[-1]))

    def test_same_bits_each_time(self):
        for name, options in CASES:
            x = on_gpu(scan_case(name), torch.bfloat16, WIDE)
            first, grads = run(name, x, options)
            for _ in range(5):
                with self.subTest(name=name):
                    self.assert_same_bits(run(name, x, options, grads)[0], first)

    def test_other_streams(self):
        x = on_gpu(scan_case("chunk_gla"), torch.bfloat16)
        wanted, grads = run("chunk_gla", x, {})
        torch.cuda.synchronize()
        stream = torch.cuda.Stream()
        found = []
        with torch.cuda.stream(stream):
            for _ in range(10):
                # The inputs come late: a kernel on another stream would read the zeros.
                late = {n: torch.zeros_like(t) for n, t in x.items()}
                torch.cuda._sleep(2_000_000)
                for n in late:
                    late[n].copy_(x[n])
                found.append(run("chunk_gla", late, {}, grads)[0])
        torch.cuda.synchronize()
        for each in found:
            self.assert_same_bits(each, wanted)

    def test_never_synchronizes(self):
        inputs = [on_gpu(scan_case(name), torch.bfloat16) for name, _ in CASES]
        torch.cuda.set_sync_debug_mode("error")
        try:
            for (name, options), x in zip(CASES, inputs):
                run(name, x, options)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_cuda_graph_of_forward_and_backward(self):
        for name, options in CASES:
            with self.subTest(name=name, **options):
                x = on_gpu(scan_case(name), torch.bfloat16, WIDE)
                _, grads = run(name, x, options)
                side = torch.cuda.Stream()
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    run(name, x, options, grads)
                torch.cuda.current_stream().wait_stream(side)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    found, _ = run(name, x, options, grads)
                for t in found.values():
                    t.fill_(float("nan"))
                for n, t in on_gpu(scan_case(name), torch.bfloat16, WIDE).items():
                    x[n].copy_(t)
                for _ in range(3):
                    graph.replay()
                    self.assert_same_bits(found, run(name, x, options, grads)[0])

    def test_compile(self):
        for name in ("chunk_gla", "chunk_ssd", "chunk_linear_attn"):
            with self.subTest(name=name):
                torch._dynamo.reset()
                x = on_gpu(scan_case(name), torch.bfloat16, WIDE)
                op = getattr(torch.ops.fla, name)

                def step(x, op=op):
                    return [r * 2 for r in op(**x) if r.numel() > 0]

                leaves = {n: t.requires_grad_() for n, t in x.items()}
                compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
                for a, b in zip(compiled(leaves), step(leaves)):
                    self.assert_near(a, b, 1e-3)
                found = torch.autograd.grad(compiled(leaves)[0].float().pow(2).sum(), list(leaves.values()))
                wanted = torch.autograd.grad(step(leaves)[0].float().pow(2).sum(), list(leaves.values()))
                for a, b in zip(found, wanted):
                    self.assert_near(a, b, 1e-3)

    def test_opcheck(self):
        for name, options in CASES:
            if name == "chunk_linear_attn_base" or name.endswith("gla"):
                with self.subTest(name=name, **options):
                    x = on_gpu(scan_case(name, t=20, k=8, v=8), torch.float32)
                    x = {n: t.requires_grad_() for n, t in x.items()}
                    torch.library.opcheck(getattr(torch.ops.fla, name).default, (), {**x, **options})

    @unittest.skipIf(torch.cuda.device_count() < 2, "needs two GPUs")
    def test_runs_where_the_tensors_are(self):
        x = scan_case("chunk_gla")
        wanted, grads = run("chunk_gla", on_gpu(x, torch.bfloat16), {})
        self.assertEqual(torch.cuda.current_device(), 0)
        found, _ = run("chunk_gla", on_gpu(x, torch.bfloat16, device="cuda:1"), {}, grads)
        self.assertEqual(torch.cuda.current_device(), 0)
        for n in found:
            self.assertEqual(found[n].device, torch.device("cuda", 1))
        self.assert_same_bits({n: t.cpu() for n, t in found.items()}, {n: t.cpu() for n, t in wanted.items()})

    def test_errors(self):
        x = on_gpu(scan_case("chunk_gla", t=16), torch.bfloat16)
        gla = torch.ops.fla.chunk_gla
        cases = [
            ({n: t.double() for n, t in x.items()}, "q is Double, expected Float, BFloat16 or Half on CUDA"),
            (dict(x, k=x["k"].cpu()), "k is on cpu, expected cuda:0"),
            (dict(x, g=x["g"].cpu()), "g is on cpu, expected cuda:0"),
            (dict(x, initial_state=x["initial_state"].cpu()), "initial_state is on cpu, expected cuda:0"),
            (dict(x, q=x["q"].transpose(2, 3).contiguous().transpose(2, 3)), "q has innermost stride 2, expected 1"),
            (dict(x, g=x["g"][..., :1].expand(-1, -1, -1, 64)), "g has innermost stride 0, expected 1"),
        ]
        for tensors, message in cases:
            with self.subTest(message=message):
                with self.assertRaisesRegex(RuntimeError, "fla::chunk_gla: " + message):
                    gla(**tensors)
        with self.assertRaisesRegex(RuntimeError, "fla::chunk_gla: K is 300"):
            wide = on_gpu(scan_case("chunk_gla", t=16, k=300), torch.bfloat16)
            gla(**wide)
        with self.assertRaisesRegex(RuntimeError, "fla::chunk_delta_rule: no CUDA kernel in this build"):
            torch.ops.fla.chunk_delta_rule(x["v"], x["v"], x["v"], torch.rand(2, 16, 4, device=DEVICE))
        torch.cuda.synchronize()
        self.assertTrue(torch.isfinite(gla(**x)[0]).all())  # an error leaves the device usable

    def test_gives_its_workspace_back(self):
        x = on_gpu(scan_case("chunk_gla", t=4096), torch.bfloat16)
        grads = run("chunk_gla", x, {})[1]
        before = torch.cuda.memory_allocated()
        for _ in range(3):
            run("chunk_gla", x, {}, grads)
        self.assertEqual(torch.cuda.memory_allocated(), before)


def main():
    torch.ops.load_library(sys.argv.pop(1))
    if not torch.cuda.is_available():
        print("SKIPPED: LibTorch finds no GPU")
        sys.exit(SKIPPED)
    torch.backends.cuda.matmul.allow_tf32 = False
    unittest.main()


if __name__ == "__main__":
    main()
