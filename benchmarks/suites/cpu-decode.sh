#!/usr/bin/env bash
# Decode at depth on CPUs, beside the unpatched library, in caches filled with random contents; model, search and cache
# as in cpu-common.sh. Some ten minutes on two idle cores; the peer without search takes nearly all of it.
#
#   benchmarks/suites/cpu-decode.sh            appends to benchmarks/records/MACHINE/DATE-cpu-decode.jsonl
#   SUITE= benchmarks/suites/cpu-decode.sh     tries, without a record
#   DEPTHS="0 4096" THREADS=2 benchmarks/suites/cpu-decode.sh
#
# At 131072 cells a context takes 15 GB with f16 K/V: one after the other where they do not fit together.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cpu-common.sh"
suite=${SUITE-cpu-decode}
read -r -a depths <<<"${DEPTHS-0 4096 32768 131072}"

for depth in "${depths[@]}"; do
    # the peer takes seconds a token at depth: fewer tokens, and a small ubatch, whose scores it keeps without flash
    # attention (4 bytes x cells x ubatch x heads)
    n=32 r=5 ubatch=512
    [ "$depth" -lt 16384 ] || n=8 r=3
    [ "$depth" -lt 65536 ] || n=4 r=3 ubatch=32
    bench_beside_stock -p 0 -n "$n" -r "$r" -d "$depth" --ubatch "$ubatch"
done
