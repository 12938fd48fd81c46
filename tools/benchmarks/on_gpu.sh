#!/usr/bin/env bash
# Run everything that docs/gpu.md reports on one GPU: first the tests, then the benchmarks.
#   bash tools/benchmarks/on_gpu.sh OUT       write .txt and .json files to the folder OUT; about 10 minutes
set -u
out=${1:?name the folder for the results}
here=$(dirname "$0")
mkdir -p "$out"
run() {
    local name=$1 start=$SECONDS
    shift
    timeout -k 5 300 "$@" >"$out/$name.txt" 2>&1
    echo "$name: status $?, $((SECONDS - start)) s"
}
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | tee "$out/gpu.txt"
run tests python3 -m pytest -m gpu -n 8 -q "$here/../../tests"
run gan_training python3 "$here/gan_training.py" --out "$out/gan_training.json"
run negatives python3 "$here/negatives.py" --device cuda --rounds 20 --compile --out "$out/negatives.json"
run contrast_step python3 "$here/contrast_step.py" --device cuda --out "$out/contrast_step.json"
run exposure_step python3 "$here/exposure_step.py" --device cuda --out "$out/exposure_step.json"
run gan_step python3 "$here/gan_step.py" --device cuda --out "$out/gan_step.json"
tail -n 12 "$out"/*.txt
