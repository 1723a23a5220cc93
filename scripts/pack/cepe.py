"""CEPE's training data by cepe.mk, read as CEPE reads it; see scripts/agree-pack.

Texts become sequences and, in three jobs that are merged, the 50 likeliest tokens behind each of their tokens. Both are read by
StreamingDataset, put together sample by sample and stacked as CEPE's loader and collator do; then each is compared with what transformers
makes of the last tokens before the sequence and the sequence itself.
"""
import json
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import torch
from streaming import Stream, StreamingDataset
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "lib/model/tests/data/causal-llama"
LENGTH, PREV, CONTEXT, TOP, CONTEXTS = 32, 64, 48, 50, 4
WORDS = "the cat and dog ran in a circle then another an end other here there when Größe 日本 one".split()


def texts(folder):
    dice = random.Random(4)
    lengths = [dice.choice([3, 40, 120, 300]) for _ in range(40)]
    lines = (json.dumps({"text": " ".join(dice.choice(WORDS) for _ in range(length))}) + "\n" for length in lengths)
    (folder / "docs.jsonl").write_text("".join(lines))


def make(folder):
    flags = [f"MODEL={MODEL}", f"LENGTH={LENGTH}", f"PREV={PREV}", f"CONTEXT={CONTEXT}", f"TOP={TOP}", "JOBS=3", "SCORE=--size-limit 64K"]
    path = f"{Path(os.environ['BIN']).resolve()}:{os.environ['PATH']}"
    command = ["make", "-f", ROOT / "scripts/cepe.mk", *flags, "cepe"]
    subprocess.run(command, cwd=folder, env=dict(os.environ, PATH=path), check=True, stdout=subprocess.DEVNULL)


def items(folder):
    """Sequences and targets by the number of the sample, in the arrays that CEPE's loader makes of them."""
    opened = [StreamingDataset(streams=[Stream(local=str(folder / "cepe" / name))], batch_size=1, allow_unsafe_types=True) for name in ("data", "targets")]
    data, targets = opened
    assert len(data) == len(targets) > 50, (len(data), len(targets))
    for number in range(len(data)):
        sequence, target = data[number], targets[number]
        yield dict(input_ids=sequence["token_ids"][:LENGTH], encoder_input_ids=sequence["prev_token_ids"][-PREV:].reshape(CONTEXTS, -1),
                   distill_prob=target["target_prob"], distill_index=target["target_index"])


def batch(items):
    """Stacked: whatever has another shape than the others ends the run."""
    kinds = dict(input_ids=torch.long, encoder_input_ids=torch.long, distill_prob=torch.float32, distill_index=torch.long)
    return {name: torch.stack([torch.tensor(item[name], dtype=kind) for item in items]) for name, kind in kinds.items()}


def likeliest(model, stacked):
    """Probabilities of all tokens at the places of the sequence, each of what comes behind it."""
    context = stacked["encoder_input_ids"].flatten(1)[:, -CONTEXT:]
    with torch.inference_mode():
        logits = model(input_ids=torch.cat([context, stacked["input_ids"]], 1)).logits
    return logits[:, -LENGTH:].double().softmax(-1)


def agree(folder, compare):
    """Hands each finding to `compare(name, found, expected)`."""
    texts(folder)
    make(folder)
    every = list(items(folder))
    shapes = [[np.array([*item["distill_prob"].shape, *item["distill_index"].shape])] for item in every]
    compare("cepe.mk, StreamingDataset, shapes", shapes, [[np.array([LENGTH, TOP + 1, LENGTH, TOP])]] * len(every))
    types = [[np.array([item["distill_prob"].dtype.str, item["distill_index"].dtype.str, item["input_ids"].dtype.str])] for item in every]
    compare("cepe.mk, StreamingDataset, types", types, [[np.array(["<f2", "<i4", "<i4"])]] * len(every))
    stacked = batch(every)
    wanted = likeliest(AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval(), stacked)
    # Each token with the probability that is said of it, and the rest; a 16-bit float is off by 2^-11 of itself.
    chances, tokens = stacked["distill_prob"].double(), stacked["distill_index"]
    of_tokens = wanted.gather(-1, tokens)
    rest = 1 - of_tokens.sum(-1, keepdim=True)
    close = (chances - torch.cat([of_tokens, rest], -1)).abs() <= 1e-4 + chances / 2048
    compare("cepe.mk, probabilities by transformers", [[row.numpy()] for row in close], [[np.ones(row.shape, bool)] for row in close])
    # None that is left out is likelier than the least likely that is there, and the likeliest come first.
    left = wanted.scatter(-1, tokens, 0).max(-1).values
    fine = (left <= of_tokens.min(-1).values + 1e-4) & (of_tokens.diff(dim=-1) <= 1e-4).all(-1)
    distinct = (tokens.sort(-1).values.diff(dim=-1) > 0).all(-1)
    fine &= distinct
    compare("cepe.mk, the 50 likeliest", [[row.numpy()] for row in fine], [[np.ones(row.shape, bool)] for row in fine])
