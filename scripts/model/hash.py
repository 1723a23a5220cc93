"""Vectors of `jsonl-embed --model hash` by the recipe of lib/model/src/hash.rs, as JSON Lines: words, and the values' bits."""
import json
import math
from collections import Counter

import numpy as np
from xxhash import xxh3_64_intdigest as xxh3


def embed(words, dim):
    words = [w.encode() for w in words]
    features = words + [a + b" " + b for a, b in zip(words, words[1:])] or [b""]
    sums = [0] * dim
    for key, count in Counter(xxh3(f, 0) for f in features).items():
        weight = math.floor(2**20 * (1 + math.log(count)) + 0.5)
        for j in range(8):
            h = xxh3(key.to_bytes(8, "little"), j)
            sums[(h >> 32) * dim >> 32] += weight if h & 1 else -weight
    squares = sum(s * s for s in sums)
    if squares == 0:
        return np.eye(1, dim, dtype=np.float32)[0]
    return np.array([np.float32(float(s) / math.sqrt(float(squares))) for s in sums])


TEXTS = ["", "a", "the cat sat on the mat", "the " * 100, "def f ( x ) return x if x else f ( x )", "naïve café 東京 привет", "a b " * 7, "x y z"]
CASES = [(t.split(), dim) for t in TEXTS for dim in (8, 16)] + [(TEXTS[2].split(), 384), ([], 384), (["a"], 1), (["", "a"], 5)]
for words, dim in CASES:
    print(json.dumps({"words": words, "bits": [int(b) for b in embed(words, dim).view(np.uint32)]}, ensure_ascii=False))
