#!/usr/bin/env bash
# Decode at depth on CPUs, beside the unpatched library: the shape of Qwen3-0.6B in q8_0 with random weights, d_search
# 128, K 128, q8_0 search keys; 4 reserved layers and none. Fills caches with random contents. Some ten minutes on two
# idle cores; the peer without search takes nearly all of it.
#
#   benchmarks/suites/cpu-decode.sh            appends to benchmarks/records/MACHINE/DATE-cpu-decode.jsonl
#   SUITE= benchmarks/suites/cpu-decode.sh     tries, without a record
#   DEPTHS="0 4096" THREADS=2 benchmarks/suites/cpu-decode.sh
#
# At 131072 cells a context takes 15 GB with f16 K/V: one after the other where they do not fit together.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
models=build/bench
suite=${SUITE-cpu-decode}
threads=${THREADS-$(nproc)}
read -r -a depths <<<"${DEPTHS-0 4096 32768 131072}"
record=()
[ -z "$suite" ] || record=(--record "$suite")

cmake --preset stock >/dev/null
cmake --build --preset stock --target stock-bench >/dev/null
mkdir -p "$models"

synthesise() { # file, searched layers
    [ -f "$models/$1" ] || ./ann synth --shape qwen3-0.6b --quant q8_0 --ann-layers "$2" --d-search 128 -o "$models/$1"
}
synthesise qwen3-0.6b-r4.gguf reserve:4
synthesise qwen3-0.6b-r0.gguf all
[ -f "$models/qwen3-0.6b.gguf" ] || ./ann synth --shape qwen3-0.6b --quant q8_0 --ann-layers none -o "$models/qwen3-0.6b.gguf"

for depth in "${depths[@]}"; do
    # the peer takes seconds a token at depth: fewer tokens, and a small ubatch, whose scores it keeps without flash
    # attention (4 bytes x cells x ubatch x heads)
    n=32 r=5 ubatch=512
    [ "$depth" -lt 16384 ] || n=8 r=3
    [ "$depth" -lt 65536 ] || n=4 r=3 ubatch=32
    for reserved in 4 0; do
        modes=exact
        [ "$reserved" -eq 0 ] || modes=dense,exact
        ./ann bench -m "$models/qwen3-0.6b-r$reserved.gguf" --stock --stock-model "$models/qwen3-0.6b.gguf" \
            --modes "$modes" -p 0 -n "$n" -r "$r" -d "$depth" --top-k 128 --type-s q8_0 --ubatch "$ubatch" \
            --threads "$threads" "${record[@]}"
    done
done
