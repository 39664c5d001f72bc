"""Kills training and prediction with SIGKILL at random times; what is left at the end equals an uninterrupted run's.

Usage: kill_test.py FLAGEN [--kills N]
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import tiny_dataset

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"}
# What a run's result is: log.txt and run.json tell of the attempts, so they differ.
RESULT_FILES = ("config.json", "metrics.jsonl", "genes_dropped.tsv")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def run_digests(run):
    digests = {name: digest(os.path.join(run, name)) for name in RESULT_FILES}
    checkpoints = os.path.join(run, "checkpoints")
    for folder, _, names in os.walk(checkpoints):
        for name in names:
            relative = os.path.relpath(os.path.join(folder, name), run)
            if os.path.basename(relative) != "owner" and "/.t" not in relative:
                digests[relative] = digest(os.path.join(folder, name))
    return digests


def assert_equal(found, expected, what):
    if found != expected:
        different = sorted(k for k in set(found) | set(expected) if found.get(k) != expected.get(k))
        sys.exit(f"FAILED: {what} differs from the uninterrupted run in: {', '.join(different)}")


class Killer:
    def __init__(self, flagen, kills, seed):
        self.flagen = flagen
        self.rng = random.Random(seed)
        self.kills = kills

    def command(self, *arguments):
        return [self.flagen, *arguments]

    def timed(self, *arguments):
        start = time.monotonic()
        subprocess.run(self.command(*arguments), check=True, env={**os.environ, **EPOCH}, stderr=subprocess.DEVNULL)
        return time.monotonic() - start

    def kill_at_random(self, longest, *arguments):
        """Runs the command and kills it after a random time; True if it was done before that."""
        process = subprocess.Popen(self.command(*arguments), env={**os.environ, **EPOCH}, stderr=subprocess.DEVNULL)
        try:
            code = process.wait(self.rng.uniform(0.05, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False
        if code != 0:
            sys.exit(f"FAILED: {arguments} ended with {code}")
        return True


def kill_training(killer, config, whole, what):
    """Trains into the folder `whole`, and again under kills into another one."""
    killed = whole + "_killed"
    seconds = killer.timed("train", config, "--out", whole)
    expected = run_digests(whole)
    num_killed = 0
    while num_killed < killer.kills:
        # Start over when a run got through: every kill hits a run that is under way.
        if killer.kill_at_random(seconds, "train", config, "--out", killed, "--resume", "auto"):
            assert_equal(run_digests(killed), expected, what)
            subprocess.run(["rm", "-rf", killed], check=True)
        else:
            num_killed += 1
    killer.timed("train", config, "--out", killed, "--resume", "auto")
    assert_equal(run_digests(killed), expected, what)
    print(f"ok: {what} equals the uninterrupted run after {num_killed} kills ({seconds:.1f} s a run)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("flagen")
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    killer = Killer(os.path.abspath(options.flagen), options.kills, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        config = tiny_dataset.write(folder)
        whole = os.path.join(folder, "whole")
        kill_training(killer, config, whole, "training")
        species = tiny_dataset.write_second_species(folder, tiny_dataset.write_tracks(folder, config))
        kill_training(killer, species, os.path.join(folder, "species"), "training of two species")

        # One folder as input, so that both files hold the same path of the model.
        reference, output = os.path.join(folder, "a", "predict.h5"), os.path.join(folder, "b", "predict.h5")
        os.makedirs(os.path.dirname(reference))
        os.makedirs(os.path.dirname(output))
        os.chdir(os.path.dirname(reference))
        seconds = killer.timed("predict", whole, "--out", "predict.h5")
        os.chdir(os.path.dirname(output))
        num_killed = 0
        while num_killed < options.kills:
            if killer.kill_at_random(seconds, "predict", whole, "--out", "predict.h5"):
                assert_equal({"predict.h5": digest(output)}, {"predict.h5": digest(reference)}, "prediction")
                os.remove(output)
            else:
                num_killed += 1
                if os.path.exists(output):
                    # Published just before the kill: then it is whole.
                    assert_equal({"predict.h5": digest(output)}, {"predict.h5": digest(reference)}, "prediction")
                    os.remove(output)
        killer.timed("predict", whole, "--out", "predict.h5")
        assert_equal({"predict.h5": digest(output)}, {"predict.h5": digest(reference)}, "prediction")
        print(f"ok: predictions equal the uninterrupted run's after {num_killed} kills ({seconds:.1f} s a run)")


if __name__ == "__main__":
    main()
