"""The program as its users run it: exit codes, messages, files, and outside readers of what it wrote.

Usage: commands_test.py FLAGEN
"""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np
from scipy import stats

import tiny_dataset
from program import FLAGEN, TinyCase, flagen


class TrainedRun(unittest.TestCase):
    """Commands after one training run, shared by the cases."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        cls.config = tiny_dataset.write(cls.folder)
        cls.run_folder = os.path.join(cls.folder, "run")
        flagen("train", cls.config, "--out", cls.run_folder)
        cls.predictions = os.path.join(cls.folder, "predictions.h5")
        flagen("predict", cls.run_folder, "--out", cls.predictions)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_run_folder_is_complete(self):
        for name in ("config.json", "run.json", "metrics.jsonl", "log.txt", "genes_dropped.tsv", "checkpoints/latest",
                     "checkpoints/best"):
            self.assertTrue(os.path.exists(os.path.join(self.run_folder, name)), name)
        with open(os.path.join(self.run_folder, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        losses = [line["loss"] for line in lines if "loss" in line]
        self.assertEqual([line["step"] for line in lines if "loss" in line], list(range(5, 41, 5)))
        self.assertLess(losses[-1], losses[0])
        self.assertEqual([line["step"] for line in lines if "valid_pearson_gene_mean" in line], [10, 20, 30, 40])

    def test_predictions_open_in_h5py(self):
        with h5py.File(self.predictions) as file:
            genes = file["genes"]
            self.assertEqual(genes["pred"].dtype, np.float32)
            self.assertEqual(genes["pred"].shape, (tiny_dataset.NUM_GENES, len(tiny_dataset.SAMPLES)))
            self.assertEqual([s.decode() for s in genes["samples"][:]], tiny_dataset.SAMPLES)
            self.assertEqual(genes["id"][0], b"g000")
            self.assertEqual(set(genes["split"][:]) - {b"train", b"valid", b"test", b"none"}, set())
            self.assertTrue(np.isfinite(genes["pred"][:]).all())
            for name in ("flagen_version", "model_sha256", "params_json", "genome_md5", "targets_sha256", "transform",
                         "scale", "shifts", "cmdline", "created_utc", "seq_length", "complete"):
                self.assertIn(name, file.attrs)
            self.assertEqual(file.attrs["complete"], 1)

    def test_predictions_pass_h5dump(self):
        subprocess.run(["h5dump", "-H", self.predictions], check=True, stdout=subprocess.DEVNULL)

    def test_eval_agrees_with_scipy(self):
        out = os.path.join(self.folder, "eval.json")
        flagen("eval", self.config, self.predictions, "--out", out, "--split", "valid,test")
        with open(out) as file:
            results = {(r["predictor"], r["split"]): r for r in json.load(file)["results"]}
        with open(os.path.join(self.folder, "expression.csv")) as file:
            next(file)
            measured = {line.split(",")[0]: np.array(line.split(",")[1:], np.float32) for line in file}
        with h5py.File(self.predictions) as file:
            ids = [i.decode() for i in file["genes/id"][:]]
            split = file["genes/split"][:]
            pred = file["genes/pred"][:].astype(np.float64)
        for name in ("valid", "test"):
            rows = [i for i in range(len(ids)) if split[i] == name.encode()]
            p = pred[rows]
            m = np.array([measured[ids[i]] for i in rows], np.float64)
            found = results[("model", name)]
            self.assertEqual(found["num_genes"], len(rows))
            self.assertAlmostEqual(found["pearson_gene_mean"], stats.pearsonr(p.mean(1), m.mean(1))[0], places=9)
            self.assertAlmostEqual(found["pearson_per_sample"],
                                   np.mean([stats.pearsonr(p[:, s], m[:, s])[0] for s in range(p.shape[1])]), places=9)
            self.assertAlmostEqual(found["spearman_gene_mean"], stats.spearmanr(p.mean(1), m.mean(1))[0], places=9)
            self.assertIn(("k-mer ridge", name), results)
            self.assertNotIn("pearson_gene_mean", results[("training mean", name)])

    def test_gene_list_and_split_choose_rows(self):
        genes = os.path.join(self.folder, "genes.txt")
        with open(genes, "w") as file:
            file.write("# chosen\ng007\ng003\n")
        chosen = os.path.join(self.folder, "chosen.h5")
        flagen("predict", self.run_folder, "--out", chosen, "--genes", genes)
        with h5py.File(chosen) as some, h5py.File(self.predictions) as whole:
            self.assertEqual(list(some["genes/id"][:]), [b"g007", b"g003"])
            np.testing.assert_allclose(some["genes/pred"][:], whole["genes/pred"][:][[7, 3]], rtol=1e-5, atol=1e-5)
        with open(genes, "w") as file:
            file.write("g007\nnot_there\n")
        result = flagen("predict", self.run_folder, "--out", chosen, "--genes", genes, expect=3)
        self.assertIn("not_there", result.stderr)
        self.assertIn("genes.txt:2", result.stderr)

    def test_rc_is_the_mean_of_both_readings(self):
        # A head that averages over the span has no sense of strand: the other reading is that of a gene annotated on
        # the other strand.
        run, turned = os.path.join(self.folder, "span_run"), os.path.join(self.folder, "turned.gff3")
        flagen("train", self.config, "--out", run, "--max-steps", 10, "--set",
               'model.heads.genes={"pools":[{"anchor":"span"}],"codons":{"width":0},"promoter":{"width":0},"hidden":16}')
        with open(os.path.join(self.folder, "genes.gff3")) as source, open(turned, "w") as out:
            swap = {"+": "-", "-": "+"}
            for line in source:
                fields = line.split("\t")
                if len(fields) > 6:
                    fields[6] = swap[fields[6]]
                out.write("\t".join(fields))
        values = {}
        for name, options in (("sense", []), ("other", ["--set", "data.targets[0].annotation=" + turned]),
                              ("both", ["--rc"])):
            out = os.path.join(self.folder, name + ".h5")
            told = flagen("predict", run, "--out", out, *options).stderr
            with h5py.File(out) as file:
                values[name] = file["genes/pred"][:].astype(np.float64)
                self.assertEqual(file.attrs["rc"], int(name == "both"))
                self.assertTrue(file.attrs["strand_policy"].startswith(b"both" if name == "both" else b"sense"))
        self.assertIn("was not trained to do", told)
        np.testing.assert_allclose(values["both"], (values["sense"] + values["other"]) / 2, rtol=1e-5, atol=1e-5)
        self.assertGreater(np.abs(values["sense"] - values["other"]).max(), 1e-3)

    def test_a_given_configuration_replaces_the_models_own(self):
        other = os.path.join(self.folder, "other.h5")
        flagen("predict", self.config, self.run_folder, "--out", other)
        with h5py.File(other) as a, h5py.File(self.predictions) as b:
            np.testing.assert_array_equal(a["genes/pred"][:], b["genes/pred"][:])
        flagen("predict", "--out", other, expect=2)

    def test_info_reads_each_kind(self):
        self.assertIn("parameters", flagen("info", self.config, "--samples", 3).stdout)
        self.assertIn("step 40", flagen("info", os.path.join(self.run_folder, "checkpoints/step-00000040")).stdout)
        self.assertIn("60 genes x 3 samples", flagen("info", self.predictions).stdout)

    def test_a_second_run_is_refused_or_resumed(self):
        result = flagen("train", self.config, "--out", self.run_folder, expect=2)
        self.assertIn("--resume auto", result.stderr)
        result = flagen("train", self.config, "--out", self.run_folder, "--resume", "auto")
        self.assertIn("complete already", result.stderr)

    def test_another_configuration_does_not_resume(self):
        result = flagen("train", self.config, "--out", self.run_folder, "--resume", "auto", "--set", "train.seed=4",
                        expect=3)
        self.assertIn("config", result.stderr)

    def test_one_thread_and_two_read_the_same_model(self):
        two = os.path.join(self.folder, "two.h5")
        flagen("predict", self.run_folder, "--out", two, "--threads", 2)
        with h5py.File(two) as a, h5py.File(self.predictions) as b:
            np.testing.assert_allclose(a["genes/pred"][:], b["genes/pred"][:], rtol=1e-4, atol=1e-4)


class Signals(unittest.TestCase):
    def test_signals_save_and_ask_for_requeue(self):
        with tempfile.TemporaryDirectory() as folder:
            config = tiny_dataset.write(folder)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                run = os.path.join(folder, f"run{number}")
                process = subprocess.Popen([FLAGEN, "train", config, "--out", run, "--set", "train.max_steps=100000"],
                                           stderr=subprocess.PIPE, text=True)
                deadline = time.monotonic() + 60
                while not os.path.exists(os.path.join(run, "checkpoints", "latest")):
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)
                process.send_signal(number)
                _, errors = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 85, errors)
                self.assertIn("--resume auto", errors)


class Faults(TinyCase):
    def edit(self, change):
        with open(self.config) as file:
            config = json.load(file)
        change(config)
        with open(self.config, "w") as file:
            json.dump(config, file)

    def test_command_line_faults_end_in_2(self):
        self.assertIn("unknown command", flagen("trian", expect=2).stderr)
        self.assertIn("did you mean", flagen("train", self.config, "--outt", "x", expect=2).stderr)
        flagen("train", self.config, expect=2)
        flagen("train", os.path.join(self.folder, "absent.json"), "--out", "x", expect=2)
        flagen(expect=2)
        self.assertIn("libtorch", flagen("--version").stdout)
        self.assertIn("train", flagen("--help").stdout)
        self.assertIn("--resume", flagen("train", "--help").stdout)

    def test_all_configuration_problems_come_at_once(self):
        def change(config):
            config["train"]["learnig_rate"] = 1
            config["train"]["batch_size"] = "two"
            config["data"]["mutate_rate"] = 7
        self.edit(change)
        result = flagen("train", self.config, "--out", os.path.join(self.folder, "run"), expect=2)
        for text in ("3 problems", 'did you mean "learning_rate"', "train.batch_size", "data.mutate_rate"):
            self.assertIn(text, result.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "run")))

    def test_borzois_keys_without_effect_are_named_once(self):
        told = flagen("train", self.config, "--out", os.path.join(self.folder, "run"), "--dry-run", "--set",
                      "train.shuffle_buffer=256", "--set", "model.verbose=true", "--set", "model.l2_scale=1e-8").stderr
        self.assertEqual(told.count("no effect here: l2_scale, shuffle_buffer, verbose"), 1)

    def test_bad_inputs_end_in_3_and_leave_nothing(self):
        with open(os.path.join(self.folder, "genome.fa"), "a") as file:
            file.write("ACGT1\n")
        run = os.path.join(self.folder, "run")
        self.assertIn("genome.fa", flagen("train", self.config, "--out", run, expect=3).stderr)
        self.assertFalse(os.path.exists(os.path.join(run, "checkpoints")))

    def test_a_damaged_prediction_file_is_refused(self):
        broken = os.path.join(self.folder, "broken.h5")
        with open(broken, "wb") as file:
            file.write(b"\x89HDF\r\n\x1a\n" + bytes(200))
        flagen("eval", self.config, broken, expect=3)

    def test_extract_equals_samtools(self):
        bed = os.path.join(self.folder, "regions.bed")
        with open(bed, "w") as file:
            file.write("chr\t100\t400\ta\t0\t+\nchr\t39900\t40000\tb\t0\t-\n")
        out = os.path.join(self.folder, "windows.fa")
        flagen("extract", "--fasta", os.path.join(self.folder, "genome.fa"), "--bed", bed, "--length", 200, "--out", out,
               "--shifts", "0,3")
        with open(out) as file:
            records = file.read().split(">")[1:]
        names = [r.split("\n")[0] for r in records]
        self.assertEqual(names, ["chr:150-350:+", "chr:153-353:+", "chr:39850-40050:-", "chr:39853-40053:-"])
        bases = {r.split("\n")[0]: "".join(r.split("\n")[1:]) for r in records}

        def samtools(region, *options):
            text = subprocess.run(["samtools", "faidx", *options, os.path.join(self.folder, "genome.fa"), region],
                                  capture_output=True, text=True, check=True).stdout
            return "".join(text.split("\n")[1:])
        self.assertEqual(bases["chr:150-350:+"], samtools("chr:151-350"))
        self.assertEqual(bases["chr:153-353:+"], samtools("chr:154-353"))
        # 50 bases lie past the end: they come first on the reverse strand.
        self.assertEqual(bases["chr:39850-40050:-"], "N" * 50 + samtools("chr:39851-40000", "-i"))
        flagen("extract", "--fasta", os.path.join(self.folder, "genome.fa"), "--out", out, expect=2)
        self.assertIn("chrX", flagen("extract", "--fasta", os.path.join(self.folder, "genome.fa"), "--out", out, "--chrom",
                                     "chrX", expect=3).stderr)


if __name__ == "__main__":
    unittest.main()
