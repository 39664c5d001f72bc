"""Measured tracks from bigWig to predictions and scores, with pyBigWig, h5py, numpy and scipy on the other side.

Usage: tracks_test.py FLAGEN
"""

import gzip
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np
import pyBigWig
from scipy import stats

import tiny_dataset
from program import FLAGEN, flagen

BIN = 8
WINDOW = 4096


def squash(raw):
    """Transform `new` of sum_sqrt with scale 0.5 and clip_soft 6, written from its formula."""
    y = -1 + np.sqrt(1 + 0.5 * raw)
    return np.where(y > 6, 6 - 1 + np.sqrt(np.maximum(y - 6 + 1, 0)), y)


class Tracks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        cls.config = tiny_dataset.write_tracks(cls.folder, tiny_dataset.write(cls.folder))
        cls.run_folder = os.path.join(cls.folder, "run")
        flagen("train", cls.config, "--out", cls.run_folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def path(self, name):
        return os.path.join(self.folder, name)

    def measured(self, start, end):
        """[bins, tracks] sums over the bins of chr:start-end."""
        columns = []
        for name in tiny_dataset.TRACKS:
            with pyBigWig.open(self.path(name + ".bw")) as file:
                values = np.nan_to_num(np.array(file.values("chr", start, end)))
            columns.append(values.reshape(-1, BIN).sum(axis=1))
        return np.stack(columns, axis=1)

    def predict(self, name, *arguments, expect=0):
        out = self.path(name)
        flagen("predict", self.run_folder, "--out", out, *arguments, expect=expect)
        with h5py.File(out) as file:
            return {key: file[key][:] for key in file} | {"attrs": dict(file.attrs)}

    def test_training_writes_both_kinds_of_scores(self):
        with open(os.path.join(self.run_folder, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        scored = [line for line in lines if "valid_track_pearson_squashed" in line]
        self.assertEqual([line["step"] for line in scored], [10, 20, 30, 40])
        self.assertIn("valid_pearson_gene_mean", scored[0])
        self.assertGreater(scored[-1]["valid_track_pearson_raw"], 0.2)

    def test_regions_are_centred_and_padded(self):
        bed = self.path("regions.bed")
        with open(bed, "w") as out:
            out.write("chr\t9000\t9001\nchr\t100\t200\nnowhere\t0\t50\n")
        found = self.predict("regions.h5", "--bed", bed, expect=4)
        self.assertEqual(found["start"].tolist(), [9000 - WINDOW // 2, 150 - WINDOW // 2, 0])
        self.assertEqual((found["end"] - found["start"]).tolist(), [WINDOW] * 3)
        self.assertEqual(found["status"].tolist(), [0, 3, 9])
        self.assertTrue(np.isnan(found["preds"][2]).all())
        self.assertTrue(np.isfinite(found["preds"][:2]).all())
        self.assertEqual(found["attrs"]["scale"], b"raw")
        self.assertEqual(found["target_ids"].tolist(), [b"gc", b"cpg+", b"cpg-"])

    def test_untransform_is_the_inverse(self):
        raw = self.predict("raw.h5", "--locus", "chr:8001-16000")["preds"]
        squashed = self.predict("squashed.h5", "--locus", "chr:8001-16000", "--untransform", "none")["preds"]
        np.testing.assert_allclose(squash(raw.astype(np.float64)), squashed, rtol=2e-5, atol=2e-6)
        self.assertFalse(np.allclose(raw, squashed, rtol=1e-2))

    def test_sum_and_shifts_and_reverse_complement(self):
        plain = self.predict("plain.h5", "--locus", "chr:8001-16000", "--shifts", "0")["preds"]
        sums = self.predict("sums.h5", "--locus", "chr:8001-16000", "--shifts", "0", "--sum")["preds"]
        np.testing.assert_allclose(sums, plain.astype(np.float64).sum(axis=1), rtol=1e-6)
        squashed = [self.predict(f"shift{s}.h5", "--locus", "chr:8001-16000", "--shifts", s, "--untransform", "none")
                    ["preds"].astype(np.float64) for s in (0, 3)]
        both = self.predict("both.h5", "--locus", "chr:8001-16000", "--shifts", "0,3", "--untransform", "none")["preds"]
        np.testing.assert_allclose(both, (squashed[0] + squashed[1]) / 2, rtol=1e-6)

    def test_reverse_complement_of_the_genome_swaps_bins_and_strands(self):
        with open(self.path("genome.fa")) as file:
            bases = "".join(line.strip() for line in file if not line.startswith(">"))
        turned = self.path("turned.fa")
        with open(turned, "w") as out:
            out.write(">chr\n" + tiny_dataset.reverse_complement(bases) + "\n")
        length = len(bases)
        arguments = ("--rc", "--shifts", "0", "--untransform", "none")
        here = self.predict("here.h5", "--locus", f"chr:{8001}-{8000 + WINDOW}", *arguments)["preds"][0]
        there = self.predict("there.h5", "--fasta", turned, "--locus",
                             f"chr:{length - 8000 - WINDOW + 1}-{length - 8000}", *arguments)["preds"][0]
        np.testing.assert_allclose(there[::-1][:, [0, 2, 1]], here, rtol=1e-5, atol=1e-6)
        self.assertGreater(np.abs(here[:, 1] - here[:, 2]).max(), 1e-3)

    def test_eval_equals_numpy_on_predictions(self):
        out = self.path("scores")
        flagen("eval", self.run_folder, "--out", out, "--split", "test", "--shifts", "0")
        with open(os.path.join(out, "eval.json")) as file:
            results = json.load(file)
        # The test stretch [8000, 16000) by windows from its start, the last one ending with it: every bin from the
        # window whose centre is nearest.
        starts = [8000, 16000 - WINDOW]
        with open(self.path("windows.bed"), "w") as bed:
            for start in starts:
                bed.write(f"chr\t{start}\t{start + WINDOW}\n")
        found = self.predict("windows.h5", "--bed", self.path("windows.bed"), "--shifts", "0", "--untransform", "none")
        self.assertEqual(found["start"].tolist(), starts)
        border = (starts[0] + starts[1] + WINDOW) // 2 // BIN * BIN
        predicted = np.concatenate([found["preds"][0][:(border - starts[0]) // BIN],
                                    found["preds"][1][(border - starts[1]) // BIN:]]).astype(np.float64)
        measured = squash(self.measured(8000, 16000))
        self.assertEqual(predicted.shape, measured.shape)
        rows = {(r["predictor"], r["scale"]): r for r in results["tracks"]["results"]}
        squashed = rows["model", "squashed"]
        for track, entry in enumerate(squashed["per_track"]):
            x, y = predicted[:, track], measured[:, track]
            self.assertAlmostEqual(entry["pearson"], stats.pearsonr(x, y).statistic, places=5)
            self.assertAlmostEqual(entry["r2"], 1 - ((y - x) ** 2).sum() / ((y - y.mean()) ** 2).sum(), places=4)
        self.assertEqual(squashed["num_bins"], 1000)
        self.assertEqual(results["shifts"], "0")  # as prediction files spell it, and as the report reads it
        self.assertAlmostEqual(squashed["pearson"], np.mean([e["pearson"] for e in squashed["per_track"]]), places=6)
        groups = {g["group"]: g for g in squashed["groups"]}
        self.assertEqual((groups["DNA"]["num_tracks"], groups["RNA"]["num_tracks"]), (1, 2))
        raw = self.measured(8000, 16000)
        back = 2 * ((1 + np.where(predicted > 6, 6 - 1 + (predicted - 6 + 1) ** 2, predicted)) ** 2 - 1)
        for scale, forward in (("raw", lambda v: v), ("log1p", np.log1p)):
            for track, entry in enumerate(rows["model", scale]["per_track"]):
                self.assertAlmostEqual(entry["pearson"], stats.pearsonr(forward(back)[:, track],
                                                                        forward(raw)[:, track]).statistic, places=4)
        self.assertIn(("TSS profile", "log1p"), rows)
        with open(os.path.join(out, "acc_test.txt")) as file:
            header, *lines = [line.rstrip("\n").split("\t") for line in file]
        self.assertEqual(header, ["", "index", "pearsonr", "r2", "identifier", "description"])
        self.assertEqual(len(lines), 3)
        self.assertAlmostEqual(float(lines[2][2]), squashed["per_track"][2]["pearson"], places=4)

    def test_gene_coverage_equals_numpy(self):
        out = self.path("gene_scores")
        flagen("eval", self.run_folder, "--out", out, "--split", "test", "--shifts", "0", "--no-baselines")
        with open(self.path("genes.gff3")) as file:
            rows = [line.rstrip("\n").split("\t") for line in file if "\tgene\t" in line]
        genes = {r[8].split("locus_tag=")[1]: (int(r[3]) - 1, int(r[4]), r[6]) for r in rows}
        starts = [8000, 16000 - WINDOW]
        with open(self.path("gene_windows.bed"), "w") as bed:
            for start in starts:
                bed.write(f"chr\t{start}\t{start + WINDOW}\n")
        found = self.predict("gene_windows.h5", "--bed", self.path("gene_windows.bed"), "--shifts", "0")["preds"]
        with gzip.open(os.path.join(out, "genes_test", "gene_preds.tsv.gz"), "rt") as file:
            header, *lines = [line.rstrip("\n").split("\t") for line in file]
        self.assertEqual(header, ["", "gc", "cpg+"])
        predicted = {line[0]: [float(v) for v in line[1:]] for line in lines}
        with gzip.open(os.path.join(out, "genes_test", "gene_targets.tsv.gz"), "rt") as file:
            measured = {line.split("\t")[0]: [float(v) for v in line.rstrip("\n").split("\t")[1:]]
                        for line in list(file)[1:]}
        inside = {name for name, (start, end, _) in genes.items() if start >= 8000 and end <= 16000}
        self.assertEqual(set(predicted), inside)
        raw = self.measured(8000, 16000)
        for name in inside:
            start, end, strand = genes[name]
            window = min((0, 1), key=lambda w: (abs(2 * starts[w] + WINDOW - start - end)))
            first, last = (start - starts[window]) // BIN, -(-(end - starts[window]) // BIN)
            columns = [0, 1 if strand == "+" else 2]
            value = found[window].astype(np.float64)[first:last].mean(axis=0)[columns] / BIN * (end - start)
            np.testing.assert_allclose(predicted[name], np.log2(value + 1), atol=2e-5)
            offset = (starts[window] - 8000) // BIN
            value = raw[offset + first:offset + last].mean(axis=0)[columns] / BIN * (end - start)
            np.testing.assert_allclose(measured[name], np.log2(value + 1), atol=2e-4)
        with open(os.path.join(out, "eval.json")) as file:
            scores = json.load(file)["gene_tracks"][0]
        order = sorted(inside)
        for column, entry in enumerate(scores["per_track"]):
            x, y = (np.array([table[n][column] for n in order]) for table in (predicted, measured))
            self.assertAlmostEqual(entry["pearson"], stats.pearsonr(x, y).statistic, places=3)
            self.assertAlmostEqual(entry["explained_variance"], 1 - np.var(y - x) / np.var(y), places=3)

    def test_bigwig_equals_the_predictions(self):
        out = self.path("whole/predict.h5")
        flagen("predict", self.run_folder, "--out", out, "--chrom", "all", "--bigwig")
        with h5py.File(out) as file:
            preds, starts = file["preds"][:], file["start"][:]
        self.assertEqual(starts.tolist(), list(range(0, tiny_dataset.GENOME_BP, WINDOW)))
        for track, name in enumerate(tiny_dataset.TRACKS):
            with pyBigWig.open(self.path(f"whole/bigwig/{name}.bw")) as file:
                self.assertEqual(file.chroms(), {"chr": tiny_dataset.GENOME_BP})
                values = np.array(file.values("chr", 0, tiny_dataset.GENOME_BP), dtype=np.float32)
            expected = np.repeat(preds[:, :, track].reshape(-1), BIN)[:tiny_dataset.GENOME_BP]
            np.testing.assert_array_equal(values, expected)

    def test_more_bigwigs_than_files_may_be_open(self):
        import resource

        # 40 tracks, of the same three files, where 48 files may be open: two groups of 24 and 16.
        table, config_path, run = self.path("many.txt"), self.path("many.json"), self.path("many_run")
        with open(self.path("targets.txt")) as source, open(table, "w") as out:
            lines = source.read().splitlines()
            out.write(lines[0] + "\n")
            for row in range(40):
                fields = lines[1 + row % 3].split("\t")
                fields[0], fields[1], fields[7] = str(row), f"track{row}", str(row)
                out.write("\t".join(fields) + "\n")
        with open(self.config) as file:
            config = json.load(file)
        config["data"]["targets"] = [config["data"]["targets"][1] | {"table": table}]
        config["model"].pop("heads")
        config["model"]["head_tiny"]["units"] = 40
        with open(config_path, "w") as out:
            json.dump(config, out)
        flagen("train", config_path, "--out", run, "--max-steps", 10)
        out = self.path("many/predict.h5")
        result = subprocess.run([FLAGEN, "predict", run, "--out", out, "--chrom", "all", "--bigwig"], capture_output=True,
                                text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)))
        self.assertEqual(result.returncode, 0, result.stderr)
        with h5py.File(out) as file:
            preds = file["preds"][:]
        self.assertEqual(len(os.listdir(self.path("many/bigwig"))), 40)
        for track in (0, 23, 24, 39):
            with pyBigWig.open(self.path(f"many/bigwig/track{track}.bw")) as file:
                values = np.array(file.values("chr", 0, tiny_dataset.GENOME_BP), dtype=np.float32)
            expected = np.repeat(preds[:, :, track].reshape(-1), BIN)[:tiny_dataset.GENOME_BP]
            np.testing.assert_array_equal(values, expected)

    def test_killed_prediction_goes_on_with_the_same_bytes(self):
        arguments = ["predict", self.run_folder, "--chrom", "all", "--rc", "--shifts", "0,1,2,3"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "0"}
        whole, killed = self.path("uninterrupted/predict.h5"), self.path("killed/predict.h5")
        started = time.monotonic()
        subprocess.run([FLAGEN, *arguments, "--out", whole], check=True, capture_output=True, env=environment)
        duration = time.monotonic() - started
        kills = 0
        for attempt in range(20):
            process = subprocess.Popen([FLAGEN, *arguments, "--out", killed], env=environment,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=duration * (0.6 + 0.1 * attempt))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                if os.path.exists(killed):  # killed after it was published
                    with h5py.File(killed) as file:
                        self.assertEqual(file.attrs["complete"], 1)
                continue
            self.assertEqual(process.returncode, 0)
            break
        self.assertGreater(kills, 0)
        with h5py.File(whole) as one, h5py.File(killed) as other:
            np.testing.assert_array_equal(one["preds"][:], other["preds"][:])
        self.assertFalse(os.path.exists(killed + ".part"))

    def test_ensemble_is_the_mean(self):
        second = self.path("second_run")
        flagen("train", self.config, "--out", second, "--set", "train.seed=9", "--max-steps", "10")
        arguments = ("--locus", "chr:8001-16000", "--shifts", "0", "--untransform", "none")
        one = self.predict("one.h5", *arguments)["preds"].astype(np.float64)
        flagen("predict", second, "--out", self.path("two.h5"), *arguments)
        with h5py.File(self.path("two.h5")) as file:
            two = file["preds"][:].astype(np.float64)
        both = self.predict("ensemble.h5", *arguments, "--ensemble", second)
        np.testing.assert_allclose(both["preds"], (one + two) / 2, rtol=1e-6)
        self.assertEqual(both["attrs"]["ensemble_n"], 2)

    def test_training_from_a_cache_and_without_genes(self):
        config = tiny_dataset.write_tracks(self.folder, self.path("params.json"), genes=False)
        cache = self.path("cache")
        flagen("data", "-f", self.path("genome.fa"), "-t", self.path("targets.txt"), "-l", WINDOW, "-w", BIN, "-c", 0,
               "--transform", "new", "--windows", self.write_windows(), "-o", cache)
        run = self.path("cache_run")
        flagen("train", config, cache, "--out", run)
        result = flagen("eval", run, "--split", "test", "--no-baselines")
        both = self.path("cache_both")
        flagen("train", self.config, cache, "--out", both, "--max-steps", "10")
        self.assertIn("TSS profile", flagen("eval", both, "--split", "test").stdout)
        message = flagen("train", self.config, cache, "--out", self.path("z"), "--set",
                         "data.splits.valid_regions=[\"chr:1-8000\"]", expect=2).stderr
        self.assertIn("is valid there and train in data.splits", message)
        self.assertIn("squashed", result.stdout)
        message = flagen("predict", run, "--out", self.path("none.h5"), expect=2).stderr
        self.assertIn("no genes head", message)

    def write_windows(self):
        path = self.path("sequences.bed")
        with open(path, "w") as out:
            for label, low, high in (("train", 16000, 24000), ("train", 32000, 40000), ("valid", 24000, 32000),
                                     ("test", 8000, 16000)):
                for start in range(low, high - WINDOW + 1, 1024):
                    out.write(f"chr\t{start}\t{start + WINDOW}\t{label}\n")
        return path

    def test_mistakes_are_named(self):
        bad = self.path("bad.json")
        with open(self.config) as file:
            config = json.load(file)
        config["data"]["targets"][1]["head"] = "tinny"
        with open(bad, "w") as out:
            json.dump(config, out)
        self.assertIn('head_tinny', flagen("train", bad, "--out", self.path("x"), expect=2).stderr)
        config["data"]["targets"][1]["head"] = "tiny"
        config["model"]["head_tiny"]["units"] = 4
        with open(bad, "w") as out:
            json.dump(config, out)
        self.assertIn("4 units", flagen("train", bad, "--out", self.path("x"), expect=2).stderr)
        for option in ("data.targets.1.transform=old", "data.targets.1.head=other"):
            flagen("predict", self.run_folder, "--out", self.path("y.h5"), "--locus", "chr:8001-9000", "--set", option,
                   expect=2)
        swapped = self.path("swapped.txt")
        with open(self.path("targets.txt")) as table:
            header, first, second, third = table.read().splitlines()
        with open(swapped, "w") as out:
            out.write("\n".join([header, second, third, first]) + "\n")
        message = flagen("eval", self.run_folder, "--set", "data.targets.1.table=" + swapped, expect=2).stderr
        self.assertIn("other tracks", message)
        message = flagen("predict", self.run_folder, "--out", self.path("y.h5"), "--locus", "chr:8001-9000", "--locus",
                         "chr:8501-9500", "--bigwig", expect=2).stderr
        self.assertIn("overlap", message)


if __name__ == "__main__":
    unittest.main(verbosity=2)
