"""Long documents without the lines of held-out files, as text for `ann train` and as tokens for train_direction.py:
projection_text.py HELDOUT_FILE..."""
import glob
import json
import os
import random
import sys

import numpy as np
import tokenizer

W = os.environ.get("WORK", "work")
held = set()


def hold_out(text):
    held.update(line.strip() for line in text.split("\n") if len(line.strip()) >= 40)


for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as f:
        if path.endswith(".jsonl"):
            for line in f:
                hold_out(json.loads(line)["prompt"])
        else:
            hold_out(f.read())

documents, dropped = [], 0
for path in sorted(glob.glob(f"{W}/corpus/shards/s*.txt")):
    kept = []
    for document in open(path, encoding="utf-8").read().split("\x1e"):
        lines = document.split("\n")
        if sum(line.strip() in held for line in lines) >= 3:
            dropped += 1  # another edition of a held-out document
        else:
            kept.append("\n".join(line for line in lines if line.strip() not in held))
    documents += kept

random.Random(5).shuffle(documents)
encoder = tokenizer.Tok(f"{W}/tokenizer")
tokens = []
with open(f"{W}/projection-text.txt", "w", encoding="utf-8") as text:
    for document in documents:
        if len(document) >= 18000 and len(tokens) < 9_000_000:
            tokens += encoder.encode(document[:60000]) + [encoder.eot]
            text.write(document[:60000] + "\n\n")
np.save(f"{W}/projection-text.npy", np.array(tokens, np.int16))
print("documents", len(documents), "dropped", dropped, "tokens", len(tokens))
