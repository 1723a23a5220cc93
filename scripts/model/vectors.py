"""Vectors of all-MiniLM-L6-v2 by sentence-transformers, as JSON Lines: a text, and its vector to 7 digits.

    vectors.py MODEL_DIR > minilm.jsonl
"""
import json
import os
import sys

os.environ.update(TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")

import torch
from sentence_transformers import SentenceTransformer

TEXTS = [
    "",
    " \n\t",
    "a",
    "?!",
    "How do I make tea?",
    "To make tea, boil water, pour it over the leaves and wait three minutes.",
    "The committee approved the budget for the next fiscal year.",
    "naïve café über Ångström, e\u0301 and \u0308u with combining marks",
    "ẞ İstanbul Σίσυφος ΟΔΟΣ",
    "你好,世界。今天天气很好。",
    "こんにちは世界",
    "안녕하세요 세계",
    "Привет, мир",
    "مرحبا بالعالم",
    "😀🚀 emoji 👩\u200d💻 in a text 🙂",
    "def f(x):\n    return {k: v ** 2 for k, v in x.items() if v != 0}",
    "#include <stdio.h>\nint main(void) { printf(\"%d\\n\", 42); return 0; }",
    "[CLS] special [SEP] tokens [MASK] [PAD]",
    "no-break\u00a0space, zero\u200bwidth, \ufffd replacement",
    "x" * 300,
    "1234567890 " * 40,
    "中" * 300,
    "A document that is longer than the model reads: it goes on and on, about tea, water and leaves. " * 30,
]

torch.set_num_threads(1)
model = SentenceTransformer(sys.argv[1], device="cpu")
for text in TEXTS:
    vector = model.encode([text])[0]
    print(json.dumps({"text": text, "vector": [float(f"{x:.6e}") for x in vector.tolist()]}, ensure_ascii=False))
