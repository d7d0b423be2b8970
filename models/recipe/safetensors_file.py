"""Writes search projections as safetensors, the layout that `ann merge` reads."""
import json
import struct

import numpy as np


def write_projections(path, layers, config):
    """layers: (W_Qs, W_Ks) per layer, f32 tensors [d_search, n_embd]; config: how they were trained."""
    header = {"__metadata__": {"format": "pt", "config": json.dumps(config)}}
    data = []
    offset = 0
    for which, name in enumerate(("W_Qs", "W_Ks")):
        for i, layer in enumerate(layers):
            a = np.ascontiguousarray(layer[which].cpu().numpy().astype(np.float32))
            header[f"projections.{i}.{name}.weight"] = {
                "dtype": "F32",
                "shape": list(a.shape),
                "data_offsets": [offset, offset + a.nbytes],
            }
            offset += a.nbytes
            data.append(a.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))
