# What the CPU suites share; sourced. The shape of Qwen3-0.6B in q8_0 with random weights, d_search 128, K 128, q8_0
# search keys; 4 reserved layers and none.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
models=build/bench
threads=${THREADS-$(nproc)}

cmake --preset stock >/dev/null
cmake --build --preset stock --target stock-bench >/dev/null
mkdir -p "$models"

model=$models/qwen3-0.6b-ann.gguf peer=$models/qwen3-0.6b.gguf
[ -f "$model" ] || ./ann synth --shape qwen3-0.6b --quant q8_0 --ann-layers all --d-search 128 -o "$model"
[ -f "$peer" ] || ./ann synth --shape qwen3-0.6b --quant q8_0 --ann-layers none -o "$peer"

# options of bench. A record is written where $suite is not empty.
bench_beside_stock() {
    local record=()
    [ -z "$suite" ] || record=(--record "$suite")
    ./ann bench -m "$model" --stock --stock-model "$peer" --modes "${MODES-dense,exact}" --reserve 4,0 \
        --top-k 128 --type-s q8_0 --threads "$threads" "$@" "${record[@]}"
}
