#!/usr/bin/env bash
# Installs what is missing, builds build/release and runs the tests.
#
#   ./test.sh                 every test but those labelled slow
#   ./test.sh -L slow         options go to ctest; any of them replaces the default selection
set -euo pipefail
cd "$(dirname "$0")"

setup_options=()
if [ "${1:-}" = --no-system-packages ]; then
    setup_options=(--no-system-packages)
    shift
fi
./setup.sh "${setup_options[@]}"
export PATH="$PWD/${FLAGEN_VENV:-.venv}/bin:$PATH"
readonly preset="${FLAGEN_PRESET:-release}"

printf '[test] configure (%s)\n' "$preset"
# Named here because the quickstart may have configured the same folder before, and CMake remembers.
cmake --preset "$preset" -DFLAGEN_BUILD_TESTS=ON >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; exit 1; }
rm -f "build-$preset.log"
printf '[test] build\n'
cmake --build "build/$preset" --parallel "${FLAGEN_JOBS:-$(nproc)}"
if [ "$preset" = ci ]; then
    printf '[test] every public header compiles alone\n'
    cmake --build "build/$preset" --parallel "${FLAGEN_JOBS:-$(nproc)}" --target all_verify_interface_header_sets
fi

printf '[test] '
python3 libfla/benchmarks/gpu_sources_digest.py --check libfla/gpu_report.json

printf '[test] run\n'
if [ "$#" -eq 0 ]; then
    set -- -LE slow
fi
ctest --test-dir "build/$preset" --no-tests=error --output-on-failure --parallel "${FLAGEN_JOBS:-$(nproc)}" "$@"
