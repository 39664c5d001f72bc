"""Several data sections, as of two species, that train one trunk with a head for each.

Usage: species_test.py FLAGEN
"""

import json
import os
import re
import struct
import tempfile
import unittest

import h5py
import numpy as np
import pyBigWig
from scipy import stats

import tiny_dataset
from program import flagen

BIN = 8
WINDOW = 4096
BATCH = 2
SEED = 3


def philox4x32(counter, key):
    """Philox4x32-10 of Salmon et al. 2011, written from the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        low, high = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(high >> 32) ^ c[1] ^ k[0], high & 0xFFFFFFFF, (low >> 32) ^ c[3] ^ k[1], low & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def section_order(seed, epoch, sizes):
    """Sections of the batches of one joint epoch: sections in proportion, shuffled by Fisher and Yates."""
    def draws():
        block = 0
        while True:
            words = philox4x32([block, epoch, 0, 3 << 24], [seed & 0xFFFFFFFF, seed >> 32])
            yield words[0] | words[1] << 32
            yield words[2] | words[3] << 32
            block += 1

    random = draws()
    order = [i for i, size in enumerate(sizes) for _ in range(-(-size // BATCH))]
    for left in range(len(order), 1, -1):
        draw = next(random)
        while draw < 2 ** 64 % left:
            draw = next(random)
        pick = draw % left
        order[left - 1], order[pick] = order[pick], order[left - 1]
    return order


def tensors(path):
    """A safetensors file as {name: array}."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    kinds = {"F32": np.float32, "I64": np.int64, "F64": np.float64, "U8": np.uint8}
    return {name: np.frombuffer(data[entry["data_offsets"][0]:entry["data_offsets"][1]], kinds[entry["dtype"]])
            for name, entry in header.items() if name != "__metadata__"}


def squash(raw):
    """Transform `new` of sum_sqrt with scale 0.5 and clip_soft 6, written from its formula."""
    y = -1 + np.sqrt(1 + 0.5 * raw)
    return np.where(y > 6, 6 - 1 + np.sqrt(np.maximum(y - 6 + 1, 0)), y)


def r_and_r2(predicted, measured):
    """Means over tracks."""
    r = [stats.pearsonr(predicted[:, t], measured[:, t]).statistic for t in range(measured.shape[1])]
    r2 = 1 - ((measured - predicted) ** 2).sum(0) / ((measured - measured.mean(0)) ** 2).sum(0)
    return np.mean(r), np.mean(r2)


