#!/usr/bin/env bash
# Quality of a model with search projections on the held-out text: every verb of `./ann eval`, then its report.
#
#   benchmarks/suites/evaluation.sh [MODEL] [OUT] [THREADS]
#
# OUT (default benchmarks/evaluation/MODEL's name) keeps one JSON per verb, the report, and a journal of finished windows:
# an interrupted run goes on. About an hour on one core for the embedded model; ANN_EVAL_SCALE=N takes N times the windows.
set -euo pipefail
cd "$(dirname "$0")/../.."
model=${1:-models/ann-rotated-d64-q8_0.gguf}
out=${2:-benchmarks/evaluation/$(basename "$model" .gguf)}
threads=${3:-2}
scale=${ANN_EVAL_SCALE:-1}

run() { # verb, options...
    local verb=$1
    shift
    ./ann eval "$verb" -m "$model" --out "$out" --threads "$threads" "$@"
}

run ppl      -w $((4 * scale)) --variants dense,exact:128,exact:256
run paired   -w $((4 * scale)) --variants exact:256,dense,exact:128
run layers   -w "$scale"
run dynamic  -w "$scale"
run sweep    -w "$scale" --selectors exact,oracle,pages,recent,bigbird,lsh,random --top-k 64,128,256
run kld      -w "$scale" --variants exact:128,exact:256
run coverage -w "$scale"
run tasks    --tasks password --lengths 1024,2048,4096 --samples 6 --variants dense,exact:128,exact:256
./ann eval report "$out"
