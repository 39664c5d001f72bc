"""--device and --precision on a machine whatever it has: choice, refusals, training in bf16 and fp16 on the CPU.

Usage: device_test.py FLAGEN
"""

import json
import os
import subprocess
import time
import unittest

import h5py
import numpy as np

from kill_test import run_digests
from program import ENVIRONMENT, FLAGEN, TinyCase, flagen, losses

ENVIRONMENT["SOURCE_DATE_EPOCH"] = "1700000000"


HAS_GPU = "cuda: available" in flagen("--version").stdout


def train_with_a_stop(config, run, *options):
    """Trains, but stops by a signal at the first checkpoint and goes on."""
    arguments = [FLAGEN, "train", config, "--out", run, *options]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while not os.path.exists(os.path.join(run, "checkpoints", "latest")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    flagen(*arguments[1:], "--resume", "auto")
    return process.returncode


class Device(TinyCase):
    def test_the_choice_is_told_and_recorded(self):
        told = flagen("train", self.config, "--out", self.path("run"), "--max-steps", 10, "--device", "cpu").stderr
        self.assertIn("device cpu, precision fp32", told)
        with open(self.path("run/run.json")) as file:
            record = json.load(file)
        self.assertEqual((record["device"], record["precision"]), ("cpu", "fp32"))
        with open(self.path("run/config.json")) as file:
            self.assertEqual(json.load(file)["train"]["precision"], "fp32")
        told = flagen("predict", self.path("run"), "--out", self.path("p.h5"), "--device", "cpu").stderr
        self.assertIn("device cpu, precision fp32", told)
        with h5py.File(self.path("p.h5")) as file:
            self.assertEqual((file.attrs["device"], file.attrs["precision"]), (b"cpu", b"fp32"))

    @unittest.skipIf(HAS_GPU, "this machine has a GPU")
    def test_without_a_gpu_auto_takes_the_cpu_and_cuda_is_refused(self):
        run = self.path("run")
        told = flagen("train", self.config, "--out", run, "--max-steps", 10).stderr
        self.assertIn("device cpu (", told)
        with open(os.path.join(run, "run.json")) as file:
            self.assertTrue(json.load(file)["device"].startswith("cpu ("))
        for device in ("cuda", "cuda:1"):
            refused = self.path("refused")
            self.assertIn("cannot use cuda",
                          flagen("train", self.config, "--out", refused, "--device", device, expect=1).stderr)
            self.assertFalse(os.path.exists(refused))
            flagen("predict", run, "--out", self.path("refused/p.h5"), "--device", device, expect=1)
            self.assertFalse(os.path.exists(refused))
            flagen("eval", run, "--out", self.path("refused/eval.json"), "--device", device, expect=1)
            self.assertFalse(os.path.exists(refused))

    def test_unknown_values_end_in_2(self):
        run = self.path("run")
        for options in (["--device", "gpu"], ["--device", "cuda:x"], ["--precision", "fp8"],
                        ["--set", "train.precision=tf32"]):
            flagen("train", self.config, "--out", run, *options, expect=2)
            self.assertFalse(os.path.exists(run), options)
        self.assertIn("fp32, bf16 or fp16",
                      flagen("train", self.config, "--out", run, "--precision", "half", expect=2).stderr)

    def test_narrow_precisions_learn_resume_and_predict(self):
        every_step = ["--device", "cpu", "--set", "train.log_every_steps=1"]
        flagen("train", self.config, "--out", self.path("fp32"), *every_step)
        for precision in ("bf16", "fp16"):
            options = [*every_step, "--precision", precision]
            run = self.path(precision)
            flagen("train", self.config, "--out", run, *options)
            found = losses(run)
            self.assertLess(sum(found[-10:]), 0.5 * sum(found[:10]))
            # The same windows, weights and dropout as in fp32 at first; differences grow with the steps.
            wide = losses(self.path("fp32"))
            self.assertLess(abs(found[0] - wide[0]), 0.02 * wide[0])
            self.assertNotEqual(found[0], wide[0])
            train_with_a_stop(self.config, run + "_killed", *options)
            self.assertEqual(run_digests(run + "_killed"), run_digests(run))
            flagen("train", self.config, "--out", run, "--resume", "auto", *every_step, expect=3)

            # Predicted in the precision of training, unless another is asked for.
            values = {}
            for name, more in (("own", []), ("wide", ["--precision", "fp32"])):
                told = flagen("predict", run, "--out", self.path(name + ".h5"), "--device", "cpu", *more).stderr
                self.assertIn("precision " + (precision if name == "own" else "fp32"), told)
                with h5py.File(self.path(name + ".h5")) as file:
                    values[name] = file["genes/pred"][:]
            self.assertEqual(values["own"].dtype, np.float32)
            np.testing.assert_allclose(values["own"], values["wide"], rtol=0.02, atol=0.1)
            self.assertGreater(np.abs(values["own"] - values["wide"]).max(), 0)
            flagen("eval", run, "--out", self.path("eval.json"), "--device", "cpu", "--no-baselines")
            with open(self.path("eval.json")) as file:
                self.assertEqual(json.load(file)["precision"], precision)

    def test_only_fp16_scales_its_loss(self):
        for precision, scaled in (("bf16", False), ("fp16", True)):
            run = self.path(precision)
            flagen("train", self.config, "--out", run, "--max-steps", 10, "--precision", precision, "--device", "cpu")
            with open(os.path.join(run, "checkpoints/step-00000010/run_state.json")) as file:
                self.assertEqual("loss_scale" in json.load(file), scaled)
            with open(os.path.join(run, "metrics.jsonl")) as file:
                self.assertEqual("loss_scale" in json.loads(next(file)), scaled)


if __name__ == "__main__":
    unittest.main()