class Species(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        one = tiny_dataset.write_tracks(cls.folder, tiny_dataset.write(cls.folder))
        cls.config = tiny_dataset.write_second_species(cls.folder, one)
        cls.run_folder = cls.path("run")
        cls.told = flagen("train", cls.config, "--out", cls.run_folder).stderr
        with open(os.path.join(cls.run_folder, "metrics.jsonl")) as file:
            cls.lines = [json.loads(line) for line in file]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    def edited(self, name, change):
        with open(self.config) as file:
            config = json.load(file)
        change(config)
        path = self.path(name)
        with open(path, "w") as out:
            json.dump(config, out)
        return path

    def measured(self, contig, start, end, head):
        tracks, folder = ((tiny_dataset.TRACKS, self.folder) if head == "tiny"
                          else (tiny_dataset.SECOND_TRACKS, self.path("second")))
        columns = []
        for name in tracks:
            with pyBigWig.open(os.path.join(folder, name + ".bw")) as file:
                columns.append(np.nan_to_num(file.values(contig, start, end, numpy=True)).reshape(-1, BIN).sum(axis=1))
        return np.stack(columns, axis=1).astype(np.float64)

    def predicted(self, name, head, contig, starts):
        """[windows, bins, tracks] on the training scale."""
        bed = self.path(name + ".bed")
        with open(bed, "w") as out:
            out.writelines(f"{contig}\t{start}\t{start + WINDOW}\n" for start in starts)
        out = self.path(name + ".h5")
        flagen("predict", self.run_folder, "--out", out, "--head", head, "--bed", bed, "--shifts", "0", "--untransform",
               "none")
        with h5py.File(out) as file:
            self.assertEqual(file.attrs["head"], head.encode())
            self.assertEqual(file["start"][:].tolist(), list(starts))
            return file["preds"][:].astype(np.float64)

    def test_sections_come_in_the_order_of_the_formula(self):
        sizes = [int(re.search(head + r": .* (\d+) training windows", self.told).group(1)) for head in ("tiny", "second")]
        order = [s for epoch in range(4) for s in section_order(SEED, epoch, sizes)]
        self.assertEqual(set(order[:40]), {0, 1})
        for i, head in enumerate(("tiny", "second")):
            epochs = {line["step"]: line["epoch"] for line in self.lines if line.get("head") == head and "loss" in line}
            for step in range(5, 41, 5):
                if i in order[step - 5:step]:
                    self.assertAlmostEqual(epochs[step], order[:step].count(i) * BATCH / sizes[i], places=12)
                else:
                    self.assertNotIn(step, epochs)

    def test_the_loss_of_each_head_falls(self):
        for head in ("tiny", "second"):
            losses = [line["loss"] for line in self.lines if line.get("head") == head and "loss" in line]
            self.assertLess(losses[-1], losses[0])

    def test_the_score_is_the_mean_over_heads(self):
        for step in (10, 20, 30, 40):
            lines = [line for line in self.lines if line["step"] == step]
            heads = {line["head"]: line for line in lines if "valid_track_pearson_squashed" in line}
            self.assertEqual(set(heads), {"tiny", "second"})
            scores = [entry.get("valid_pearson_gene_mean", 0) + entry["valid_track_pearson_squashed"] +
                      entry["valid_track_r2_squashed"] / 4 for entry in heads.values()]
            score, = [line["valid_score"] for line in lines if "valid_score" in line]
            self.assertAlmostEqual(score, np.mean(scores), places=12)
        scores = {line["step"]: line["valid_score"] for line in self.lines if "valid_score" in line}
        best = os.path.basename(os.path.realpath(os.path.join(self.run_folder, "checkpoints", "best")))
        if best == "best":  # a file that names it
            with open(os.path.join(self.run_folder, "checkpoints", "best")) as file:
                best = file.read().strip()
        self.assertEqual(int(re.search(r"(\d+)$", best).group(1)), max(scores, key=scores.get))

    def test_validation_of_the_last_step_equals_numpy(self):
        checkpoint = os.path.join(self.run_folder, "checkpoints", "step-00000040")
        out = self.path("valid.h5")
        flagen("predict", checkpoint, "--out", out, "--head", "second", "--locus", "alpha:1-4096", "--locus",
               "alpha:4097-8192", "--shifts", "0", "--untransform", "none")
        with h5py.File(out) as file:
            predicted = np.concatenate(file["preds"][:]).astype(np.float64)
        r, r2 = r_and_r2(predicted, squash(self.measured("alpha", 0, 8192, "second")))
        line, = [line for line in self.lines if line["step"] == 40 and line.get("head") == "second" and
                 "valid_track_pearson_squashed" in line]
        self.assertAlmostEqual(line["valid_track_pearson_squashed"], r, places=5)
        self.assertAlmostEqual(line["valid_track_r2_squashed"], r2, places=4)

    def test_a_step_leaves_the_other_head_alone(self):
        def first_step(name, rate):
            def change(config):
                config["train"].update(max_steps=1, log_every_steps=1, valid_every_steps=1, checkpoint_every_steps=1,
                                       weight_decay=0.5)
                config["train"]["learning_rate"] = {"kind": "constant", "peak": rate}
            run = self.path(name)
            flagen("train", self.edited(name + ".json", change), "--out", run)
            step = os.path.join(run, "checkpoints", "step-00000001")
            files = [os.path.join(step, f) for f in os.listdir(step) if f.endswith(".safetensors")]
            model, = [f for f in files if "model" in os.path.basename(f)]
            optimizer, = [f for f in files if "optim" in os.path.basename(f)]
            with open(os.path.join(run, "metrics.jsonl")) as file:
                head = json.loads(file.readline())["head"]
            return head, tensors(model), tensors(optimizer)

        head, before, _ = first_step("still", 1e-12)  # moves no weight of usual size
        trained, after, optimizer = first_step("moved", 0.01)
        self.assertEqual(trained, head)
        self.assertEqual(trained, ("tiny", "second")[section_order(SEED, 0, [int(n) for n in re.findall(
            r"(\d+) training windows", self.told)])[0]])
        other = {"tiny": "second", "second": "tiny"}[trained]
        for kind in ("weight", "bias"):
            # Weight decay alone would move it.
            np.testing.assert_array_equal(after[f"head_{other}.proj.{kind}"], before[f"head_{other}.proj.{kind}"])
            self.assertFalse(np.array_equal(after[f"head_{trained}.proj.{kind}"], before[f"head_{trained}.proj.{kind}"]))
        self.assertTrue(any(name.startswith(f"head_{trained}.") for name in optimizer))
        self.assertFalse([name for name in optimizer if name.startswith(f"head_{other}.")])
        self.assertTrue(any(name.startswith("trunk.") for name in optimizer))

    def test_eval_of_each_head_equals_numpy(self):
        out = self.path("scores")
        text = flagen("eval", self.run_folder, "--out", out, "--split", "test", "--shifts", "0").stdout
        self.assertIn("head tiny", text)
        self.assertIn("head second", text)
        with open(os.path.join(out, "eval.json")) as file:
            results = json.load(file)
        rows = {(r["head"], r["predictor"], r["scale"]): r for r in results["tracks"]["results"]}
        starts = [8000, 16000 - WINDOW]
        border = (sum(starts) + WINDOW) // 2 // BIN * BIN
        windows = self.predicted("tiny_test", "tiny", "chr", starts)
        tiny = np.concatenate([windows[0][:(border - starts[0]) // BIN], windows[1][(border - starts[1]) // BIN:]])
        second = np.concatenate(self.predicted("second_test", "second", "beta", range(0, 12288, WINDOW)))
        for head, predicted, measured in (("tiny", tiny, self.measured("chr", 8000, 16000, "tiny")),
                                          ("second", second, self.measured("beta", 0, 12288, "second"))):
            r, r2 = r_and_r2(predicted, squash(measured))
            row = rows[head, "model", "squashed"]
            self.assertEqual(row["num_bins"], len(measured))
            self.assertEqual(len(row["per_track"]), measured.shape[1])
            self.assertAlmostEqual(row["pearson"], r, places=5)
            self.assertAlmostEqual(row["r2"], r2, places=4)
            self.assertTrue(os.path.exists(os.path.join(out, head, "acc_test.txt")))
        self.assertEqual({r["split"] for r in results["results"]}, {"test"})  # of the genes, which "tiny" has
        self.assertEqual({entry["head"] for entry in results["gene_tracks"]}, {"tiny"})
        one = self.path("one.json")
        flagen("eval", self.run_folder, "--head", "second", "--out", one, "--split", "test", "--shifts", "0")
        with open(one) as file:
            alone = json.load(file)
        self.assertEqual([r for r in results["tracks"]["results"] if r["head"] == "second"], alone["tracks"]["results"])
        self.assertNotIn("results", alone)

    def test_predict_needs_the_head_where_there_are_two(self):
        message = flagen("predict", self.run_folder, "--out", self.path("x.h5"), "--chrom", "all", expect=2).stderr
        self.assertIn("choose one with --head (tiny, second)", message)
        message = flagen("predict", self.run_folder, "--out", self.path("x.h5"), "--chrom", "all", "--head", "secnd",
                         expect=2).stderr
        self.assertIn('did you mean "second"', message)
        self.assertIn("heads: tiny, second", message)
        message = flagen("predict", self.run_folder, "--out", self.path("x.h5"), "--head", "second", expect=2).stderr
        self.assertIn("second has no genes", message)
        self.assertFalse(os.path.exists(self.path("x.h5")))
        whole = self.path("second.h5")
        flagen("predict", self.run_folder, "--out", whole, "--chrom", "all", "--head", "second")
        with h5py.File(whole) as file:
            self.assertEqual(set(file["chrom"][:]), {b"alpha", b"beta"})
            self.assertEqual(file["preds"].shape[2], 2)
        genes = self.path("genes.h5")
        flagen("predict", self.run_folder, "--out", genes)  # only "tiny" has genes: no choice
        with h5py.File(genes) as file:
            self.assertEqual(file["genes/pred"].shape[0], tiny_dataset.NUM_GENES)
        message = flagen("eval", self.config, genes, "--head", "second", expect=2).stderr
        self.assertIn("second has no genes", message)
        self.assertIn("gene means", flagen("eval", self.config, genes).stdout)

    def test_info_run_record_and_report_name_both(self):
        text = flagen("info", self.run_folder).stdout
        self.assertIn("head tiny: 3 tracks", text)
        self.assertIn("head second: 2 tracks", text)
        self.assertIn("head_second", flagen("info", self.config, "--samples", 3).stdout)
        with open(os.path.join(self.run_folder, "run.json")) as file:
            inputs = json.load(file)["inputs"]
        self.assertNotEqual(inputs["tiny_genome_md5"], inputs["second_genome_md5"])
        flagen("predict", self.run_folder, "--out", os.path.join(self.run_folder, "predictions.h5"))
        for head, locus in (("tiny", "chr:8001-12096"), ("second", "beta:1-4096")):
            flagen("predict", self.run_folder, "--head", head, "--locus", locus, "--out",
                   os.path.join(self.run_folder, f"tracks_{head}.h5"))
        flagen("eval", self.run_folder, "--out", self.run_folder, "--no-baselines")
        flagen("report", self.run_folder)
        with open(os.path.join(self.run_folder, "report.html"), encoding="utf-8") as file:
            page = file.read()
        for words in ("data of tiny", "data of second", "Tracks of tiny along one locus", "Tracks of second along one locus",
                      "training loss of tiny", "training loss of second", "Predicted against observed"):
            self.assertIn(words, page)
        self.assertNotIn("measured tracks are not drawn", page)

    def test_data_folders_go_to_the_sections_in_order(self):
        tiny, second = self.path("tiny_bins"), self.path("second_bins")
        for folder, genome, valid, test in ((tiny, self.folder, "chr:24000-32000", "chr:8000-16000"),
                                            (second, self.path("second"), "alpha:0-8192", "beta:0-12288")):
            bed = folder + ".bed"
            with open(bed, "w") as out:
                for label, place in (("valid", valid), ("test", test)) + (
                        (("train", "chr:16000-24000"), ("train", "chr:32000-40000")) if folder == tiny else
                        (("train", "alpha:8192-20480"),)):
                    contig, low, high = re.match(r"(\w+):(\d+)-(\d+)", place).groups()
                    for start in range(int(low), int(high) - WINDOW + 1, 1024):
                        out.write(f"{contig}\t{start}\t{start + WINDOW}\t{label}\n")
            flagen("data", "-f", os.path.join(genome, "genome.fa"), "-t", os.path.join(genome, "targets.txt"), "-l", WINDOW,
                   "-w", BIN, "-c", 0, "--transform", "new", "--windows", bed, "-o", folder)
        flagen("train", self.config, tiny, second, "--out", self.path("cached"), "--max-steps", "10")
        message = flagen("train", self.config, tiny, "--out", self.path("z"), expect=2).stderr
        self.assertIn("expected 2 data folders, in the order of the heads tiny, second, found 1", message)
        flagen("train", self.config, second, tiny, "--out", self.path("z"), expect=3)  # of other contigs and tracks

    def test_data_takes_each_section_of_a_configuration(self):
        folders = [self.path("config_tiny"), self.path("config_second")]
        for folder, head in zip(folders, ("tiny", "second")):
            flagen("data", self.config, "--head", head, "-o", folder, "--stride", "1024")
        with open(os.path.join(folders[1], "sequences.bed")) as file:
            rows = [line.split() for line in file]
        self.assertEqual({row[3] for row in rows if row[0] == "beta"}, {"test"})
        self.assertEqual({row[3] for row in rows if row[0] == "alpha" and int(row[2]) <= 8192}, {"valid"})
        with h5py.File(os.path.join(folders[1], "tracks.h5")) as file:
            values = file["targets"][:]
        for (contig, start, end, _), found in zip(rows, values):
            np.testing.assert_allclose(found, squash(self.measured(contig, int(start), int(end), "second")), rtol=2e-6,
                                       atol=2e-6)
        flagen("train", self.config, *folders, "--out", self.path("config_run"), "--max-steps", "10")
        self.assertIn("choose one with --head (tiny, second)", flagen("data", self.config, "-o", self.path("z"),
                                                                      expect=2).stderr)
        self.assertIn("--length comes from the configuration", flagen("data", self.config, "--head", "tiny", "-l", 4096, "-o",
                                                                      self.path("z"), expect=2).stderr)
        self.assertIn("'--fasta' is required", flagen("data", "-o", self.path("z"), expect=2).stderr)

    def test_mistakes_are_all_named(self):
        def change(config):
            config["data"][1]["seq_length"] = 8192
            config["data"][1]["targets"][0]["head"] = "tiny"
            config["data"][1]["targets"].append(config["data"][0]["targets"][0])
        message = flagen("train", self.edited("bad.json", change), "--out", self.path("z"), expect=2).stderr
        for words in ("3 problems", "data[1].seq_length: differs from the first section's, 4096",
                      "data[1].targets: genes stand in data[0] already",
                      "data[1].targets: head tiny is trained by data[0] already"):
            self.assertIn(words, message)
        message = flagen("train", self.edited("bad.json", lambda c: c["data"][1].update(fsta=1)), "--out", self.path("z"),
                         expect=2).stderr
        self.assertIn("data[1].fsta: unknown key", message)
        message = flagen("train", self.edited("bad.json", lambda c: c["model"]["head_second"].update(units=5)), "--out",
                         self.path("z"), expect=2).stderr
        self.assertIn("head_second has 5 units", message)


if __name__ == "__main__":
    unittest.main(verbosity=2)
