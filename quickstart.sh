#!/usr/bin/env bash
# From a clone to predicted gene expression: installs what is missing, builds, fetches the E. coli data, trains,
# predicts every gene, says how good that is on a held-out stretch of the genome, and draws it. A second run takes seconds.
#
#   ./quickstart.sh                 all of it; results in runs/ecoli/
#   ./quickstart.sh --no-system-packages
set -euo pipefail
cd "$(dirname "$0")"

readonly run=runs/ecoli config=models/presets/ecoli_quickstart.json
readonly data=data/ecoli
readonly wheel=pymodulon-0.2.1-py3-none-any.whl
readonly wheel_sha256=24cf88b53e7dfe69c3bc1d4f3e28b2d30a0bf874eab1930d22208aff3ddd81b8

started=$SECONDS
step_started=$SECONDS
step() {
    printf '[quickstart] %4ds (+%ds)  %s\n' "$((SECONDS - started))" "$((SECONDS - step_started))" "$*"
    step_started=$SECONDS
}

./setup.sh "$@"
export PATH="$PWD/${FLAGEN_VENV:-.venv}/bin:$PATH"

step "build"
cmake --preset release >/dev/null
cmake --build build/release --parallel "$(nproc)" --target flagen
readonly flagen=build/release/bin/flagen

step "data: E. coli K-12 MG1655 genome and 278 expression samples (PRECISE)"
if [ ! -f "$data/.complete" ]; then
    mkdir -p "$data"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$data" pymodulon==0.2.1
    echo "$wheel_sha256  $data/$wheel" | sha256sum --check --quiet - || {
        echo "quickstart.sh: the downloaded data set has another checksum than expected: $data/$wheel" >&2
        exit 1
    }
    for file in genome.fasta genome.gff3 log_tpm.csv sample_table.csv; do
        unzip -p "$data/$wheel" "pymodulon/data/ecoli/$file" >"$data/$file"
    done
    rm "$data/$wheel"
    touch "$data/.complete"
fi

step "train (windows of 524,288 bp)"
"$flagen" train "$config" --out "$run" --resume auto

step "predict every gene"
if [ ! -f "$run/predictions.h5" ] || [ "$run/checkpoints/best" -nt "$run/predictions.h5" ]; then
    "$flagen" predict "$run" --out "$run/predictions.h5"
fi

step "evaluate on the held-out blocks"
if [ ! -f "$run/eval.json" ] || [ "$run/predictions.h5" -nt "$run/eval.json" ]; then
    "$flagen" eval "$run/config.json" "$run/predictions.h5" --out "$run/eval.json" | tee "$run/eval.txt"
else
    cat "$run/eval.txt"
fi

step "draw"
if [ ! -f "$run/report.html" ] || [ "$run/eval.json" -nt "$run/report.html" ]; then
    "$flagen" report "$run"
fi
step "done: checkpoints, metrics.jsonl, predictions.h5 and eval.json are in $run; open $run/report.html in a browser"
