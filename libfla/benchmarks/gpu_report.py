#!/usr/bin/env python3
"""Runs the programs that need a GPU and writes the report; gpu_report.sh builds them and calls this."""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import gpu_sources_digest

ROOT = gpu_sources_digest.ROOT
TORCH_TEST = ROOT / "tests/libfla/test_cuda_ops.py"
SKIPPED = 77
STEPS = ("tests", "torch", "sanitizer", "bench")

# compute-sanitizer: test program, cases that are small enough for it.
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZED = {"gated_kernel_gpu_test": "*SharesQueryHeads*:*ServesEveryPairOfWidths*:*TokenByToken*"}


def say(text):
    print(f"[gpu report] {text}", flush=True)


def output_of(*command, cwd=ROOT):
    """First line that the command prints, or None if it cannot be run."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines else ""


def git_hash():
    value = output_of("git", "rev-parse", "--short=12", "HEAD")
    if value is None:
        return "unknown"
    # Kernels and their tests; other work in progress does not make the report doubtful.
    changed = output_of("git", "status", "--porcelain", "--", "libfla", "tests/libfla", "cmake")
    return value + ("-dirty" if changed else "")


def find_tool(name):
    return shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")


def cuda_version():
    nvcc = find_tool("nvcc")
    if nvcc is None:
        return "unknown"
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release [\d.]+, V([\d.]+)", text)
    return found.group(1) if found else "unknown"


def build_record():
    digests = gpu_sources_digest.file_digests()
    return {"git_hash": git_hash(), "cuda": cuda_version(), "sources_digest": gpu_sources_digest.digest(digests),
            "sources": digests}


def read_programs(path):
    """Returns (kind, file) pairs; relative files lie beside the list."""
    if not path.is_file():
        sys.exit(f"gpu report: {path} does not exist; gpu_report.sh --pack or a build with CUDA writes it")
    pairs = [line.split(" ", 1) for line in path.read_text().splitlines() if line]
    programs = [(kind, (path.parent / name).resolve()) for kind, name in pairs]
    missing = [str(file) for _, file in programs if not file.is_file()]
    if missing:
        sys.exit("gpu report: not built: " + ", ".join(missing))
    return programs


def pack(options):
    options.to.mkdir(parents=True, exist_ok=True)
    lines = []
    for kind, file in read_programs(options.programs):
        shutil.copy2(file, options.to / file.name)
        subprocess.run(["strip", options.to / file.name], check=True)
        lines.append(f"{kind} {file.name}\n")
    (options.to / "gpu_programs.txt").write_text("".join(lines))
    (options.to / "build.json").write_text(json.dumps(build_record(), indent=1) + "\n")
    say(f"packed {len(lines)} files into {options.to}")


def built_from(programs):
    """What the programs were built from: as packed, or the checkout."""
    here = build_record()
    packed = programs.parent / "build.json"
    if not packed.is_file():
        return here
    record = json.loads(packed.read_text())
    if record["sources_digest"] != here["sources_digest"]:
        names = sorted(n for n in record["sources"].keys() | here["sources"].keys()
                       if record["sources"].get(n) != here["sources"].get(n))
        sys.exit("gpu report: the packed programs are of other kernel sources: " + ", ".join(names))
    return record


def query_gpu(fields):
    line = output_of("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "-i", "0")
    names = fields.split(",")
    return dict(zip(names, [v.strip() for v in line.split(",")])) if line else dict.fromkeys(names, "unknown")


def describe_device():
    gpu = query_gpu("name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,compute_cap")
    return {"name": gpu["name"], "driver": gpu["driver_version"], "memory_mib": gpu["memory.total"],
            "compute_capability": gpu["compute_cap"], "max_sm_mhz": gpu["clocks.max.sm"],
            "max_memory_mhz": gpu["clocks.max.memory"], "power_limit_w": gpu["power.limit"]}


def run_logged(command, limit_s, **options):
    """Returns exit status (None: out of time), output, seconds."""
    begin = time.monotonic()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=limit_s, **options)
        status, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, text = None, (late.stdout or b"").decode(errors="replace")
    return status, text, round(time.monotonic() - begin, 1)


def show_failure(name, text):
    say(f"{name} FAILED; its last lines:")
    print("\n".join(text.splitlines()[-60:]), flush=True)


def run_gtest(file, limit_s):
    with tempfile.TemporaryDirectory() as folder:
        result_file = pathlib.Path(folder) / "result.json"
        status, text, seconds = run_logged([str(file), f"--gtest_output=json:{result_file}", "--gtest_brief=1"], limit_s)
        entry = {"name": file.name, "passed": 0, "failed": 0, "skipped": 0, "seconds": seconds, "failures": []}
        cases = []
        if result_file.is_file():
            suites = json.loads(result_file.read_text())["testsuites"]
            cases = [case for suite in suites for case in suite["testsuite"]]
    for case in cases:
        name = f"{case['classname']}.{case['name']}"
        if case.get("failures"):
            entry["failed"] += 1
            entry["failures"].append(name)
        elif case["result"] == "SKIPPED":
            entry["skipped"] += 1
        else:
            entry["passed"] += 1
    if status != 0 and entry["failed"] == 0:
        entry["failed"] = 1
        entry["failures"].append("out of time" if status is None else f"ended with {status}")
    if entry["failed"]:
        show_failure(file.name, text)
    return entry


def run_torch_test(python, library, limit_s):
    status, text, seconds = run_logged([python, str(TORCH_TEST), str(library), "-v"], limit_s)
    entry = {"name": TORCH_TEST.name, "passed": 0, "failed": 0, "skipped": 0, "seconds": seconds, "failures": []}
    if status == SKIPPED:
        entry["skipped"] = 1
        return entry
    ran = re.search(r"^Ran (\d+) tests? in", text, re.MULTILINE)
    entry["skipped"] = sum(map(int, re.findall(r"skipped=(\d+)", text)))
    # A test with several failing parts counts once.
    entry["failures"] = sorted(set(re.findall(r"^(?:FAIL|ERROR): (\w+)", text, re.MULTILINE)))
    entry["failed"] = len(entry["failures"])
    if ran:
        entry["passed"] = int(ran.group(1)) - entry["failed"] - entry["skipped"]
    if status != 0 and entry["failed"] == 0:
        entry["failed"] = 1
        entry["failures"].append("out of time" if status is None else f"ended with {status}")
    if entry["failed"]:
        show_failure(TORCH_TEST.name, text)
    return entry


def run_sanitizers(files, options):
    tool_file = find_tool("compute-sanitizer")
    results = []
    for file in files:
        cases = options.sanitizer_filter or SANITIZED.get(file.name)
        if file.name not in SANITIZED:
            continue
        for tool in SANITIZERS:
            entry = {"tool": tool, "program": file.name, "filter": cases, "result": "not run"}
            results.append(entry)
            if tool_file is None:
                say("compute-sanitizer was not found")
                continue
            command = [tool_file, f"--tool={tool}", "--error-exitcode=9", "--print-limit=5", str(file),
                       f"--gtest_filter={cases}", "--gtest_brief=1"]
            status, text, entry["seconds"] = run_logged(command, options.limit)
            entry["result"] = "passed" if status == 0 else "out of time" if status is None else "failed"
            entry["summary"] = next(reversed(re.findall(r"=+ (.*SUMMARY.*)", text)), "")
            say(f"{tool} {file.name}: {entry['result']} {entry['summary']} ({entry['seconds']} s)")
            if status not in (0, None):
                show_failure(f"{tool} {file.name}", text)
    return results


def run_bench(file, options):
    """Returns rows and how the clocks were before and after."""
    clocks = "clocks.sm,clocks.mem,temperature.gpu,power.draw"
    before = query_gpu(clocks)
    command = [str(file)]
    for name, value in (("--filter", options.bench_filter), ("--repeats", options.repeats)):
        command += [name, value] if value else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)  # its table goes to the terminal
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for row in rows:
        row["hbm_floor_share"] = round(row["hbm_floor_ms"] / row["ms_median"], 4)
    return rows, {"program": file.name, "status": done.returncode, "before": before, "after": query_gpu(clocks)}


def write_report(path, report):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    rows = ",\n".join("  " + json.dumps(row) for row in report["rows"])
    text = json.dumps({**report, "rows": []}, indent=1)
    part.write_text(text.replace('"rows": []', f'"rows": [\n{rows}\n ]') + "\n")
    json.loads(part.read_text())
    os.replace(part, path)


def run(options):
    programs = read_programs(options.programs)
    build = built_from(options.programs)
    steps = [s for s in STEPS if s not in options.skip]
    torch_version = output_of(options.python, "-c", "import torch; print(torch.__version__)")
    report = {"device": describe_device(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
              "git_hash": build["git_hash"], "cuda": build["cuda"], "torch": torch_version or "none",
              "sources_digest": build["sources_digest"], "skipped_steps": sorted(options.skip)}
    tests = [file for kind, file in programs if kind == "test"]
    results = []
    if "tests" in steps:
        for file in tests:
            results.append(run_gtest(file, options.limit))
            say("{name}: {passed} passed, {failed} failed, {skipped} skipped ({seconds} s)".format(**results[-1]))
    if "torch" in steps:
        for library in [file for kind, file in programs if kind == "library"]:
            results.append(run_torch_test(options.python, library, options.limit))
            say("{name}: {passed} passed, {failed} failed, {skipped} skipped ({seconds} s)".format(**results[-1]))
    report["tests"] = {**{n: sum(r[n] for r in results) for n in ("passed", "failed", "skipped")}, "programs": results}
    report["sanitizers"] = run_sanitizers(tests, options) if "sanitizer" in steps else []
    report["benchmarks"], report["rows"] = [], []
    if "bench" in steps:
        for file in [file for kind, file in programs if kind == "bench"]:
            rows, record = run_bench(file, options)
            report["rows"] += rows
            report["benchmarks"].append(record)
    report["sources"] = build["sources"]
    write_report(options.out, report)
    bad = report["tests"]["failed"] + sum(s["result"] != "passed" for s in report["sanitizers"])
    bad += sum(b["status"] != 0 for b in report["benchmarks"])
    say(f"{options.out}: {report['tests']['passed']} tests passed, {bad} problems, {len(report['rows'])} rows")
    nothing_ran = bool(results) and report["tests"]["passed"] == 0
    return 1 if bad or nothing_ran else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packer = commands.add_parser("pack")
    packer.add_argument("--programs", type=pathlib.Path, required=True)
    packer.add_argument("--to", type=pathlib.Path, required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--programs", type=pathlib.Path, required=True, help="gpu_programs.txt of a build or a pack")
    runner.add_argument("--out", type=pathlib.Path, default=ROOT / "libfla/gpu_report.json")
    runner.add_argument("--python", default=sys.executable, help="the interpreter that has torch")
    runner.add_argument("--skip", choices=STEPS, action="append", default=[])
    runner.add_argument("--limit", type=int, default=600, help="seconds for one program or one sanitizer tool")
    runner.add_argument("--sanitizer-filter", help="gtest filter instead of the built-in one")
    runner.add_argument("--bench-filter", help="cases of the benchmark by a part of their name")
    runner.add_argument("--repeats", help="repeats of each benchmark case")
    options = parser.parse_args()
    if options.command == "pack":
        pack(options)
        return 0
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
