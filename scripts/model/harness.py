"""Compare lm-score with lm-evaluation-harness on model folders: `harness.py PROGRAMS CORPUS.jsonl LENGTH:FOLDER...`; see scripts/agree-lm.

Rolling log-likelihoods of whole paragraphs, in windows of LENGTH tokens, with --long windows; log-likelihoods of the second half of each
given the first, with --prompt-field. The harness computes in 32-bit floats, softmax too. A mean is 3e-5 nats off at the most.
"""
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.update(TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TQDM_DISABLE="1")

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

COUNT, DOCUMENT = 16, 3e-5


def texts_of(corpus):
    """Of all lengths, taken evenly from the whole corpus."""
    with open(corpus, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"][:3000] for line in lines]
    texts = [text for text in texts if len(text) >= 100]
    return texts[:: max(1, len(texts) // COUNT)][:COUNT]


def ours(programs, folder, documents, *flags):
    """Sums and counts."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(document) + "\n" for document in documents)
        file.flush()
        command = [programs / "lm-score", "--model", folder, "--columns", "sum,tokens", *flags, file.name]
        rows = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return [(float(row.split("\t")[0]), int(row.split("\t")[1])) for row in rows]


def say(name, found, wanted):
    largest = max(abs(total + theirs) / tokens for (total, tokens), theirs in zip(found, wanted, strict=True))
    tokens = sum(tokens for _, tokens in found)
    good = largest <= DOCUMENT
    print(f"  {name}: {len(found)} texts, {tokens} tokens, the mean of a text {largest:.1e} nats off at the most: {'agrees' if good else 'DIFFERS'}",
          flush=True)
    return good


def compare(programs, folder, length, texts):
    model = HFLM(pretrained=str(folder), device="cpu", dtype="float32", softmax_dtype="float32", max_length=length, batch_size=1)
    instances = lambda kind, rows: [Instance(request_type=kind, doc={}, arguments=row, idx=0) for row in rows]
    # Where the tokenizer puts a token before texts, the harness would score it behind the one that it puts there itself.
    model.add_bos_token = False
    rolling = model.loglikelihood_rolling(instances("loglikelihood_rolling", [(text,) for text in texts]), disable_tqdm=True)
    found = ours(programs, folder, [dict(text=text) for text in texts], "--bos", "yes", "--max-length", str(length), "--long", "windows")
    model.add_bos_token = None
    good = say(f"{Path(folder).name}, windows of {length}", found, rolling)
    # What is too long the harness cuts at the left.
    room = length if length < 200 else 4 * length
    borders = [(text, max(text.rfind(" ", 0, room // 2), 1)) for text in texts]
    halves = [(text[:border], text[border:room]) for text, border in borders]
    halves = [(prompt, text) for prompt, text in halves if fits(model, prompt, text, length)]
    given = [total for total, _ in model.loglikelihood(instances("loglikelihood", halves), disable_tqdm=True)]
    documents = [dict(prompt=prompt, text=text) for prompt, text in halves]
    found = ours(programs, folder, documents, "--prompt-field", "prompt", "--max-length", str(length))
    return good & say(f"{Path(folder).name}, given prompts", found, given)


def fits(model, prompt, text, length):
    """Not where the border is in the middle of a token: there the harness shows the model the prompt as it is alone, and Small2Large,
    as lm-score, the tokens of both together."""
    alone, whole = model.tok_encode(prompt), model.tok_encode(prompt + text)
    return len(whole) <= length and whole[: len(alone)] == alone


def main():
    logging.disable(logging.WARNING)
    programs, corpus, folders = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    texts, good = texts_of(corpus), True
    for folder in folders:
        length, path = folder.split(":", 1)
        good &= compare(programs, path, int(length), texts)
    sys.exit(not good)


main()
