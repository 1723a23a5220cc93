"""Speed of jsonl-tokenize beside Python's, after the ids were compared: `bench.py PROGRAMS TOKENIZER... -- TEXTS.jsonl...`

All use all cores; the least of three runs each, in turn; a figure only where all ids are equal. Ours is the whole program: start, loading
the tokenizer, reading the JSON, tokenizing, writing the array.

tokenizers: `encode_batch_fast` alone, on 20 MB of texts in memory. A second ratio counts its loading (`from_file`) too, which matters where
the texts are few.

gigatoken, for the kinds that it knows: `encode_files` alone, on the whole last file, which it reads itself; the first call of a process, and
the third, for which it has kept all words that it met. Peak memory beside it.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import numpy as np
from measure import in_turn, peak
from tokenizers import Tokenizer

BYTES = 20_000_000
GIGATOKEN = ["gpt2.json", "llama3.json"]


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
        size = os.path.getsize(sys.argv[-1])
        print(f"\n{size / 1e6:.1f} MB of JSON Lines (MB/s, peak MB)\n{'':28} {'gigatoken 1st':>14} {'3rd call':>9} {'jsonl-tokenize':>20}")
        for name in GIGATOKEN:
            path = next(path for path in sys.argv[2:split] if Path(path).name == name)
            against_gigatoken(program, path, sys.argv[-1], size, out)


def against_gigatoken(program, path, documents, size, out):
    third, memory = [], [0]
    command = [program, "--tokenizer", path, "--no-special", documents]

    def peer():
        calls = Path(__file__).with_name("gigatoken_calls.py")
        done = subprocess.run([sys.executable, calls, path, documents, f"{out}.theirs.npy"], capture_output=True, check=True, text=True)
        first, _, last, peak = map(float, done.stdout.split())
        third.append(last)
        memory.append(peak)
        return first

    def own():
        with open(out, "wb") as file:
            subprocess.run(command, stdout=file, check=True)

    sides = in_turn([("gigatoken", peer), ("jsonl-tokenize", own)])
    theirs, ours = sides["gigatoken"], sides["jsonl-tokenize"]
    if not np.array_equal(np.load(out), np.load(f"{out}.theirs.npy")):
        sys.exit(f"{Path(path).name}: the ids differ")
    rate = lambda seconds: size / seconds / 1e6
    print(f"{Path(path).name:28} {rate(theirs.least):7.1f} +{theirs.spread:4.0%} {rate(min(third)):9.1f} {rate(ours.least):14.1f} +{ours.spread:4.0%}"
          f"   {theirs.least / ours.least:.2f} times the first call; {max(memory):.0f} and {peak(command):.0f} MiB", flush=True)


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
