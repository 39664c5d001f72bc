"""`flagen data` as its users run it: files, values, outside readers, stops and kills, exit codes.

Usage: data_test.py FLAGEN
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

from program import FLAGEN, flagen

try:
    import pyBigWig
except ImportError:
    pyBigWig = None

CONTIGS = [("chrA", 60_000), ("chrB", 25_000), ("chrShort", 900)]
LENGTH, CROP, BIN = 4096, 1024, 32
OUTPUT = LENGTH - 2 * CROP


def bed_rows(folder, name="sequences.bed"):
    with open(os.path.join(folder, name)) as file:
        return [line.split() for line in file]


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def write_inputs(folder, num_tracks=6, seed=5):
    """A FASTA, bigWigs (pairs of strands, the last one without chrB) and their table; returns the values."""
    rng = np.random.default_rng(seed)
    with open(os.path.join(folder, "genome.fa"), "w") as out:
        for name, length in CONTIGS:
            bases = "".join(rng.choice(list("ACGT"), length))
            out.write(f">{name}\n")
            out.writelines(bases[i:i + 60] + "\n" for i in range(0, length, 60))
    tracks = []
    rows = ["\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription"]
    for t in range(num_tracks):
        path = os.path.join(folder, f"t{t}.bw")
        bw = pyBigWig.open(path, "w")
        contigs = CONTIGS[:1] if t == num_tracks - 1 else CONTIGS[:2]
        bw.addHeader(contigs)
        values = {}
        for name, length in contigs:
            edges = np.unique(rng.integers(0, length, length // 15))
            heights = rng.integers(0, 40, len(edges) - 1).astype("f8")
            keep = rng.random(len(heights)) < 0.6
            bw.addEntries([name] * int(keep.sum()), edges[:-1][keep].tolist(), ends=edges[1:][keep].tolist(),
                          values=heights[keep].tolist())
            track = np.zeros(length)
            for start, end, height in zip(edges[:-1][keep], edges[1:][keep], heights[keep]):
                track[start:end] = height
            values[name] = track
        bw.close()
        tracks.append(values)
        pair = t if t >= num_tracks - 2 else t ^ 1
        strand = "" if pair == t else "+-"[t % 2]
        rows.append(f"{t}\tt{t}{strand}\tt{t}.bw\t768\t384\t0.3\tsum_sqrt\t{pair}\tRNA:made up {t}")
    with open(os.path.join(folder, "targets.txt"), "w") as out:
        out.write("\n".join(rows) + "\n")
    return tracks


def expected_targets(tracks, contig, start, scale=np.float64(np.float32(0.3))):
    columns = []
    for values in tracks:
        pooled = np.zeros(OUTPUT // BIN)
        if contig in values:
            pooled = values[contig][start:start + OUTPUT].reshape(-1, BIN).sum(1)
        u = -1 + np.sqrt(1 + scale * pooled)
        u = np.where(u > 384, 383 + np.sqrt(np.maximum(u - 384, 0) + 1), u)
        columns.append(np.clip(u, -768, 768))
    return np.stack(columns, 1)


@unittest.skipIf(pyBigWig is None, "pyBigWig is not installed in the .venv")
class DataCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        cls.tracks = write_inputs(cls.folder)
        cls.base = ["data", "-f", cls.path("genome.fa"), "-t", cls.path("targets.txt"), "-l", LENGTH, "-c", CROP,
                    "-w", BIN, "--transform", "new", "--valid-chr", "chrB"]
        cls.whole = cls.path("whole")
        cls.told = flagen(*cls.base, "--stride", 700, "-o", cls.whole)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    def test_folder_is_complete(self):
        self.assertEqual(sorted(os.listdir(self.whole)), ["contigs.bed", "manifest.json", "sequences.bed",
                                                          "statistics.json", "targets.txt", "tracks.h5"])
        self.assertIn("contig chrB is not in the files of 1 tracks", self.told.stderr)
        self.assertNotIn("chrShort", self.told.stderr)
        self.assertIn("no window fits into 1 stretches, 900 bp", self.told.stdout)

    def test_values_are_those_of_the_formula(self):
        rows = bed_rows(self.whole)
        starts = [int(r[1]) for r in rows if r[0] == "chrA"]
        self.assertEqual(starts, list(range(0, 60_000 - OUTPUT, 700)) + [60_000 - OUTPUT])
        self.assertEqual({r[3] for r in rows if r[0] == "chrA"}, {"train"})
        self.assertEqual({r[3] for r in rows if r[0] == "chrB"}, {"valid"})
        with h5py.File(os.path.join(self.whole, "tracks.h5")) as file:
            targets = file["targets"][:]
        self.assertEqual(targets.shape, (len(rows), OUTPUT // BIN, 6))
        for row, values in zip(rows, targets):
            np.testing.assert_allclose(values, expected_targets(self.tracks, row[0], int(row[1])), rtol=2e-6, atol=2e-6)
        self.assertGreater((targets > 0).mean(), 0.5)

    def test_statistics_are_borzois(self):
        with open(os.path.join(self.whole, "statistics.json")) as file:
            s = json.load(file)
        rows = bed_rows(self.whole)
        self.assertEqual(s, {"num_targets": 6, "seq_length": LENGTH, "seq_1hot": True, "pool_width": BIN,
                             "crop_bp": CROP, "target_length": OUTPUT // BIN,
                             "train_seqs": sum(r[3] == "train" for r in rows),
                             "valid_seqs": sum(r[3] == "valid" for r in rows)})
        contigs = bed_rows(self.whole, "contigs.bed")
        self.assertIn(["chrB", "0", "25000", "valid"], contigs)

    def test_targets_are_found_from_any_folder(self):
        with open(os.path.join(self.whole, "targets.txt")) as file:
            lines = [line.rstrip("\n").split("\t") for line in file]
        self.assertEqual(lines[0][0], "")
        self.assertEqual(lines[0][-1], "group")
        for line in lines[1:]:
            self.assertTrue(os.path.isabs(line[2]) and os.path.exists(line[2]))
            self.assertEqual(line[-1], "RNA")
        again = self.path("again")
        arguments = list(self.base)
        arguments[arguments.index(self.path("targets.txt"))] = os.path.join(self.whole, "targets.txt")
        flagen(*arguments, "--stride", 700, "-o", again)
        self.assertEqual(digest(os.path.join(again, "tracks.h5")), digest(os.path.join(self.whole, "tracks.h5")))

    def test_a_finished_folder_is_left_and_a_stale_one_refused(self):
        time_before = os.stat(os.path.join(self.whole, "tracks.h5")).st_mtime_ns
        result = flagen(*self.base, "--stride", 700, "-o", self.whole)
        self.assertIn("up to date", result.stdout)
        self.assertEqual(os.stat(os.path.join(self.whole, "tracks.h5")).st_mtime_ns, time_before)
        result = flagen(*self.base, "--stride", 800, "-o", self.whole, expect=2)
        self.assertIn("digest of the windows was", result.stderr)
        result = flagen(*self.base, "--stride", 700, "--f16", "-o", self.whole, expect=2)
        self.assertIn("dtype was f32", result.stderr)

    def stopped_build(self, out):
        """Leaves an unfinished build in `out`; returns the arguments of `flagen data` without the transform."""
        folder = tempfile.mkdtemp(dir=self.folder)
        write_inputs(folder, num_tracks=40, seed=9)
        base = ["data", "-f", os.path.join(folder, "genome.fa"), "-t", os.path.join(folder, "targets.txt"), "-l", LENGTH,
                "-c", CROP, "-w", BIN, "--stride", "60", "--threads", "1", "-o", out, "--transform"]
        process = subprocess.Popen([FLAGEN, *map(str, base), "new"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        part = os.path.join(out, "tracks.h5.part")
        while not (os.path.exists(part) and os.path.getsize(part) > 10_000):
            self.assertIsNone(process.poll())
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 85)
        return base

    def test_an_unfinished_build_of_other_inputs_is_not_thrown_away(self):
        out = self.path("unfinished")
        base = self.stopped_build(out)
        before = {name: digest(os.path.join(out, name)) for name in os.listdir(out)}
        self.assertIn("tracks.h5.part", before)
        message = flagen(*base, "none", "--stride-test", "100", expect=2).stderr
        for words in ("an unfinished track cache of other inputs", "transform was new, is none", "--overwrite"):
            self.assertIn(words, message)
        self.assertEqual({name: digest(os.path.join(out, name)) for name in os.listdir(out)}, before)
        flagen(*base, "none", "--lists-only", expect=2)
        resumed = flagen(*base, "new").stdout
        self.assertIn("windows were done by an earlier build", resumed)

    def test_overwrite_discards_builds_of_other_inputs(self):
        out, whole = self.path("overwritten"), self.path("overwritten_whole")
        base = self.stopped_build(out)
        told = flagen(*base, "none", "--overwrite")
        self.assertIn("discarded", told.stderr)
        self.assertIn("transform was new, is none", told.stderr)
        self.assertNotIn("earlier build", told.stdout)
        base[base.index(out)] = whole
        flagen(*base, "none")
        self.assertEqual(digest(os.path.join(out, "tracks.h5")), digest(os.path.join(whole, "tracks.h5")))
        self.assertIn("up to date", flagen(*base, "none", "--overwrite").stdout)  # of the same inputs: left as it is
        self.assertIn("discarded", flagen(*base, "new", "--overwrite").stderr)
        with h5py.File(os.path.join(whole, "tracks.h5")) as file:
            self.assertEqual(file.attrs["transform"], b"new")

    def test_one_build_at_a_time(self):
        import fcntl

        out = self.path("locked")
        os.makedirs(out)
        descriptor = os.open(out, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.assertIn("another process is writing there", flagen(*self.base, "-o", out, expect=2).stderr)
        self.assertEqual(os.listdir(out), [])
        os.close(descriptor)
        flagen(*self.base, "-o", out, "--lists-only")

    def test_columns_without_effect_are_named(self):
        table = self.path("more_columns.txt")
        with open(self.path("targets.txt")) as source, open(table, "w") as out:
            for number, line in enumerate(source):
                out.write(line.rstrip("\n") + ("\tgenome\tclip_sfot" if number == 0 else "\t0\t1") + "\n")
        arguments = [a if a != self.path("targets.txt") else table for a in self.base]
        told = flagen(*arguments, "-o", self.path("columns"), "--dry-run").stdout
        for name in ("genome", "clip_sfot"):
            self.assertEqual(told.count("column without effect here: " + name), 1)

    def test_dry_run_and_lists_only(self):
        nothing = self.path("nothing")
        result = flagen(*self.base, "-o", nothing, "--dry-run")
        self.assertFalse(os.path.exists(nothing))
        self.assertIn("windows", result.stdout)
        lists = self.path("lists")
        flagen(*self.base, "-o", lists, "--lists-only")
        self.assertEqual(sorted(os.listdir(lists)), ["contigs.bed", "sequences.bed", "statistics.json", "targets.txt"])

    def test_folds_listed_windows_and_masks(self):
        base = self.base[:-2]
        folds = self.path("folds")
        flagen(*base, "--folds", 4, "--break", 20_000, "-o", folds, "--lists-only")
        self.assertEqual({row[3] for row in bed_rows(folds)}, {"fold0", "fold1", "fold2", "fold3"})
        result = flagen(*base, "--folds", 4, "-o", folds, "--lists-only", expect=2)
        self.assertIn("too few blocks", result.stderr)
        with open(self.path("w.bed"), "w") as out:
            out.write(f"chrA\t100\t{100 + OUTPUT}\ttest\nchrA\t9000\t{9000 + OUTPUT}\ttrain\n")
        with open(self.path("unmap.bed"), "w") as out:
            out.write(f"chrA\t9000\t{9000 + OUTPUT // 2}\nchrUn\t0\t10\n")
        with open(self.path("black.bed"), "w") as out:
            out.write("chrA\t600\t700\n")
        listed = self.path("listed")
        result = flagen(*base, "--windows", self.path("w.bed"), "-u", self.path("unmap.bed"), "-b",
                        self.path("black.bed"), "-o", listed)
        self.assertIn("dropped: 1 windows", result.stdout)
        self.assertIn("unmappable: 1 of 2 rows", result.stdout)
        self.assertNotIn(" 0 blacklisted", result.stdout)
        with open(os.path.join(listed, "sequences.bed")) as file:
            self.assertEqual(file.read(), f"chrA\t100\t{100 + OUTPUT}\ttest\n")
        with h5py.File(os.path.join(listed, "tracks.h5")) as file:
            found = file["targets"][0]
        plain = expected_targets(self.tracks, "chrA", 100)
        clipped = [{"chrA": t["chrA"].copy()} for t in self.tracks]
        for track in clipped:
            median = np.percentile(track["chrA"][100:100 + OUTPUT], 50)
            track["chrA"][580:720] = np.clip(track["chrA"][580:720], -median, median)
        np.testing.assert_allclose(found, expected_targets(clipped, "chrA", 100), rtol=2e-6, atol=2e-6)
        self.assertGreater(np.abs(found - plain).max(), 0.1)

    def test_user_faults_have_their_exit_codes(self):
        out = self.path("bad")
        flagen("data", expect=2)
        flagen(*self.base, "--folds", 3, "-o", out, expect=2)
        flagen(*self.base, "--test-chr", "chrZ", "-o", out, expect=2)
        flagen(*self.base[:-2], "--folds", 1, "-o", out, expect=2)
        flagen(*self.base, "--threads", 0, "-o", out, expect=2)
        result = flagen(*[a if a != BIN else 31 for a in self.base], "-o", out, expect=2)
        self.assertIn("whole number of bins", result.stderr)
        result = flagen(*[a if a != "new" else "newest" for a in self.base], "-o", out, expect=2)
        self.assertIn("newest", result.stderr)
        with open(self.path("bad.txt"), "w") as file:
            file.write("\tidentifier\tfile\tsum_stat\n0\tx\tno_such.bw\tsum\n")
        result = flagen(*[a if a != self.path("targets.txt") else self.path("bad.txt") for a in self.base], "-o", out,
                        expect=3)
        self.assertIn("no_such.bw", result.stderr)
        self.assertFalse(os.path.exists(out))

    def test_a_stop_is_code_85_and_kills_change_no_byte(self):
        folder = tempfile.mkdtemp(dir=self.folder)
        write_inputs(folder, num_tracks=40, seed=9)
        base = ["data", "-f", os.path.join(folder, "genome.fa"), "-t", os.path.join(folder, "targets.txt"), "-l", LENGTH,
                "-c", CROP, "-w", BIN, "--transform", "new", "--stride", "60", "--threads", "2", "-o"]
        whole = os.path.join(folder, "whole")
        start = time.monotonic()
        flagen(*base, whole)
        longest = time.monotonic() - start
        rng = random.Random(3)
        killed = os.path.join(folder, "killed")
        kills, stops, signals = 0, 0, 0
        while True:
            process = subprocess.Popen([FLAGEN, *map(str, base), killed], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            signals += 1
            number = signal.SIGTERM if signals % 4 == 0 else signal.SIGKILL
            try:
                process.wait(0 if signals > 40 else rng.uniform(0.1, 0.5) * longest)
            except subprocess.TimeoutExpired:
                if signals > 40:
                    process.wait()
                else:
                    process.send_signal(number)
                    process.wait()
            if process.returncode == 0:
                break
            self.assertIn(process.returncode, (-signal.SIGKILL, -signal.SIGTERM, 85))
            kills += process.returncode == -signal.SIGKILL
            stops += process.returncode == 85
        self.assertGreater(kills, 1)
        self.assertEqual(digest(os.path.join(killed, "tracks.h5")), digest(os.path.join(whole, "tracks.h5")))
        self.assertEqual(sorted(os.listdir(killed)), sorted(os.listdir(whole)))
        print(f"{kills} kills, {stops} orderly stops", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
