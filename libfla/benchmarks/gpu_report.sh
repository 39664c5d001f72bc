#!/usr/bin/env bash
# Proves the kernels on this machine's GPU and writes libfla/gpu_report.json: tests, compute-sanitizer, times.
#
#   gpu_report.sh                 builds what needs a GPU in build/release, then runs it
#   gpu_report.sh --pack DIR      builds and copies the programs into DIR, for a GPU machine without compilers
#   gpu_report.sh --bin DIR       runs what --pack copied; the checkout must hold the same kernel sources
#
# More options go to gpu_report.py (--help lists them): --out FILE, --python FILE, --skip sanitizer, ...
# FLAGEN_PRESET and FLAGEN_BUILD_DIR choose another build.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
readonly root

mode=run
folder=
if [ "${1:-}" = --pack ] || [ "${1:-}" = --bin ]; then
    if [ "$#" -lt 2 ]; then
        printf 'gpu_report.sh: %s needs a folder\n' "$1" >&2
        exit 2
    fi
    if [ "$1" = --pack ]; then
        mode=pack
    fi
    folder="$2"
    programs="$folder/gpu_programs.txt"
    shift 2
fi

venv_bin="$root/${FLAGEN_VENV:-.venv}/bin"
if [ "$mode" = pack ] || [ -z "$folder" ]; then
    export PATH="$venv_bin:$PATH"
    preset="${FLAGEN_PRESET:-release}"
    build="${FLAGEN_BUILD_DIR:-$root/build/$preset}"
    if [ ! -f "$build/build.ninja" ]; then
        (cd "$root" && cmake --preset "$preset")
    fi
    if ! cmake --build "$build" --parallel "${FLAGEN_JOBS:-$(nproc)}" --target gpu_programs; then
        printf 'gpu_report.sh: the build failed (no target gpu_programs: configured without CUDA)\n' >&2
        exit 1
    fi
    programs="$build/gpu_programs.txt"
fi

python="$(command -v python3)"
if [ -x "$venv_bin/python3" ]; then
    python="$venv_bin/python3"
fi
if [ "$mode" = pack ]; then
    exec "$python" "$root/libfla/benchmarks/gpu_report.py" pack --programs "$programs" --to "$folder" "$@"
fi
exec "$python" "$root/libfla/benchmarks/gpu_report.py" run --programs "$programs" "$@"
