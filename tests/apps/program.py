"""The program under test, named by the first argument of a test script, and the folder of a case."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import tiny_dataset

FLAGEN = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "flagen"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def flagen(*arguments, expect=0):
    """Runs the program to its end, which must be the exit code `expect`, and returns what it wrote."""
    result = subprocess.run([FLAGEN, *map(str, arguments)], capture_output=True, text=True, env=ENVIRONMENT)
    if result.returncode != expect:
        raise AssertionError(f"{arguments}: exit {result.returncode}, expected {expect}\n{result.stdout}{result.stderr}")
    return result


def losses(run):
    with open(os.path.join(run, "metrics.jsonl")) as file:
        return [line["loss"] for line in map(json.loads, file) if "loss" in line]


class TinyCase(unittest.TestCase):
    """Each case has a folder of its own with the small data set."""

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = self.temporary.name
        self.config = tiny_dataset.write(self.folder)

    def tearDown(self):
        self.temporary.cleanup()

    def path(self, name):
        return os.path.join(self.folder, name)
