#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds, checks and times everything, in one run of about twelve minutes on 16 cores
# (half of it nvcc). Needs nvcc, CMake, Ninja, Python 3, 40 GB in MODELS (a memory disk is best), about 60 GB on the GPU.
#
#   benchmarks/suites/cuda.sh                     appends to benchmarks/records/MACHINE/DATE-cuda-{ops.txt,depth.jsonl}
#   ARCH=89 DEPTHS="0 32768" benchmarks/suites/cuda.sh
#   PLACEMENTS=1 benchmarks/suites/cuda.sh        also times caches in main memory (20 GB of it), some minutes more
#   BUILD=dir STOCK=dir benchmarks/suites/cuda.sh does not build: uses these build folders (ours, the unpatched library's)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
arch=${ARCH-90}
models=${MODELS-/dev/shm}
machine=${MACHINE-$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1 | tr 'A-Z ' 'a-z-')}
records=${RECORDS-benchmarks/records/$machine}
commit=${COMMIT-$(git rev-parse HEAD)}
day=$(date -u +%F)
read -r -a depths <<<"${DEPTHS-0 32768 131072 262144}"
mkdir -p "$records"

if [ -z "${BUILD-}" ]; then
    BUILD=build/cuda STOCK=build/stock-cuda
    cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$arch-real" -DGGML_CUDA_NCCL=OFF
    cmake --build --preset cuda --target all ann-op-bench ann-bench synth-model
    cmake --preset stock -B "$STOCK" -DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$arch-real" -DGGML_CUDA_NCCL=OFF
    cmake --build "$STOCK" --target stock-bench ggml-cuda
fi

echo "== checks"
export OMP_WAIT_POLICY=passive
failed=0 # the figures are taken all the same
"$BUILD/tests/test-ann-gpu" 2>/dev/null || failed=1
"$BUILD/tests/test-model-gpu" 2>/dev/null || failed=1
"$BUILD/tests/test-search-memory" 2>/dev/null || failed=1

echo "== ops"
"$BUILD/benchmarks/ann-op-bench" "$root/$BUILD/bin" 2>/dev/null | tee -a "$records/$day-cuda-ops.txt"

echo "== contexts"
synthesise() { # weights, layers without search (-1: no projections), file
    [ -f "$models/$3" ] || "$BUILD/benchmarks/synth-model" "$1" "$2" "$models/$3"
}
synthesise f16  -1 qwen3-4b-f16.gguf
synthesise f16  4  qwen3-4b-f16-r4.gguf
synthesise f16  0  qwen3-4b-f16-r0.gguf
synthesise q4_0 -1 qwen3-4b-q4_0.gguf
synthesise q4_0 4  qwen3-4b-q4_0-r4.gguf
python3 benchmarks/suites/cuda.py --bin "$BUILD" --stock "$STOCK" --models "$models" --depths "${depths[@]}" \
    --record "$records/$day-cuda-depth.jsonl" --commit "$commit" \
    --llama-cpp "$(sed -n 's/^tag  *//p' native/LLAMA_CPP_VERSION)" 2>/dev/null
if [ -n "${PLACEMENTS-}" ]; then
    unset OMP_WAIT_POLICY
    python3 benchmarks/suites/cuda.py --placements --bin "$BUILD" --stock "$STOCK" --models "$models" --depths 131072 --prompts \
        --record "$records/$day-cuda-placements.jsonl" --commit "$commit" \
        --llama-cpp "$(sed -n 's/^tag  *//p' native/LLAMA_CPP_VERSION)" 2>/dev/null
fi
exit "$failed"
