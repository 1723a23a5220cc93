"""Compare jsonl-embed with sentence-transformers on one model folder, and time both; see scripts/agree-embed and scripts/bench.

    embed.py agree|bench PROGRAMS MODEL CORPUS.jsonl

The texts: paragraphs of the corpus (its field "text"), and some that are hard: empty, blank, one letter, accents, CJK, emoji,
code, far too long.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(TOKENIZERS_PARALLELISM="true", TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")

sys.path.append(str(Path(__file__).parents[1]))
import numpy as np
import torch
from measure import in_turn
from sentence_transformers import SentenceTransformer

COSINE_MIN = {"exact": 0.99999, "bf16": 0.999}
TEXTS = 2400

HARD = [
    "", " ", "\n\t", "a", "I", ".", "?!", "\u00e9", "na\u00efve caf\u00e9 \u00fcber \u00c5ngstr\u00f6m", "e\u0301 \u0308u combining",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", "\uc548\ub155\ud558\uc138\uc694",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\U0001f600\U0001f680 emoji \U0001f469\u200d\U0001f4bb", "\u1e9e \u0130stanbul \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "def f(x):\n    return {k: v ** 2 for k, v in x.items() if v != 0}", "#include <stdio.h>\nint main(void) { return 0; }",
    "x" * 500, "word " * 2000, "\u4e2d" * 600, "no-break\u00a0space and zero\u200bwidth", "[CLS] special [SEP] tokens [MASK]",
    "tab\tseparated\tvalues\r\nwith CRLF", "\ufffd replacement", "1234567890 " * 40, "https://example.com/a?b=c&d=%20e",
]


def texts_of(corpus):
    """Paragraphs of all lengths, taken evenly from the whole corpus."""
    paragraphs = []
    with open(corpus, encoding="utf-8") as lines:
        for line in lines:
            found = [part.strip() for part in json.loads(line)["text"].split("\n\n")]
            paragraphs += [part for part in found if 40 <= len(part) <= 2000][:8]
    return HARD + paragraphs[:: max(1, len(paragraphs) // TEXTS)][:TEXTS]


def ours(programs, model, documents, precision, out):
    """Vectors, and the seconds of the run, start and loading included."""
    with open(out, "wb") as file:
        started = time.perf_counter()
        subprocess.run([programs / "jsonl-embed", "--model", model, "--precision", precision, documents], stdout=file, check=True)
        seconds = time.perf_counter() - started
    return np.load(out), seconds


def has_bf16():
    """Whether this processor has instructions for it; without them, torch emulates it and jsonl-embed refuses."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        return "avx512_bf16" in file.read()


class Peer:
    """The package with one type of numbers, loaded and warm; it sorts texts by length."""

    def __init__(self, model, dtype):
        self.model = SentenceTransformer(str(model), device="cpu", model_kwargs={"torch_dtype": dtype})

    def vectors(self, texts):
        return np.asarray(self.model.encode(texts, batch_size=32, show_progress_bar=False), dtype=np.float32)


def cosines(one, other):
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one.astype(np.float64) * other).sum(axis=1) / norms


def main():
    mode, programs, model, corpus = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    texts = texts_of(corpus)
    holder = tempfile.TemporaryDirectory(prefix="embed.")
    documents = Path(holder.name) / "documents.jsonl"
    documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    run = lambda precision: ours(programs, model, documents, precision, Path(holder.name) / precision)
    f32 = Peer(model, torch.float32)
    reference = f32.vectors(texts)
    answers = {precision: run(precision)[0] for precision in COSINE_MIN if precision == "exact" or has_bf16()}
    characters = sum(map(len, texts)) / len(texts)
    print(f"{len(texts)} texts of {characters:.0f} characters, {torch.get_num_threads()} cores, {model.name}")
    failed = False
    for precision, vectors in answers.items():
        cosine = cosines(vectors, reference)
        worst = int(cosine.argmin())
        good = vectors.shape == reference.shape and bool((cosine >= COSINE_MIN[precision]).all())
        failed |= not good
        print(f"  {precision:5} cosine with sentence-transformers f32: at least {cosine[worst]:.8f} "
              f"(text {worst}: {texts[worst][:30]!r}): {'agrees' if good else 'DIFFERS'}")
    if failed:
        sys.exit("embed: the vectors differ" + (": no ratio is printed" if mode == "bench" else ""))
    if mode == "bench":
        bf16 = Peer(model, torch.bfloat16)
        print(f"  torch bf16 cosine with its own f32: at least {cosines(bf16.vectors(texts), reference).min():.8f}")
        sides = in_turn([("sentence-transformers, torch f32", lambda: drop(f32.vectors(texts))),
                         ("sentence-transformers, torch bf16", lambda: drop(bf16.vectors(texts))),
                         *[(f"jsonl-embed --precision {precision}, loading included", lambda precision=precision: run(precision)[1])
                           for precision in answers]])
        print(f"  {'documents a second':46}{'':>8}{'spread':>8}{'x torch f32':>12}{'x torch bf16':>13}")
        peers = [side.least for side in list(sides.values())[:2]]
        for name, side in sides.items():
            ratios = "".join(f"{peer / side.least:{width}.2f}" for peer, width in zip(peers, (12, 13)))
            print(f"  {name:46}{len(texts) / side.least:8.0f}{side.spread:+8.0%}{ratios}")


def drop(_):
    """Nothing: the seconds are those of the call."""


main()
