"""Writes a small synthetic data set: FASTA, GFF3, expression table and a configuration that trains in seconds."""

import json
import os
import random

GENOME_BP = 40_000
NUM_GENES = 60
SAMPLES = ["glucose_1", "glucose_2", "acetate_1"]


def reverse_complement(bases):
    return bases[::-1].translate(str.maketrans("ACGT", "TGCA"))


def write(folder, seed=1):
    """Returns the path of the configuration. Expression follows the GC content of a gene, so a model can learn it."""
    rng = random.Random(seed)
    bases = [rng.choice("ACGT") for _ in range(GENOME_BP)]
    genes = []
    position = 300
    for number in range(NUM_GENES):
        length = 3 * rng.randint(50, 120)
        strand = rng.choice("+-")
        gc = rng.uniform(0.2, 0.8)
        for i in range(position, position + length):
            bases[i] = rng.choice("GC") if rng.random() < gc else rng.choice("AT")
        genes.append((f"g{number:03d}", position, position + length, strand, gc))
        position += length + rng.randint(150, 350)
    assert position < GENOME_BP
    with open(os.path.join(folder, "genome.fa"), "w") as out:
        out.write(">chr\n")
        text = "".join(bases)
        out.writelines(text[i:i + 60] + "\n" for i in range(0, GENOME_BP, 60))
    with open(os.path.join(folder, "genes.gff3"), "w") as out:
        out.write("##gff-version 3\n")
        for name, start, end, strand, _ in genes:
            out.write(f"chr\ttest\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\tID=gene-{name};locus_tag={name}\n")
            out.write(f"chr\ttest\tCDS\t{start + 1}\t{end}\t.\t{strand}\t0\tID=cds-{name};Parent=gene-{name};locus_tag={name}\n")
    with open(os.path.join(folder, "expression.csv"), "w") as out:
        out.write("," + ",".join(SAMPLES) + "\n")
        for name, _, _, _, gc in genes:
            values = [10 * gc + shift + rng.gauss(0, 0.2) for shift in (0.0, 0.1, 1.0)]
            out.write(name + "," + ",".join(f"{v:.4f}" for v in values) + "\n")

    config = {
        "data": {
            "fasta": os.path.join(folder, "genome.fa"), "seq_length": 4096, "stride": 1024, "mutate_rate": 0.05,
            "splits": {"test_regions": ["chr:8001-16000"], "valid_regions": ["chr:24001-32000"]},
            "targets": [{
                "kind": "genes", "matrix": os.path.join(folder, "expression.csv"),
                "annotation": os.path.join(folder, "genes.gff3"), "feature": ["gene"], "gene_id": "locus_tag",
                "coding_feature": ["CDS"], "coding_gene_id": "locus_tag", "value": "log2_tpm"}]},
        "model": {
            "trunk": [
                {"name": "conv_dna", "filters": 8, "kernel_size": 9, "stride": 2, "norm_type": "batch",
                 "activation": "relu"},
                {"name": "conv_tower", "filters": [12, 16], "kernel_size": 5, "stride": 2, "norm_type": "batch",
                 "activation": "relu"},
                {"name": "linear_attn", "kind": "scalar", "heads": 2, "key": 8, "value": 8, "bidirectional": True,
                 "dropout": 0.1}],
            "heads": {"genes": {"hidden": 16, "token_dropout": 0.2}}},
        "train": {"batch_size": 2, "max_steps": 40, "seed": 3, "log_every_steps": 5, "valid_every_steps": 10,
                  "checkpoint_every_steps": 5,
                  "learning_rate": {"kind": "warmup_cosine", "peak": 0.005, "warmup_steps": 5}},
        "predict": {"stride": 2048, "shifts": [0, 8]}}
    path = os.path.join(folder, "params.json")
    with open(path, "w") as out:
        json.dump(config, out, indent=1)
    return path


TRACKS = ["gc", "cpg+", "cpg-"]


