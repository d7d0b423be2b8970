# What the CPU suites share; sourced. The shape of Qwen3-0.6B in q8_0 with random weights, d_search 128, K 128, q8_0
# search keys; 4 reserved layers and none.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
models=build/bench
threads=${THREADS-$(nproc)}

cmake --preset stock >/dev/null
cmake --build --preset stock --target stock-bench >/dev/null
mkdir -p "$models"

synthesise() { # file, searched layers
    [ -f "$models/$1" ] || ./ann synth --shape qwen3-0.6b --quant q8_0 --ann-layers "$2" --d-search 128 -o "$models/$1"
}
synthesise qwen3-0.6b-r4.gguf reserve:4
synthesise qwen3-0.6b-r0.gguf all
[ -f "$models/qwen3-0.6b.gguf" ] || ./ann synth --shape qwen3-0.6b --quant q8_0 --ann-layers none -o "$models/qwen3-0.6b.gguf"

# options of bench; with no reserved layer dense is left out, it is the same as with four. A record is written where
# $suite is not empty.
bench_beside_stock() { # reserved layers, options of bench...
    local reserved=$1 modes=exact record=()
    shift
    [ "$reserved" -eq 0 ] || modes=dense,exact
    [ -z "$suite" ] || record=(--record "$suite")
    ./ann bench -m "$models/qwen3-0.6b-r$reserved.gguf" --stock --stock-model "$models/qwen3-0.6b.gguf" --modes "$modes" \
        --top-k 128 --type-s q8_0 --threads "$threads" "$@" "${record[@]}"
}
