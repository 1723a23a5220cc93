"""Speed of jsonl-tokenize beside Python's tokenizers, after the ids were compared: `bench.py PROGRAMS TOKENIZER... -- TEXTS.jsonl...`

Both use all cores. Theirs is `encode_batch_fast` alone on texts in memory; ours is the whole program: start, loading the tokenizer,
reading the JSON, tokenizing, writing the array. A second ratio counts their loading (`from_file`) too, which matters where the texts
are few. The least of three runs each, in turn; a ratio only where all ids are equal.
"""
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import numpy as np
from measure import in_turn
from tokenizers import Tokenizer

BYTES = 20_000_000


def main():
    program = str(Path(sys.argv[1]) / "jsonl-tokenize")
    split = sys.argv.index("--")
    lines, size = [], 0
    for line in open(sys.argv[-1], encoding="utf-8"):
        text = json.loads(line)["text"].encode("utf-8", "replace").decode()
        lines.append(text)
        size += len(text.encode())
        if size > BYTES:
            break
    print(f"{len(lines)} documents, {size / 1e6:.1f} MB of text\n{'':28} {'tokenizers':>12} {'jsonl-tokenize':>15}   (MB/s)")
    with tempfile.TemporaryDirectory() as folder:
        documents, out = Path(folder) / "docs.jsonl", Path(folder) / "tokens.npy"
        documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in lines), encoding="utf-8")
        for path in sys.argv[2:split]:
            if path.endswith(".json"):
                measure(program, path, lines, size, documents, out)


def measure(program, path, lines, size, documents, out):
    start = time.perf_counter()
    tokenizer = Tokenizer.from_file(path)
    loading = time.perf_counter() - start
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = []

    def peer():
        encoded[:] = tokenizer.encode_batch_fast(lines)

    def own():
        with open(out, "wb") as file:
            subprocess.run([program, "--tokenizer", path, str(documents)], stdout=file, check=True)

    sides = in_turn([("tokenizers", peer), ("jsonl-tokenize", own)])
    theirs, ours = sides["tokenizers"].least, sides["jsonl-tokenize"].least
    expected = np.concatenate([[len(lines)], [len(e.ids) for e in encoded], *[e.ids for e in encoded]]).astype(np.int64)
    name = Path(path).name if Path(path).name != "tokenizer.json" else Path(path).parent.name
    if np.array_equal(np.load(out).astype(np.int64), expected):
        print(f"{name:28} {size / theirs / 1e6:12.2f} {size / ours / 1e6:15.2f}   {theirs / ours:.1f} times, {(loading + theirs) / ours:.1f} with loading", flush=True)
    else:
        sys.exit(f"{name}: the ids differ")


main()
