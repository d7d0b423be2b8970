#!/usr/bin/env bash
# Prompts at depth on CPUs, beside the unpatched library: slices of a long prompt, in caches filled with random contents;
# model, search and cache as in cpu-common.sh. Some fifteen minutes on two idle cores, nearly all of it the peer.
#
#   benchmarks/suites/cpu-prefill.sh            appends to benchmarks/records/MACHINE/DATE-cpu-prefill.jsonl
#   SUITE= benchmarks/suites/cpu-prefill.sh     tries, without a record
#   DEPTHS="0 8192" THREADS=2 benchmarks/suites/cpu-prefill.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cpu-common.sh"
suite=${SUITE-cpu-prefill}
read -r -a depths <<<"${DEPTHS-0 8192 32768 131072}"

for depth in "${depths[@]}"; do
    # the deeper, the shorter the slice: the peer computes 512 tokens at 32k in minutes
    n=512 r=3
    [ "$depth" -lt 16384 ] || r=2
    [ "$depth" -lt 65536 ] || n=64 r=2
    bench_beside_stock -p "$n" -n 0 -r "$r" -d "$depth" --ubatch "$n" --no-warmup
done
