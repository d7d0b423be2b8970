#!/usr/bin/env python3
"""Speed at depth on a GPU beside the unpatched library, for machines without .NET: the shape of Qwen3-4B with random
weights, d_search 128, caches filled with random contents. cuda.sh builds what it needs and calls it.

  cuda.py --bin BUILD --stock BUILD --models DIR --record FILE [--depths 0 32768 ...] [--prompts 131072 ...] [--variants TEXT]

One process a model, one variant after the other (two contexts do not fit). Appends a JSON line a test to FILE, prints a table.

  cuda.py --placements ... --depths 131072 times K/V, search keys and the index in main memory or on the GPU instead; K/V take
  19.3 GB of main memory then, and an index some minutes of its CPU.
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
# The same, and what "open" of ann-bench takes besides: beside K/V and keys on the GPU, everything in main memory, K/V there with
# keys on the GPU, keys there with K/V on the GPU, searched by the CPU exactly and by an index.
PLACEMENTS = [
    (f"r{reserved} f16 k128" + suffix, "ann", "f16", reserved, 128, "f16", options)
    for reserved in (4, 0)
    for suffix, options in (
        ("", {}),
        (", all on the host", {"kv_memory": "host"}),
        (", K/V on the host", {"kv_memory": "host", "search_memory": "device"}),
        (", keys on the host", {"search_memory": "host"}),
        (", keys on the host, hnsw", {"search_memory": "host", "mode": 3}),
    )
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
        try:
            self.process.stdin.close()
        except OSError:
            pass  # it ended
        self.process.wait()


def tests_of(depth, placements):
    """(prompt tokens, generated tokens, repetitions)"""
    if placements:
        return [(0, 16, 3), (512, 0, 1)]  # some prompts take a minute
    tests = [(0, 32, 5)]
    if depth in (0, 131072):
        tests.append((512, 0, 3))
    return tests


def gpu_info():
    query = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,memory.total,power.limit"
    try:
        row = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, check=True)
        rows = row.stdout.splitlines()
        name, driver, *state = [x.strip() for x in rows[0].split(",")]
        return (f"{len(rows)} x " if len(rows) > 1 else "") + name, driver, dict(zip(query.split(",")[2:], state))
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return "", "", {}


def tests_of_prompt(tokens):
    """One whole prompt from an empty context, once: its time is the time to the first token."""
    return [(tokens, 0, 1)]


def model_of(args, variant):
    _, _, weights, reserved, *_ = variant
    return os.path.join(args.models, f"qwen3-4b-{weights}" + ("" if reserved is None else f"-r{reserved}") + ".gguf")


def start(args, variant):
    program = variant[1]
    return Program([f"{args.stock}/bin/stock-bench", f"{args.stock}/bin"] if program == "stock" else [f"{args.bin}/benchmarks/ann-bench"])


def run_variant(args, bench, variant, stock_ns, rows):
    name, program, weights, reserved, top_k, type_s, *rest = variant
    placement = rest[0] if rest else {}
    model = model_of(args, variant)
    threads = args.threads if args.placements else 8
    gpu, driver, _ = gpu_info()
    prompts = args.prompts if name in PROMPT_VARIANTS and not args.placements else []
    for depth, tests in [(d, tests_of(d, args.placements)) for d in args.depths] + [(0, tests_of_prompt(n)) for n in prompts]:
        options = {} if program == "stock" else {"top_k": top_k, "type_s": type_s, "mode": 2, "min_context": MIN_CONTEXT, **placement}
        opened = bench(cmd="open", model=model, n_ctx=depth + max(pp for pp, _, _ in tests) + 1024, threads=threads, n_batch=2048, n_ubatch=512, flash=1,
                       type_k="f16", type_v="f16", **options)
        if depth:
            bench(cmd="fill", n=depth, seed=1)
        index = bench(cmd="index", n=8) if options.get("mode") == 3 and depth else {}
        for pp, tg, repetitions in tests:
            if tg or not args.placements:
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
                "model_size": opened["model_bytes"], "n_batch": 2048, "n_ubatch": 512, "n_threads": threads, "type_k": "f16", "type_v": "f16",
                "n_gpu_layers": -1, "flash_attn": 1, "n_prompt": pp, "n_gen": tg, "n_depth": depth,
                "test_time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "avg_ns": int(statistics.mean(samples)), "stddev_ns": int(statistics.pstdev(samples)), "samples_ns": samples,
                "llama_cpp": args.llama_cpp, "search": "stock" if program == "stock" else "hnsw" if options["mode"] == 3 else "exact", "mode": name, "n_top_k": top_k,
                "n_reserved": reserved, "type_search": type_s, "fill": "random" if depth else "none", "median_ns": median,
                "ratio_to_stock": ratio, "recall_index": None if program == "stock" else index.get("recall_index") if options["mode"] == 3 else 1.0,
                "no_kv_offload": placement.get("kv_memory") == "host", "search_memory": placement.get("search_memory", "auto"),
                "ef": None if program == "stock" or options["mode"] != 3 else max(320, top_k), "index_bytes": index.get("index_bytes", 0),
                "k_bytes": opened["k_bytes"], "v_bytes": opened["v_bytes"], "search_bytes": opened.get("search_bytes", 0),
                "gpu_state": state, "host_load": os.getloadavg()[0], "command": " ".join(sys.argv),
            }
            rows.append(row)
            with open(args.record, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            per_s = (pp + tg) * 1e9 / median
            print(f"{name:34} {'pp' if pp else 'tg'}{pp or tg} @ {depth:6}: {per_s:9.1f} tok/s {median/1e6/(tg or 1):8.3f} ms"
                  + (f"  x{ratio:.2f}" if ratio else "") + (f"  recall_index {index['recall_index']:.3f}" if index else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="build folder of this library")
    parser.add_argument("--stock", required=True, help="build folder of the unpatched one")
    parser.add_argument("--models", required=True, help="folder of the models of synth-model")
    parser.add_argument("--record", required=True)
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 32768, 131072, 262144])
    parser.add_argument("--prompts", type=int, nargs="*", default=[131072], help="lengths of whole prompts to time")
    parser.add_argument("--variants", default="", help="only those whose name contains it; several: a|b")
    parser.add_argument("--placements", action="store_true", help="time where K/V and search keys are kept instead (--threads of the CPU)")
    parser.add_argument("--threads", type=int, default=min(16, os.cpu_count() or 1), help="with --placements")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--llama-cpp", default="unknown")
    args = parser.parse_args()
    stock_ns, rows = {}, []
    bench, running = None, None
    for variant in PLACEMENTS if args.placements else VARIANTS:
        if args.variants and not any(part in variant[0] for part in args.variants.split("|")):
            continue
        try:
            if running != (variant[1], model_of(args, variant)):
                if bench:
                    bench.close()
                bench, running = start(args, variant), (variant[1], model_of(args, variant))
            run_variant(args, bench, variant, stock_ns, rows)
        except (RuntimeError, OSError) as error:
            print(f"{variant[0]}: {error}", flush=True)
            running = None
    if bench:
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
