#!/usr/bin/env python3
"""Digest of the files below libfla/ that are compiled into kernels: each .cu file and all it includes from there.

    gpu_sources_digest.py                                    prints the digest
    gpu_sources_digest.py --list                             prints each file with its own digest
    gpu_sources_digest.py --check libfla/gpu_report.json     says whether that report is of these files; never fails
"""

import argparse
import hashlib
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE_ROOTS = [ROOT / "libfla/src", ROOT / "libfla/include"]
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def files():
    """Paths below the repository's root, sorted."""
    found, left = set(), list((ROOT / "libfla/src").rglob("*.cu"))
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        for name in INCLUDE.findall(path.read_text()):
            # What is not found lies outside: the CPU's side of the device layer.
            candidates = [root / name for root in [path.parent, *INCLUDE_ROOTS]]
            left += [c.resolve() for c in candidates if c.is_file()][:1]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def file_digests():
    return {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in files()}


def digest(digests):
    """sha256 over "<sha256 of the file>  <path>" lines: what `sha256sum files | sha256sum` says."""
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def check(report_path):
    here = file_digests()
    if not report_path.is_file():
        return f"gpu report: none ({report_path})"
    report = json.loads(report_path.read_text())
    if report.get("sources_digest") == digest(here):
        return "gpu report: current"
    there = report.get("sources", {})
    changed = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    return "gpu report: STALE (" + ", ".join(changed or ["unknown files"]) + ")"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", metavar="REPORT", type=pathlib.Path)
    options = parser.parse_args()
    if options.check:
        print(check(options.check))
    elif options.list:
        print("".join(f"{value}  {name}\n" for name, value in file_digests().items()), end="")
    else:
        print(digest(file_digests()))


if __name__ == "__main__":
    main()
