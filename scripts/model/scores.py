"""What transformers makes of texts, in 32-bit floats, as lm-score should: `scores.py DATA > expected.json`.

DATA holds the folders of causal.py. An object a case: the model, lm-score's flags, and for each document a row of the columns asked for.
The samples are lists of tokens with those before them, and what CEPE's script makes of them with 6 tokens of context and 17 in all.
The windows are written out here after the definition of lm-evaluation-harness' rolling log-likelihood, the prompts after that of
Small2Large's and IFD's masks: as many labels are left out as the prompt has tokens when it is tokenized alone.
"""

import json
import math
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

DATA = sys.argv[1]
TEXTS = [
    "The cat and the dog ran in a circle, then another.",
    "",
    "a",
    "Ünïcode — 日本語 and \U0001f642 in the end",
    "the " * 40,
    "<s>the end of the cat",
]
PROMPTS = ["Tell a story of a cat.", "Say nothing. ", "", "Which language is this?  ", "Go on: the the", "And then"]


class Model:
    def __init__(self, name):
        folder = f"{DATA}/causal-{name}"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.bos, self.eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id

    def ids(self, text, special=False):
        return self.tokenizer(text, add_special_tokens=special)["input_ids"]

    def begun(self, ids):
        """With the token that begins texts before them, once."""
        return ids if ids[:1] == [self.bos] else [self.bos, *ids]

    def nll(self, seen, scored):
        """Of each of the tokens `scored`, the last of which comes behind all that is `seen`."""
        if not scored:
            return []
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([seen])).logits[0, -len(scored):].double()
        return torch.nn.functional.cross_entropy(logits, torch.tensor(scored), reduction="none").tolist()

    def likeliest(self, context, ids, count):
        """CEPE's targets: the likeliest tokens behind each of `ids`, their probabilities and that of all others."""
        if not ids:
            return dict(target_index=[], target_prob=[])
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([context + ids])).logits[0, -len(ids):]
        probabilities, tokens = torch.sort(logits.softmax(-1), descending=True, stable=True)
        rest = probabilities[:, count:].sum(1, keepdim=True)
        return dict(target_index=tokens[:, :count].tolist(), target_prob=torch.cat([probabilities[:, :count], rest], 1).tolist())

    def whole(self, ids, first=1):
        first = max(first, 1)
        return self.nll(ids[:-1], ids[first:])

    def windows(self, ids, most, step):
        found, done = [], 1
        while done < len(ids):
            end = min(done + (most if done == 1 else step), len(ids))
            found += self.nll(ids[max(end - 1 - most, 0):end - 1], ids[done:end])
            done = end
        return found


def mean(numbers):
    return sum(numbers) / len(numbers) if numbers else math.nan


def row(numbers, text):
    bits = sum(numbers) / math.log(2) / len(text.encode()) if numbers and text else math.nan
    return [mean(numbers), sum(numbers) if numbers else math.nan, len(numbers), math.exp(mean(numbers)), bits, len(text.encode())]


def main():
    llama, gpt2 = Model("llama"), Model("gpt2")
    columns = "nll,sum,tokens,perplexity,bits-per-byte,bytes"
    cases = []

    def case(model, flags, rows, columns=columns):
        cases.append(dict(model=model, flags=[*flags, "--columns", columns], rows=[[None if math.isnan(x) else x for x in row] for row in rows]))

    case("llama", [], [row(llama.whole(llama.ids(t, special=True)), t) for t in TEXTS])
    case("llama", ["--no-special"], [row(llama.whole(llama.ids(t)), t) for t in TEXTS])
    case("llama", ["--bos", "no"], [row(llama.whole(llama.ids(t)), t) for t in TEXTS])
    case("llama", ["--bos", "yes"], [row(llama.whole(llama.begun(llama.ids(t))), t) for t in TEXTS])
    case("llama", ["--eos"], [row(llama.whole([*llama.ids(t, special=True), llama.eos]), t) for t in TEXTS])
    case("llama", ["--bos", "no", "--eos"], [row(llama.whole([*llama.ids(t), llama.eos]), t) for t in TEXTS])
    case("gpt2", [], [row(gpt2.whole(gpt2.ids(t)), t) for t in TEXTS])
    case("gpt2", ["--bos", "yes", "--eos"], [row(gpt2.whole([*gpt2.begun(gpt2.ids(t)), gpt2.eos]), t) for t in TEXTS])
    case("gpt2", ["--eos", "--last", "3"], [row(gpt2.whole(ids, len(ids) - 3), t) for t in TEXTS for ids in [[*gpt2.ids(t), gpt2.eos]]])
    cut = [row(gpt2.whole(gpt2.ids(t)[:7]), t)[:3] for t in TEXTS]
    case("gpt2", ["--max-length", "7"], cut, "nll,sum,tokens")
    for long, step in [("windows", 8), ("stride:3", 3)]:
        rows = [row(llama.windows(llama.ids(t, special=True), 8, step), t) for t in TEXTS]
        case("llama", ["--max-length", "8", "--long", long], rows)
    both = []
    for prompt, text in zip(PROMPTS, TEXTS):
        first = 1 + len(llama.ids(prompt.rstrip(" ")))
        given = llama.whole([llama.bos, *llama.ids(prompt + text)], first)
        alone = llama.whole(llama.begun(llama.ids(text)))
        both.append([mean(given), len(given), mean(alone), mean(given) / mean(alone) if alone and given else math.nan])
    case("llama", ["--bos", "yes", "--prompt-field", "prompt"], both, "nll,tokens,nll-alone,ifd")
    samples = []
    for context, text in zip(PROMPTS, TEXTS):
        before, ids = llama.ids(context, special=True), llama.ids(text)
        samples.append(dict(token_ids=ids, prev_token_ids=before, **llama.likeliest(before[-6:], ids[:11], 5)))
    documents = [dict(text=text, prompt=prompt) for text, prompt in zip(TEXTS, PROMPTS)]
    json.dump(dict(documents=documents, cases=cases, samples=samples), sys.stdout, indent=1)
    print()


main()
