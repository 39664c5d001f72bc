"""flagen report on a tiny run: strict parsing, no reference to a network, and numbers against scipy and eval.json.

Usage: report_test.py FLAGEN
"""

import html.parser
import json
import os
import re
import shutil
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

import h5py
import numpy as np
from scipy import stats

import tiny_dataset
from program import flagen

SVG = "http://www.w3.org/2000/svg"
VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = "<img src=x onerror=alert(1)>&\"'"


class Page(html.parser.HTMLParser):
    """Checks that elements nest, and keeps the cells of tables, headings, notes and facts."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.attributes = [], [], []
        self.tables, self.headings, self.notes, self.facts = [], [], [], {}
        self.text = None
        self.feed(text)
        self.close()
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag in VOID:
            return
        self.stack.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th", "h1", "h2", "h3", "p", "dt", "dd"):
            self.text = ""

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_data(self, data):
        if self.text is not None:
            self.text += data

    def handle_endtag(self, tag):
        open_tag, attributes = self.stack.pop()
        assert open_tag == tag, (open_tag, tag, self.getpos())
        if self.text is None:
            return
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self.text)
        elif tag in ("h1", "h2", "h3"):
            self.headings.append(self.text)
        elif tag == "p" and attributes.get("class") == "note":
            self.notes.append(self.text)
        elif tag == "dt":
            self.name = self.text
        elif tag == "dd":
            self.facts[self.name] = self.text
        else:
            return
        self.text = None


def drawings(text):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg .*?</svg>", text, re.S)]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        cls.config = tiny_dataset.write(cls.folder)
        # One sample has a name that would be markup on a careless page.
        matrix = os.path.join(cls.folder, "expression.csv")
        text = read(matrix)
        with open(matrix, "w") as file:
            quoted = '"' + HOSTILE.replace('"', '""') + '"'
            file.write(text.replace("acetate_1", quoted, 1))
        cls.run_folder = os.path.join(cls.folder, "run <b>1&amp;")
        flagen("train", cls.config, "--out", cls.run_folder)
        cls.bare = os.path.join(cls.folder, "bare")
        shutil.copytree(cls.run_folder, cls.bare)
        cls.predictions = os.path.join(cls.run_folder, "predictions.h5")
        flagen("predict", cls.run_folder, "--out", cls.predictions)
        flagen("eval", os.path.join(cls.run_folder, "config.json"), cls.predictions, "--out",
               os.path.join(cls.run_folder, "eval.json"))
        flagen("report", cls.run_folder)
        cls.html = read(os.path.join(cls.run_folder, "report.html"))
        cls.page = Page(cls.html)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def measured_and_predicted(self, split):
        import csv
        with open(os.path.join(self.folder, "expression.csv"), newline="") as file:
            rows = list(csv.reader(file))
        measured = {row[0]: np.array(row[1:], np.float32).astype(np.float64) for row in rows[1:]}
        with h5py.File(self.predictions) as file:
            ids = [name.decode() for name in file["genes/id"][:]]
            keep = [i for i, s in enumerate(file["genes/split"][:]) if s == split.encode()]
            predicted = file["genes/pred"][:].astype(np.float64)[keep]
        return np.array([measured[ids[i]] for i in keep]), predicted, [ids[i] for i in keep]

    def test_nothing_comes_from_a_network_or_runs(self):
        self.assertEqual(set(re.findall(r"https?://[^\"'\s<)]*", self.html)), {SVG})
        self.assertNotIn("script", self.page.tags)
        self.assertNotIn("img", self.page.tags)
        for tag, name, value in self.page.attributes:
            self.assertFalse(name.startswith("on"), (tag, name))
            self.assertNotIn(name, ("src", "href", "xlink:href"), (tag, value))
        self.assertNotRegex(self.html, r"url\(|@import|javascript:")

    def test_hostile_names_are_text(self):
        self.assertNotIn(HOSTILE, self.html)
        self.assertEqual(self.page.headings[0], "flagen run run <b>1&amp;")
        self.assertNotIn("b", self.page.tags)
        names = "".join("".join(svg.itertext()) for svg in drawings(self.html))
        self.assertIn(HOSTILE, names)  # whole, in the tool tips

    def test_every_drawing_is_xml_and_inside_its_frame(self):
        found = drawings(self.html)
        self.assertGreaterEqual(len(found), 9)
        for svg in found:
            self.assertEqual(svg.tag, f"{{{SVG}}}svg")
            _, _, width, height = map(float, svg.get("viewBox").split())
            for element in svg.iter():
                for name, limit in (("x", width), ("cx", width), ("x1", width), ("x2", width), ("y", height), ("cy", height),
                                    ("y1", height), ("y2", height)):
                    if element.get(name) is not None:
                        self.assertTrue(0 <= float(element.get(name)) <= limit, (svg.get("aria-label"), element.attrib))

    def test_table_is_eval_json(self):
        with open(os.path.join(self.run_folder, "eval.json")) as file:
            evaluation = json.load(file)
        table = next(t for t in self.page.tables if "predictor" in t[0])
        self.assertEqual(len(table) - 1, len(evaluation["results"]))
        columns = {"genes": ("num_genes", 0), "r, gene means": ("pearson_gene_mean", 3), "r per sample": ("pearson_per_sample", 3),
                   "r per gene, centred": ("pearson_per_gene_centred", 3), "R\u00b2, gene means": ("r2_gene_mean", 3)}
        for cells, result in zip(table[1:], evaluation["results"]):
            self.assertEqual(cells[:2], [result["split"], result["predictor"]])
            for heading, (key, decimals) in columns.items():
                cell = cells[table[0].index(heading)]
                expected = f"{result[key]:.{decimals}f}".replace("-", "\u2212") if key in result else "\u2013"
                self.assertEqual(cell, expected, (heading, result["predictor"]))
        self.assertIn("log2_tpm", self.html)
        self.assertIn("start, bp: 0,8.", self.html)

    def test_scatter_agrees_with_scipy(self):
        for split in ("valid", "test"):
            measured, predicted, ids = self.measured_and_predicted(split)
            x, y = measured.mean(1), predicted.mean(1)
            svg = next(s for s in drawings(self.html) if s.get("aria-label").startswith(
                f"Predicted against observed gene means, {split}"))
            text = "".join(svg.itertext()).replace("\u2212", "-")
            self.assertIn(f"r = {stats.pearsonr(x, y)[0]:.3f}", text)
            self.assertIn(f"\u03c1 = {stats.spearmanr(x, y)[0]:.3f}", text)
            self.assertIn(f"R\u00b2 = {1 - ((x - y) ** 2).sum() / ((x - x.mean()) ** 2).sum():.3f}", text)
            # The dots, not only the text: where they lie is linear in the values.
            places = {c[0].text.split(":")[0]: (float(c.get("cx")), float(c.get("cy")))
                      for c in svg.iter(f"{{{SVG}}}circle")}
            self.assertEqual(set(places), set(ids))
            drawn = np.array([places[name] for name in ids])
            self.assertGreater(stats.pearsonr(drawn[:, 0], x)[0], 0.999999)
            self.assertLess(stats.pearsonr(drawn[:, 1], y)[0], -0.999999)

    def test_sample_correlations_agree_with_scipy(self):
        svg = next(s for s in drawings(self.html) if s.get("aria-label").startswith("r of each sample"))
        titles = [c[0].text for c in svg.iter(f"{{{SVG}}}circle")]
        names = ["glucose_1", "glucose_2", HOSTILE]
        for split in ("valid", "test"):
            measured, predicted, _ = self.measured_and_predicted(split)
            r = [stats.pearsonr(measured[:, s], predicted[:, s])[0] for s in range(3)]
            for name, value in zip(names, r):
                self.assertIn(f"{name}, {split}: r = {value:.3f}".replace("-", "\u2212"), titles)
            self.assertIn(f"{np.median(r):.3f} in {split}".replace("-", "\u2212"), svg.get("aria-label"))

    def test_curves_are_metrics_jsonl(self):
        with open(os.path.join(self.run_folder, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
        svg = next(s for s in drawings(self.html) if s.get("aria-label").startswith("Training loss"))
        titles = [c[0].text for c in svg.iter(f"{{{SVG}}}circle")]
        self.assertEqual(titles, [f"step {step}: {loss:.4f}" for step, loss in losses])
        labels = [s.get("aria-label") for s in drawings(self.html)]
        self.assertTrue(any(label.startswith("Validation Pearson r") for label in labels), labels)
        self.assertTrue(any(label.startswith("Learning rate") for label in labels), labels)

    def test_locus_is_chosen_or_given(self):
        out = os.path.join(self.folder, "locus.html")
        flagen("report", self.run_folder, "--locus", "chr:8001-12000", "--out", out)
        text = read(out)
        Page(text)
        svg = next(s for s in drawings(text) if "chr:8,001-12,000" in s.get("aria-label"))
        with open(os.path.join(self.folder, "genes.gff3")) as file:
            rows = [line.split("\t") for line in file if "\tgene\t" in line]
        inside = {row[8].split("locus_tag=")[1].strip(): row[6] for row in rows if int(row[3]) <= 12000 and int(row[4]) >= 8001}
        arrows = [p[0].text for p in svg.iter(f"{{{SVG}}}polygon")]
        self.assertEqual({re.match(r"(\w+) \((.)\)", a).groups() for a in arrows}, set(inside.items()))
        self.assertIn("chrZ", flagen("report", self.run_folder, "--locus", "chrZ:1-10", "--out", out, expect=2).stderr)

    def test_provenance_and_model(self):
        record = json.loads(read(os.path.join(self.run_folder, "run.json")))
        self.assertEqual(self.page.facts["trained by"], record["command_line"])
        self.assertEqual(self.page.facts["genome_md5"], record["inputs"]["genome_md5"])
        self.assertIn(record["versions"]["libtorch"], self.page.facts["versions"])
        self.assertIn("60 genes x 3 samples", self.page.facts["data"])
        self.assertIn("predictions are of step", self.page.facts["steps"])
        self.assertIn("40 steps in", self.page.facts["training time"])
        model = next(t for t in self.page.tables if t[0][0] == "stage")
        printed = flagen("info", self.run_folder).stdout
        for row in model[1:]:
            self.assertIn(row[0], printed)
        parameters = [int(row[3].replace(",", "")) for row in model[1:]]
        self.assertEqual(sum(parameters[:-1]), parameters[-1])

    def test_missing_pieces_are_said(self):
        out = os.path.join(self.folder, "bare.html")
        os.makedirs(self.bare, exist_ok=True)
        flagen("report", self.bare, "--out", out)
        notes = " ".join(Page(read(out)).notes)
        for words in ("No eval.json", "No predictions.h5"):
            self.assertIn(words, notes)
        # Without its data, with a cut metrics file, without a log: a page all the same.
        moved = os.path.join(self.folder, "moved")
        shutil.copytree(self.run_folder, moved)
        config = json.loads(read(os.path.join(moved, "config.json")))
        config["data"]["fasta"] = os.path.join(self.folder, "absent.fa")
        with open(os.path.join(moved, "config.json"), "w") as file:
            json.dump(config, file)
        os.remove(os.path.join(moved, "log.txt"))
        with open(os.path.join(moved, "metrics.jsonl"), "a") as file:
            file.write('{"step":45,"lo')
        flagen("report", moved, "--out", out)
        page = Page(read(out))
        self.assertIn("absent.fa", " ".join(page.notes))
        self.assertIn("1 lines of metrics.jsonl", " ".join(page.notes))
        self.assertIn("names no end", page.facts["training time"])
        # A damaged prediction file is said where it was found, and is an error where it was asked for.
        with open(os.path.join(moved, "predictions.h5"), "wb") as file:
            file.write(b"no hdf5")
        flagen("report", moved, "--out", out)
        self.assertIn("could not be read", " ".join(Page(read(out)).notes))
        flagen("report", moved, "--out", out, "--predictions", os.path.join(moved, "predictions.h5"), expect=3)

    def test_no_run_is_a_user_error(self):
        out = os.path.join(self.folder, "never.html")
        for path in (self.folder, os.path.join(self.folder, "absent"), self.config):
            self.assertIn("run folder", flagen("report", path, "--out", out, expect=2).stderr)
        flagen("report", expect=2)
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main()
