"""Compare jsonl-classify with fastText's own Python on one model file, and time both; see scripts/agree-classify and scripts/bench.

    peer.py agree|bench PROGRAMS MODEL CORPUS.jsonl

The texts: paragraphs of the corpus (its field "text"), as many of them cut and torn, and made of letters of all scripts: 5,000 for the
comparison; whole documents for the time. The first label of each must be the same, but where fastText itself gives the two the same
probability to 0.00001, and the probabilities of the first five must differ by 0.00001 at the most.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import fasttext
from measure import in_turn

COUNT, TOP, MOST = 5000, 5, 1e-5
SCRIPTS = [(0x61, 0x7A), (0xC0, 0x17F), (0x391, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA), (0x621, 0x64A), (0x905, 0x939), (0xE01, 0xE30),
           (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1F64F)]


def made(numbers):
    """Words of one script, or of several."""
    scripts = numbers.sample(SCRIPTS, numbers.choice([1, 1, 1, 2, 5]))
    word = lambda: "".join(chr(numbers.randint(*numbers.choice(scripts))) for _ in range(numbers.randint(1, 9)))
    return numbers.choice([" ", " ", "\u3000", "\t"]).join(word() for _ in range(numbers.randint(1, 40)))


def comparison(documents):
    numbers = random.Random(2)
    parts = [part.strip() for text in documents for part in text.split("\n\n")[:8]]
    parts = [part for part in parts if 20 <= len(part) <= 3000]
    parts = parts[:: max(1, len(parts) // (COUNT // 2))][:COUNT // 2]
    torn = ["".join(numbers.sample(part, min(len(part), numbers.randint(1, 200)))) for part in parts[:: 2]]
    return parts + torn + [made(numbers) for _ in range(COUNT - len(parts) - len(torn))]


class Ours:
    def __init__(self, programs, model, texts):
        self.command = [programs / "jsonl-classify", "--model", model]
        self.holder = tempfile.TemporaryDirectory(prefix="classify.")
        self.documents = Path(self.holder.name) / "documents"
        self.documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    def rows(self, *flags):
        rows = subprocess.run([*self.command, *flags, self.documents], stdout=subprocess.PIPE, check=True, text=True).stdout
        return [row.split("\t") for row in rows.splitlines()]

    def seconds(self, *flags):
        started = time.perf_counter()
        self.rows(*flags)
        return time.perf_counter() - started


def pairs(fields):
    found = [(label, float(number)) for label, number in zip(fields[0:-1:2], fields[1:-1:2])]
    return [(label, number) for label, number in found if label != "nan"]


def agree(model, ours, texts):
    """How many first labels are the same, and the largest difference of probabilities, both of all texts."""
    top = min(TOP, len(model.get_labels()))
    rows = [pairs(fields) for fields in ours.rows("--likeliest", str(top))]
    same, largest = 0, 0.0
    for text, found in zip(texts, rows, strict=True):
        # The wrapper around it makes an array of NumPy of the probabilities.
        wanted = [(label.removeprefix("__label__"), p) for p, label in model.f.predict(text.replace("\n", " ") + "\n", top, 0.0, "strict")]
        assert bool(found) == bool(wanted), (text, found, wanted)
        # fastText leaves out labels of less than 0.00001 where they are in a tree.
        for (label, number), (other, p) in zip(found, wanted):
            largest = max(largest, abs(number - p), abs(number - dict(wanted).get(label, number)))
        tied = len(wanted) > 1 and wanted[0][1] - wanted[1][1] <= MOST
        same += not wanted or found[0][0] == wanted[0][0] or tied
    return same, largest


def main():
    mode, programs, path, corpus = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    with open(corpus, encoding="utf-8") as lines:
        documents = [json.loads(line)["text"] for line in lines]
    model = fasttext.load_model(path)
    texts = comparison(documents)
    same, largest = agree(model, Ours(programs, path, texts), texts)
    good = same == len(texts) and largest <= MOST
    print(f"{Path(path).name}: {same} of {len(texts)} first labels are fastText's, probabilities differ by {largest:.1e} at the most: "
          f"{'agrees' if good else 'DIFFERS'}")
    if not good:
        sys.exit("classify: the labels differ" + (": no ratio is printed" if mode == "bench" else ""))
    if mode == "bench":
        ours = Ours(programs, path, documents)
        lines = [text.replace("\n", " ") for text in documents]
        megabytes = sum(len(text.encode()) for text in documents) / 1e6
        print(f"{len(documents)} documents, {megabytes:.0f} MB, {len(os.sched_getaffinity(0))} cores; fastText has its texts in memory, ours reads JSON")
        sides = in_turn([("fastText's Python, a text at a time", lambda: run(model, lines)),
                         ("jsonl-classify --threads 1", lambda: ours.seconds("--threads", "1")),
                         ("jsonl-classify", lambda: ours.seconds())])
        peer = next(iter(sides.values())).least
        for name, side in sides.items():
            print(f"  {name:40}{side}{megabytes / side.least:8.1f} MB/s{peer / side.least:8.2f} times")


def run(model, lines):
    for line in lines:
        model.predict(line)


main()