def write_tracks(folder, config_path, genes=True):
    """Adds measured tracks to the data set of write(): bigWigs of base composition, a stranded pair among them, and
    targets.txt. Returns the path of a configuration with a tracks head (and without genes, if `genes` is false)."""
    import pyBigWig

    with open(os.path.join(folder, "genome.fa")) as file:
        bases = "".join(line.strip() for line in file if not line.startswith(">"))
    signals = {
        "gc": [1.0 if b in "GC" else 0.0 for b in bases],
        "cpg+": [2.0 if b == "G" else 0.0 for b in bases],  # what the - strand reads as C
        "cpg-": [2.0 if b == "C" else 0.0 for b in bases],
    }
    for name, values in signals.items():
        with pyBigWig.open(os.path.join(folder, name + ".bw"), "w") as out:
            out.addHeader([("chr", len(bases))])
            out.addEntries("chr", 0, values=values, span=1, step=1)
    with open(os.path.join(folder, "targets.txt"), "w") as out:
        out.write("\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription\n")
        for row, (name, pair) in enumerate(zip(TRACKS, (0, 2, 1))):
            out.write(f"{row}\t{name}\t{name}.bw\t384\t6\t0.5\tsum_sqrt\t{pair}\t{'DNA' if row == 0 else 'RNA'}:{name}\n")
    with open(config_path) as file:
        config = json.load(file)
    tracks = {"kind": "tracks", "head": "tiny", "table": os.path.join(folder, "targets.txt"), "transform": "new"}
    config["model"]["head_tiny"] = {"name": "final", "units": 3, "activation": "softplus"}
    if genes:
        config["data"]["targets"].append(tracks)
    else:
        config["data"]["targets"] = [tracks]
        config["model"].pop("heads")
    path = os.path.join(folder, "tracks.json" if genes else "tracks_only.json")
    with open(path, "w") as out:
        json.dump(config, out, indent=1)
    return path


SECOND_TRACKS = ["at", "purine"]
SECOND_CONTIGS = {"alpha": 20_480, "beta": 12_288}


def write_second_species(folder, config_path, seed=2):
    """Adds a second genome, of two contigs and two unstranded tracks of its own, to a configuration of write_tracks().
    Returns the path of a configuration with a data section a species, whose heads are "tiny" and "second"."""
    import pyBigWig

    rng = random.Random(seed)
    second = os.path.join(folder, "second")
    os.makedirs(second, exist_ok=True)
    bases = {}
    for contig, length in SECOND_CONTIGS.items():
        share = [rng.uniform(0.2, 0.8) for _ in range(length // 256)]
        bases[contig] = "".join(rng.choice("AT") if rng.random() < share[i // 256] else rng.choice("GC")
                                for i in range(length))
    with open(os.path.join(second, "genome.fa"), "w") as out:
        for contig, text in bases.items():
            out.write(f">{contig}\n")
            out.writelines(text[i:i + 60] + "\n" for i in range(0, len(text), 60))
    with open(os.path.join(second, "targets.txt"), "w") as table:
        table.write("\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription\n")
        for row, (name, letters) in enumerate(zip(SECOND_TRACKS, ("AT", "AG"))):
            with pyBigWig.open(os.path.join(second, name + ".bw"), "w") as out:
                out.addHeader([(contig, len(text)) for contig, text in bases.items()])
                for contig, text in bases.items():
                    out.addEntries(contig, 0, values=[1.0 if b in letters else 0.0 for b in text], span=1, step=1)
            table.write(f"{row}\t{name}\t{name}.bw\t384\t6\t0.5\tsum_sqrt\t{row}\tDNA:{name}\n")
    with open(config_path) as file:
        config = json.load(file)
    config["data"] = [config["data"], {
        "fasta": os.path.join(second, "genome.fa"), "seq_length": 4096, "stride": 1024,
        "splits": {"test_contigs": ["beta"], "valid_regions": ["alpha:1-8192"]},
        "targets": [{"kind": "tracks", "head": "second", "table": os.path.join(second, "targets.txt"),
                     "transform": "new"}]}]
    config["model"]["head_second"] = {"name": "final", "units": 2, "activation": "softplus"}
    path = os.path.join(folder, "two_species.json")
    with open(path, "w") as out:
        json.dump(config, out, indent=1)
    return path
