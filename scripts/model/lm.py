"""Compare lm-score with transformers on one model folder, and time both; see scripts/agree-lm and scripts/bench.

    lm.py agree|bench PROGRAMS MODEL CORPUS.jsonl [TEXTS]

The texts: paragraphs of the corpus (its field "text") for the comparison, and whole documents cut at 512 tokens for the time.
The reference is transformers in 32-bit floats, a text at a time. Tokens differ by 5e-4 nats at the most and documents by 3e-5; in bf16
documents by 1e-2, and the perplexity of all by 0.2 %.
"""

import json
import math
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
from transformers import AutoModelForCausalLM, AutoTokenizer

LENGTH = 512
TOKEN, DOCUMENT, ROUNDED_DOCUMENT, ROUNDED_PERPLEXITY = 5e-4, 3e-5, 1e-2, 2e-3


def texts_of(corpus, count, mode):
    """Paragraphs of all lengths, or long documents, taken evenly from the whole corpus."""
    with open(corpus, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    if mode == "agree":
        parts = (part.strip() for text in texts for part in text.split("\n\n")[:8])
        texts = [part for part in parts if 40 <= len(part) <= 2000]
    else:
        texts = [text[:8 * LENGTH] for text in texts if len(text) >= 8 * LENGTH]
    return texts[:: max(1, len(texts) // count)][:count]


class Ours:
    def __init__(self, programs, model, texts):
        self.programs, self.model = programs, model
        self.holder = tempfile.TemporaryDirectory(prefix="lm.")
        self.folder = Path(self.holder.name)
        documents = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (self.folder / "documents").write_text(documents)

    def run(self, precision):
        """Means, counts, the numbers of tokens, and the seconds, start and loading included."""
        command = [self.programs / "lm-score", "--model", self.model, "--bos", "yes", "--max-length", str(LENGTH), "--precision", precision,
                   "--token-nll", self.folder / "tokens.npy", "--stats", self.folder / "stats", self.folder / "documents"]
        started = time.perf_counter()
        rows = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
        seconds = time.perf_counter() - started
        self.instructions = json.loads((self.folder / "stats").read_text())["instructions"]
        fields = [row.split("\t") for row in rows]
        means, counts = np.array([float(f[0]) for f in fields]), np.array([int(f[1]) for f in fields])
        return means, counts, np.load(self.folder / "tokens.npy")[:, 0].astype(np.float64), seconds


class Peer:
    """transformers with one type of numbers, loaded and warm."""

    def __init__(self, model, dtype):
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()

    def scores(self, texts):
        """The negative log-likelihoods of the tokens of each text."""
        return [self.score(text) for text in texts]

    def ids(self, text):
        return [self.tokenizer.bos_token_id, *self.tokenizer(text, add_special_tokens=False)["input_ids"]][:LENGTH]

    def score(self, text):
        ids = torch.tensor(self.ids(text))
        with torch.inference_mode():
            logits = self.model(input_ids=ids[None, :-1]).logits[0].float()
            return torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none").double().numpy()


def perplexity(means, counts):
    return math.exp((means * counts).sum() / counts.sum())


def agree(ours, reference):
    """Prints the differences; whether all are small enough, and the precisions that there are."""
    means, counts = np.array([s.mean() for s in reference]), np.array([len(s) for s in reference])
    tokens, good, found = np.concatenate(reference), True, []
    for precision in ["exact", "bf16"]:
        try:
            our_means, our_counts, our_tokens, _ = ours.run(precision)
        except subprocess.CalledProcessError:
            print(f"  {precision}: not on this processor")
            continue
        found.append(precision)
        if not (our_counts == counts).all():
            sys.exit("lm: the numbers of tokens differ")
        document, token = np.abs(our_means - means).max(), np.abs(our_tokens - tokens).max()
        ratio = abs(perplexity(our_means, counts) / perplexity(means, counts) - 1)
        fine = document <= DOCUMENT and token <= TOKEN if precision == "exact" else document <= ROUNDED_DOCUMENT and ratio <= ROUNDED_PERPLEXITY
        good &= bool(fine)
        print(f"  {precision:5} ({ours.instructions}) against transformers f32: a token {token:.1e}, a document {document:.1e} nats at the most, "
              f"perplexity of all {ratio:.1e}: {'agrees' if fine else 'DIFFERS'}")
    return good, found


def likeliest(ours, peer, texts, top=50):
    """Whether the likeliest tokens behind each token, and their probabilities, are those of transformers."""
    folder = ours.folder / "likeliest"
    ids = [peer.ids(text)[:256] for text in texts[::25]]
    (ours.folder / "ids").write_text("".join(json.dumps({"token_ids": list(i)}) + "\n" for i in ids))
    subprocess.run([ours.programs / "lm-score", "--model", ours.model, "--input", "ids", "--top-k", str(top), "--out", folder, "--format", "npy",
                    ours.folder / "ids"], check=True)
    tokens, chances = np.load(folder / "target_index.npy"), np.load(folder / "target_prob.npy").astype(np.float64)
    wanted = []
    for text in ids:
        with torch.inference_mode():
            wanted.append(torch.softmax(peer.model(input_ids=torch.tensor([text])).logits[0].double(), -1))
    wanted = torch.cat(wanted)
    order = torch.sort(wanted, descending=True, stable=True)
    values, rest = order.values[:, :top].numpy(), order.values[:, top:].sum(1).numpy()
    # A 16-bit float is off by 2^-12 of itself.
    error = np.abs(chances - np.column_stack([values, rest])) - chances / 2048
    gap = order.values[:, top - 1].numpy() - order.values[:, top].numpy()
    sets = np.array([set(a) == set(b) for a, b in zip(tokens.tolist(), order.indices[:, :top].tolist())])
    fine = error.max() <= 1e-4 and sets[gap > 1e-4].all()
    print(f"  top {top} of {len(sets)} places: a probability {max(error.max(), 0):.1e} off at the most beyond its 16 bits, "
          f"{sets.sum()} sets equal, {(~sets & (gap > 1e-4)).sum()} others where the gap is above 1e-4: {'agrees' if fine else 'DIFFERS'}")
    return bool(fine)


def main():
    mode, programs, model, corpus = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    count = int(sys.argv[5]) if len(sys.argv) > 5 else 500 if mode == "agree" else 64
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    texts = texts_of(corpus, count, mode)
    ours, f32 = Ours(programs, model, texts), Peer(model, torch.float32)
    reference = f32.scores(texts)
    tokens = sum(map(len, reference))
    print(f"{len(texts)} texts, {tokens} tokens, {torch.get_num_threads()} cores, {Path(model).name}")
    good, precisions = agree(ours, reference)
    if mode == "agree":
        good &= likeliest(ours, f32, texts)
    if not good:
        sys.exit("lm: the scores differ" + (": no ratio is printed" if mode == "bench" else ""))
    if mode == "bench":
        bf16 = Peer(model, torch.bfloat16)
        sides = [("transformers f32, a text at a time", lambda: drop(f32.scores(texts))),
                 ("transformers bf16, a text at a time", lambda: drop(bf16.scores(texts)))]
        sides += [(f"lm-score --precision {p}, loading included", lambda p=p: ours.run(p)[3]) for p in precisions]
        sides = in_turn(sides)
        print(f"  {'tokens a second':46}{'':>8}{'spread':>8}{'x f32':>8}{'x bf16':>8}")
        peers = [side.least for side in list(sides.values())[:2]]
        for name, side in sides.items():
            print(f"  {name:46}{tokens / side.least:8.0f}{side.spread:+8.0%}" + "".join(f"{peer / side.least:8.2f}" for peer in peers))


def drop(_):
    """Nothing: the seconds are those of the call."""


main()
