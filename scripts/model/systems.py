"""What other systems' scripts say of a model and some examples, beside lm-score: `systems.py PROGRAMS MODEL CORPUS.jsonl`; see
scripts/agree-lm.

Small2Large's loss of a sample: a padded batch, the labels of the prompt left out, the sum by the number of losses that are not zero, as a
perplexity. IFD's: the mean of the response behind its instruction by that of the response behind "### Response:" alone, as the scripts
have it, and by that of the response with nothing before it, as the paper has it. Texts are cut in two, prompt and response.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.update(TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

COUNT, LENGTH, BATCH, MOST = 24, 256, 4, 1e-4
PROMPT = "Below is an instruction. Write a response.\n\n### Instruction:\n{}\n\n### Response:"
ALONE = "### Response:"


def pairs_of(corpus):
    with open(corpus, encoding="utf-8") as lines:
        texts = [text for text in (json.loads(line)["text"][:1200] for line in lines) if len(text) >= 60]
    for text in texts[:: max(1, len(texts) // COUNT)][:COUNT]:
        words = text.split(" ")
        yield " ".join(words[: len(words) // 3]), " ".join(words[len(words) // 3 :])


class Peer:
    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def ids(self, text):
        return self.tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]

    def sample_losses(self, pairs):
        """Perplexities of a batch, the token that ends texts among the response's."""
        whole = [self.ids(prompt + text + self.tokenizer.eos_token) for prompt, text in pairs]
        longest = max(map(len, whole))
        inputs, mask = torch.zeros(len(pairs), longest, dtype=torch.long), torch.zeros(len(pairs), longest, dtype=torch.long)
        labels = torch.full((len(pairs), longest), -100)
        for row, (ids, (prompt, _)) in enumerate(zip(whole, pairs)):
            begin = min(len(self.ids(prompt)), len(ids))
            inputs[row, : len(ids)], mask[row, : len(ids)] = torch.tensor(ids), 1
            labels[row, begin : len(ids)] = torch.tensor(ids[begin:])
        with torch.inference_mode():
            logits = self.model(input_ids=inputs, attention_mask=mask).logits
        # In 32 bits the sum over a vocabulary that is not the last dimension is 1e-4 nats too small, with 49,152 tokens.
        losses = torch.nn.functional.cross_entropy(logits[:, :-1].double().transpose(1, 2), labels[:, 1:], reduction="none", ignore_index=-100)
        return [(row.sum() / max(1, row.count_nonzero())).exp().item() for row in losses]

    def response(self, before, text, special=True):
        """The mean of the tokens of `text` behind `before`."""
        ids = self.ids(before + text)
        labels = torch.tensor([ids])
        labels[0, : len(self.ids(before))] = -100
        with torch.inference_mode():
            return self.model(input_ids=torch.tensor([ids]), labels=labels).loss.item()


def ours(programs, folder, pairs, columns, *flags):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(dict(prompt=prompt, text=text)) + "\n" for prompt, text in pairs)
        file.flush()
        command = [programs / "lm-score", "--model", folder, "--prompt-field", "prompt", "--max-length", str(LENGTH), "--columns", columns, *flags, file.name]
        rows = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return np.array([[float(field) for field in row.split("\t")[:-1]] for row in rows])


def say(name, found, wanted):
    found, wanted = np.array(found), np.array(wanted)
    assert found.shape == wanted.shape and np.isfinite(wanted).all(), name
    largest = np.abs(found / wanted - 1).max()
    good = largest <= MOST
    print(f"  {name}: {len(wanted)} examples, {largest:.1e} of themselves off at the most: {'agrees' if good else 'DIFFERS'}", flush=True)
    return bool(good)


def main():
    programs, folder, corpus = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    peer = Peer(folder)
    asked = [(PROMPT.format(instruction), response) for instruction, response in pairs_of(corpus)]
    # A prompt that fills the length has a perplexity of 1 there, and is missing here.
    asked = [pair for pair in asked if len(peer.ids(pair[0])) < LENGTH]
    batches = [peer.sample_losses(asked[start : start + BATCH]) for start in range(0, len(asked), BATCH)]
    good = say("Small2Large's loss of a sample", ours(programs, folder, asked, "perplexity", "--eos")[:, 0], sum(batches, []))
    given, alone = ([peer.response(before, text) for before, text in pairs] for pairs in (asked, [(ALONE, text) for _, text in asked]))
    found = ours(programs, folder, asked, "nll")[:, 0] / ours(programs, folder, [(ALONE, text) for _, text in asked], "nll")[:, 0]
    good &= say("IFD of the scripts, by two runs", found, np.array(given) / alone)
    nothing = [peer.response("", text) for _, text in asked]
    good &= say("IFD of the paper, --columns ifd", ours(programs, folder, asked, "ifd")[:, 0], np.array(given) / nothing)
    sys.exit(not good)


main()
