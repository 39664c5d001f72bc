"""Training and prediction on a GPU against the CPU: same losses and predictions in fp32 within a tolerance, kills and
resumes bit for bit, a run that changes its device, and the narrow precisions. Ends with 77 where there is no GPU.

Usage: gpu_train_test.py FLAGEN
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest

import tiny_dataset
from kill_test import run_digests
from program import ENVIRONMENT, FLAGEN, TinyCase, flagen, losses

ENVIRONMENT.update({"OMP_NUM_THREADS": "2", "SOURCE_DATE_EPOCH": "1700000000"})
DEVICES = ("cpu", "cuda")

# fp32 on both, but other orders of summation: a mean loss may differ by this share over the first five steps, and by
# that one over later ones, which carry differences on. Between two instruction sets of a CPU they are 1e-7 and 3e-3.
FIRST_LOSS, LAST_LOSS = 1e-4, 2e-2
PREDICTION = 1e-3  # of one checkpoint on both devices; log2 TPM of 0 to 11


def without_gpu():
    """Why this machine or build cannot run the test, or nothing."""
    for line in flagen("--version").stdout.splitlines():
        if line.strip().startswith("cuda: not available"):
            return line.strip()
    with tempfile.TemporaryDirectory() as folder:
        # A LibTorch that sees a GPU, but a build without kernels: auto says so.
        told = flagen("train", tiny_dataset.write(folder), "--out", os.path.join(folder, "run"), "--dry-run").stderr
        return "" if "device cuda:0" in told else next(line for line in told.splitlines() if "device cpu" in line)


def scores(path):
    with open(path) as file:
        return {(row["predictor"], row["split"], key): value for row in json.load(file)["results"]
                for key, value in row.items() if isinstance(value, float)}


class Gpu(TinyCase):
    def without_dropout(self):
        """Another configuration: dropout draws from the device's own generator."""
        with open(self.config) as file:
            config = json.load(file)
        config["model"]["trunk"][2]["dropout"] = 0.0
        config["model"]["heads"]["genes"] = {"hidden": 16, "token_dropout": 0.0, "dropout": 0.0, "hidden_dropout": 0.0,
                                             "codons": {"width": 8, "dropout": 0.0},
                                             "promoter": {"width": 8, "dropout": 0.0}}
        with open(self.path("plain.json"), "w") as file:
            json.dump(config, file)
        return self.path("plain.json")

    def test_fp32_agrees_with_the_cpu(self):
        config = self.without_dropout()
        found = {}
        for device in DEVICES:
            flagen("train", config, "--out", self.path(device), "--device", device)
            found[device] = losses(self.path(device))
        print("losses of the CPU ", found["cpu"])
        print("losses of the GPU ", found["cuda"])
        for i, (cpu, gpu) in enumerate(zip(found["cpu"], found["cuda"])):
            self.assertLess(abs(cpu - gpu) / cpu, FIRST_LOSS if i == 0 else LAST_LOSS)
        with open(self.path("cuda/run.json")) as file:
            self.assertTrue(json.load(file)["device"].startswith("cuda:0 ("))
        # One checkpoint on both.
        for device in DEVICES:
            flagen("eval", self.path("cuda"), "--out", self.path(device + ".json"), "--device", device)
            flagen("predict", self.path("cuda"), "--out", self.path(device + ".h5"), "--device", device)
        expected = scores(self.path("cpu.json"))
        for key, value in scores(self.path("cuda.json")).items():
            self.assertLess(abs(value - expected[key]), PREDICTION, key)
        try:
            import h5py
        except ImportError:
            print("h5py is missing: predictions are compared by their scores alone")
            return
        with h5py.File(self.path("cpu.h5")) as cpu, h5py.File(self.path("cuda.h5")) as gpu:
            worst = abs(cpu["genes/pred"][:] - gpu["genes/pred"][:]).max()
        print("largest difference of a prediction", worst)
        self.assertLess(worst, PREDICTION)

    def test_kills_leave_the_same_bytes(self):
        rng = random.Random(5)
        for precision in ("fp32", "bf16", "fp16"):
            options = ["train", self.config, "--device", "cuda", "--precision", precision]
            whole, killed = self.path(precision), self.path(precision + "_killed")
            start = time.monotonic()
            flagen(*options, "--out", whole)
            seconds = time.monotonic() - start
            self.assertLess(losses(whole)[-1], 0.8 * losses(whole)[0])
            expected = run_digests(whole)
            for _ in range(3):
                process = subprocess.Popen([FLAGEN, *options, "--out", killed, "--resume", "auto"], env=ENVIRONMENT,
                                           stderr=subprocess.DEVNULL)
                time.sleep(rng.uniform(0.3, 1.0) * seconds)
                process.kill()
                process.wait()
            flagen(*options, "--out", killed, "--resume", "auto")
            self.assertEqual(run_digests(killed), expected, precision)

    def test_a_run_changes_its_device(self):
        for first, second in (DEVICES, DEVICES[::-1]):
            run = self.path(first)
            process = subprocess.Popen([FLAGEN, "train", self.config, "--out", run, "--device", first], env=ENVIRONMENT,
                                       stderr=subprocess.DEVNULL)
            while not os.path.exists(os.path.join(run, "checkpoints/latest")) and process.poll() is None:
                time.sleep(0.005)
            process.kill()
            process.wait()
            told = flagen("train", self.config, "--out", run, "--resume", "auto", "--device", second).stderr
            if process.returncode != 0:
                self.assertIn("resumed at step", told)
            self.assertLess(losses(run)[-1], 0.8 * losses(run)[0])

    def test_tracks_agree_with_the_cpu(self):
        try:
            import pyBigWig  # noqa: F401
            import h5py
        except ImportError as error:
            self.skipTest(str(error))
        config = tiny_dataset.write_tracks(self.folder, self.without_dropout())
        run = self.path("tracks")
        flagen("train", config, "--out", run, "--device", "cuda")
        for device in DEVICES:
            flagen("predict", run, "--out", self.path(device + ".h5"), "--device", device, "--chrom", "all", "--rc",
                   "--untransform", "none")
        with h5py.File(self.path("cpu.h5")) as cpu, h5py.File(self.path("cuda.h5")) as gpu:
            name = next(key for key in cpu if cpu[key].ndim == 3)
            worst = abs(cpu[name][:].astype(float) - gpu[name][:].astype(float)).max()
        self.assertLess(worst, 1e-2)

    def test_mixers_without_a_kernel(self):
        options = ["--set", "model.trunk[2].kind=deltanet"]
        told = flagen("train", self.config, "--out", self.path("run"), "--dry-run", *options).stderr
        if "device cuda:0" in told:
            self.skipTest("this build has CUDA kernels for the delta rule")
        self.assertIn("mixer that cannot run there, deltanet", told)
        refused = flagen("train", self.config, "--out", self.path("run"), "--device", "cuda", *options, expect=1).stderr
        self.assertIn("deltanet", refused)
        self.assertFalse(os.path.exists(self.path("run")))


if __name__ == "__main__":
    reason = without_gpu()
    if reason:
        print("SKIPPED:", reason)
        sys.exit(77)
    unittest.main()
