#!/usr/bin/env python3
"""Speed at depth on a GPU beside the unpatched library, for machines without .NET: the shape of Qwen3-4B with random
weights, d_search 128, caches filled with random contents. cuda.sh builds what it needs and calls it.

  cuda.py --bin BUILD --stock BUILD --models DIR --record FILE [--depths 0 32768 ...] [--prompts 131072 ...] [--variants TEXT]

One process a variant, one after the other (two contexts do not fit). Appends a JSON line a test to FILE, prints a table.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys

# Below it a searched layer costs more than attention to all cells (on an H100; docs/notes): contexts are dense until then.
MIN_CONTEXT = 8192

# name, program, weights, layers without search (None: the unpatched library), top_k, type of search keys
VARIANTS = [
    ("stock f16", "stock", "f16", None, None, None),
    ("r4 f16 k128", "ann", "f16", 4, 128, "f16"),
    ("r0 f16 k128", "ann", "f16", 0, 128, "f16"),
    ("r4 f16 k128 q8_0 keys", "ann", "f16", 4, 128, "q8_0"),
    ("r4 f16 k256", "ann", "f16", 4, 256, "f16"),
    ("stock q4_0", "stock", "q4_0", None, None, None),
    ("r4 q4_0 k128", "ann", "q4_0", 4, 128, "f16"),
    ("r4 q4_0 k128 q8_0 keys", "ann", "q4_0", 4, 128, "q8_0"),
]
PROMPT_VARIANTS = ("stock f16", "r4 f16 k128")  # long prompts take half a minute


class Program:
    """A bench program: one JSON command in, one JSON answer out."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{request}: the program ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{request}: {answer['error']}")
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def tests_of(depth):
    """(prompt tokens, generated tokens, repetitions)"""
    tests = [(0, 32, 5)]
    if depth in (0, 131072):
        tests.append((512, 0, 3))
    return tests


def gpu_info():
    query = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,memory.total,power.limit"
    try:
        row = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, check=True)
        name, driver, *state = [x.strip() for x in row.stdout.splitlines()[0].split(",")]
        return name, driver, dict(zip(query.split(",")[2:], state))
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return "", "", {}


def tests_of_prompt(tokens):
    """One whole prompt from an empty context, once: its time is the time to the first token."""
    return [(tokens, 0, 1)]


def run_variant(args, variant, stock_ns, rows):
    name, program, weights, reserved, top_k, type_s = variant
    model = os.path.join(args.models, f"qwen3-4b-{weights}" + ("" if reserved is None else f"-r{reserved}") + ".gguf")
    command = [f"{args.stock}/bin/stock-bench", f"{args.stock}/bin"] if program == "stock" else [f"{args.bin}/benchmarks/ann-bench"]
    bench = Program(command)
    gpu, driver, _ = gpu_info()
    prompts = args.prompts if name in PROMPT_VARIANTS else []
    for depth, tests in [(d, tests_of(d)) for d in args.depths] + [(0, tests_of_prompt(n)) for n in prompts]:
        options = {} if program == "stock" else {"top_k": top_k, "type_s": type_s, "mode": 2, "min_context": MIN_CONTEXT}
        opened = bench(cmd="open", model=model, n_ctx=depth + max(pp for pp, _, _ in tests) + 1024, threads=8, n_batch=2048, n_ubatch=512, flash=1,
                       type_k="f16", type_v="f16", **options)
        if depth:
            bench(cmd="fill", n=depth, seed=1)
        for pp, tg, repetitions in tests:
            bench(cmd="run", pp=min(pp, 1024), tg=min(tg, 8))  # warm
            samples = [bench(cmd="run", pp=pp, tg=tg)["ns"] for _ in range(repetitions)]
            median = int(statistics.median(samples))
            key = (weights, pp, tg, depth)
            if program == "stock":
                stock_ns[key] = median
            ratio = stock_ns[key] / median if key in stock_ns else None
            state = gpu_info()[2]
            row = {
                "build_commit": args.commit, "gpu_info": gpu, "driver": driver, "model_filename": os.path.basename(model),
                "model_size": opened["model_bytes"], "n_batch": 2048, "n_ubatch": 512, "n_threads": 8, "type_k": "f16", "type_v": "f16",
                "n_gpu_layers": -1, "flash_attn": 1, "n_prompt": pp, "n_gen": tg, "n_depth": depth,
                "test_time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "avg_ns": int(statistics.mean(samples)), "stddev_ns": int(statistics.pstdev(samples)), "samples_ns": samples,
                "llama_cpp": args.llama_cpp, "search": "stock" if program == "stock" else "exact", "mode": name, "n_top_k": top_k,
                "n_reserved": reserved, "type_search": type_s, "fill": "random" if depth else "none", "median_ns": median,
                "ratio_to_stock": ratio, "recall_index": None if program == "stock" else 1.0,
                "k_bytes": opened["k_bytes"], "v_bytes": opened["v_bytes"], "search_bytes": opened.get("search_bytes", 0),
                "gpu_state": state, "host_load": os.getloadavg()[0], "command": " ".join(sys.argv),
            }
            rows.append(row)
            with open(args.record, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            per_s = (pp + tg) * 1e9 / median
            print(f"{name:24} {'pp' if pp else 'tg'}{pp or tg} @ {depth:6}: {per_s:9.1f} tok/s {median/1e6/(tg or 1):8.3f} ms"
                  + (f"  x{ratio:.2f}" if ratio else ""), flush=True)
    bench.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="build folder of this library")
    parser.add_argument("--stock", required=True, help="build folder of the unpatched one")
    parser.add_argument("--models", required=True, help="folder of the models of synth-model")
    parser.add_argument("--record", required=True)
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 32768, 131072, 262144])
    parser.add_argument("--prompts", type=int, nargs="*", default=[131072], help="lengths of whole prompts to time")
    parser.add_argument("--variants", default="", help="only those whose name contains it; several: a|b")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--llama-cpp", default="unknown")
    args = parser.parse_args()
    stock_ns, rows = {}, []
    for variant in VARIANTS:
        if args.variants and not any(part in variant[0] for part in args.variants.split("|")):
            continue
        try:
            run_variant(args, variant, stock_ns, rows)
        except RuntimeError as error:
            print(f"{variant[0]}: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
