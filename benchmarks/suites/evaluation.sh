#!/usr/bin/env bash
# Quality of a model with search projections on the held-out text: every verb of `./ann eval`, then its report.
#
#   benchmarks/suites/evaluation.sh [MODEL] [OUT] [THREADS]
#
# OUT (default build/evaluation/MODEL's name) keeps one JSON per verb, the report, and journals of finished windows and
# answers: an interrupted run goes on. About three quarters of an hour on one core for the embedded model;
# ANN_EVAL_SCALE=N takes N times the windows. For the embedded model also: its former kinds of projections beside it.
set -euo pipefail
cd "$(dirname "$0")/../.."
embedded=models/ann-rotated-d64-q8_0.gguf
model=${1:-$embedded}
out=${2:-build/evaluation/$(basename "$model" .gguf)}
threads=${3:-2}
scale=${ANN_EVAL_SCALE:-1}

run() { # verb, options...
    local verb=$1
    shift
    ./ann eval "$verb" -m "$model" --out "$out" --threads "$threads" "$@"
}
# selectors that are computed naively, and comparisons of many variants: windows of 2048 tokens, a folder of their own
run_2k() {
    local verb=$1
    shift
    ./ann eval "$verb" -m "$model" --out "$out-2k" --threads "$threads" --length 2048 "$@"
}

run paired      -w $((8 * scale)) --variants exact:256,dense,exact:128
run ppl         -w $((8 * scale)) --variants dense,exact:128,exact:256
run layers      -w "$scale"
run ppl         -w $((2 * scale)) --name generated --decode 256 --mass --variants dense,exact:128,hnsw:128,exact:256,hnsw:256
run_2k coverage -w $((2 * scale)) --step 3
run_2k sweep    -w "$scale" --name selectors --selectors exact,oracle,pages,recent,bigbird,lsh,random --top-k 64,128,256
run sweep       -w "$scale"
run tasks       --name passwords --tasks password --lengths 1024,2048,4096 --samples 6 --variants dense,exact:128,hnsw:128
run_2k paired   -w $((4 * scale)) --name pages-128 --variants exact:128,pages:128
run_2k paired   -w $((4 * scale)) --name pages-256 --variants exact:256,pages:256
run kld         -w "$scale" --variants exact:128,exact:256
run dynamic     -w "$scale"
run tasks       --lengths 1024 --samples 2 --variants dense,exact:128
run scaling     --cells 4096,16384

if [ "$model" = "$embedded" ]; then
    work=build/evaluation/models
    mkdir -p "$work"
    if [ ! -f "$work/content-d64.gguf" ]; then
        ./ann split "$model" -o "$work/rotated.safetensors" --base "$work/base.gguf"
        ./ann merge "$work/base.gguf" models/projections/projections-content-d64.safetensors -o "$work/content-d64.gguf" --metric ip
    fi
    run_2k paired -w $((4 * scale)) --name content --against "$work/content-d64.gguf" --variants dense,exact:128
    run_2k ppl    -w $((4 * scale)) --name no-window --sinks 0 --window 0 --variants dense,exact:128,exact:256
    model=$work/content-d64.gguf
    out=build/evaluation/content-d64
    run_2k ppl    -w $((4 * scale)) --name content --variants dense,exact:128,exact:256
    run_2k ppl    -w $((4 * scale)) --name content-window --sinks 4 --window 32 --variants dense,exact:128,exact:256
fi
for folder in build/evaluation/*/; do
    if compgen -G "$folder*.jsonl" > /dev/null; then
        ./ann eval report "$folder"
    fi
done
