#!/usr/bin/env bash
# Breaks layer rules in a scratch copy of the tree and sees the configure step stop with the path named.
# Usage: layer_check_test.sh SOURCE_DIR TORCH_ROOT CMAKE
set -euo pipefail
source_dir=$1 torch_root=$2 cmake=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fresh_copy() {
    rm -rf "$scratch/tree"
    mkdir "$scratch/tree"
    (cd "$source_dir" && cp -r CMakeLists.txt cmake libfla genomics data models apps tests "$scratch/tree/")
}

configure() {
    "$cmake" -S "$scratch/tree" -B "$scratch/build" -G Ninja -DFLAGEN_CUDA=OFF -DFLAGEN_BUILD_TESTS=OFF \
        -DFLAGEN_BUILD_BENCHMARKS=OFF "-DFLAGEN_TORCH_ROOT=$torch_root" >"$scratch/log" 2>&1
}

expect_stop() {
    local name=$1 message=$2
    if configure; then
        echo "FAILED: $name: configure accepted it"; exit 1
    fi
    # CMake wraps messages; compare without white space.
    if ! tr -d ' \n' <"$scratch/log" | grep -qF "$(printf '%s' "$message" | tr -d ' ')"; then
        echo "FAILED: $name: expected \"$message\" in:"; cat "$scratch/log"; exit 1
    fi
    echo "ok: $name"
}

fresh_copy
configure || { echo "FAILED: the untouched copy does not configure"; cat "$scratch/log"; exit 1; }
echo "ok: untouched copy"

printf '\ntarget_link_libraries(flagen_genomics PRIVATE flagen::torch)\n' >>"$scratch/tree/genomics/CMakeLists.txt"
expect_stop "direct link" "Layer rule broken: flagen_genomics -> flagen_torch"

fresh_copy
printf '\ntarget_link_libraries(flagen_base PRIVATE flagen::torch)\n' >>"$scratch/tree/genomics/base/CMakeLists.txt"
expect_stop "link through another library" "Layer rule broken: flagen_base -> flagen_torch"

fresh_copy
printf '#include <torch/csrc/distributed/c10d/Store.hpp>\n' >>"$scratch/tree/models/src/model_config.cpp"
expect_stop "header of a forbidden layer" "Layer rule broken: flagen_models -> #include <torch/csrc/distributed"
