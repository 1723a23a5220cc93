#!/usr/bin/env python3
"""Fine-tunes a causal model on instructions, and writes the perplexity of each example before and after each epoch.

    python3 scripts/perplexities.py --model FOLDER --data alpaca.json --epochs 3 --out perplexities.tsv

The output has a row for each example, in order, and a column for each measurement: P0 before training, P1 after the
first epoch, and so on, with TABs between them; lp-rank reads it. It is written anew after each epoch, whole or not at
all.

A perplexity is exp of the mean negative log-likelihood of the response's tokens, the end-of-sequence token among them,
given the prompt, as in Small2Large (Mekala, Nguyen and Shang, 2024). Prompts are Alpaca's; the data is a JSON array or
JSON Lines with `instruction`, `input` (may be empty) and `output`. An example is cut behind --length tokens; where its
prompt fills them all, no response is left to be measured, and its perplexity is `nan`, a missing row.

Training is transformers' Trainer: AdamW, a cosine schedule, one process, on whatever device it finds. Needs the Python
packages torch, transformers and accelerate. With --save FOLDER the trained model is kept. With --checkpoints FOLDER the
model of each column is, in FOLDER/0, FOLDER/1 and so on, and FOLDER/prompts.jsonl has the prompt and the response of each
example. `lm-score --model FOLDER/1 --prompt-field prompt --field output --eos --max-length 512 --columns perplexity` gives
P1 anew, and small2large.mk with CHECKPOINTS all columns.
"""

import argparse
import json
import math
import os
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

IGNORED = -100
ABOUT = "Below is an instruction that describes a task"
PROMPT = ABOUT + (
    ". Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:"
)
PROMPT_WITH_INPUT = ABOUT + (
    ", paired with an input that provides further context. Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True, metavar="FOLDER", help="causal model, with its tokenizer")
    parser.add_argument("--data", required=True, type=Path, metavar="FILE", help="a JSON array or JSON Lines")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where the columns go")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="epochs (%(default)s)")
    parser.add_argument("--length", type=int, default=512, metavar="N", help="tokens of an example (%(default)s)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="examples of a batch (%(default)s)")
    parser.add_argument("--accumulate", type=int, default=1, metavar="N", help="batches of a step (%(default)s)")
    parser.add_argument("--rate", type=float, default=2e-5, metavar="X", help="learning rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of examples (%(default)s)")
    parser.add_argument("--bf16", action="store_true", help="train in mixed precision")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="keep the model of each column in a new one there")
    parser.add_argument("--save", metavar="FOLDER", help="keep the trained model there")
    return parser.parse_args()


def read(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]


def prompt_of(example):
    return (PROMPT_WITH_INPUT if example.get("input") else PROMPT).format_map(example)


def encode(example, tokenizer, length):
    """Tokens of prompt and response together; as many as the prompt has by itself are no labels."""
    prompt = prompt_of(example)
    whole = tokenizer(prompt + example["output"] + tokenizer.eos_token, truncation=True, max_length=length)
    begin = len(tokenizer(prompt, truncation=True, max_length=length)["input_ids"])
    ids = whole["input_ids"]
    return {"input_ids": ids, "labels": [IGNORED] * min(begin, len(ids)) + ids[begin:]}


def padded(examples):
    """A batch, padded at the right; what is padding is masked, whatever its token."""
    longest = max(len(example["input_ids"]) for example in examples)

    def rows(values, filler):
        return torch.tensor([list(value) + [filler] * (longest - len(value)) for value in values])

    return {
        "input_ids": rows([example["input_ids"] for example in examples], 0),
        "attention_mask": rows([[1] * len(example["input_ids"]) for example in examples], 0),
        "labels": rows([example["labels"] for example in examples], IGNORED),
    }


@torch.no_grad()
def perplexities(model, examples, batch):
    """One for each example, in order; NaN where there is no response."""
    was_training, found = model.training, []
    model.eval()
    for inputs in DataLoader(examples, batch_size=batch, collate_fn=padded):
        inputs = {name: value.to(model.device) for name, value in inputs.items()}
        labels = inputs.pop("labels")[:, 1:]
        logits = model(**inputs).logits[:, :-1].float()
        losses = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        counts = (labels != IGNORED).sum(dim=1)
        found += (losses.double().sum(dim=1) / counts).exp().tolist()
    model.train(was_training)
    return found


def write(rows, path):
    """Lines, all of them or none."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    beside.replace(path)


def table(columns):
    return ("\t".join("nan" if math.isnan(number) else repr(number) for number in row) for row in zip(*columns))


class Checkpoints:
    """The model of each column, and what lm-score makes the column of."""

    def __init__(self, folder, data, tokenizer):
        self.folder, self.tokenizer = folder, tokenizer
        folder.mkdir(parents=True)
        pairs = (dict(prompt=prompt_of(example), output=example["output"]) for example in data)
        write((json.dumps(pair, ensure_ascii=False) for pair in pairs), folder / "prompts.jsonl")

    def keep(self, model, number):
        folder = self.folder / str(number)
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


class Measurement(TrainerCallback):
    """Adds a column before training, and one behind each epoch."""

    def __init__(self, examples, batch, path, checkpoints):
        self.examples, self.batch, self.path, self.checkpoints, self.columns = examples, batch, path, checkpoints, []

    def measure(self, model):
        if self.checkpoints:
            self.checkpoints.keep(model, len(self.columns))
        self.columns.append(perplexities(model, self.examples, self.batch))
        write(table(self.columns), self.path)
        print(f"P{len(self.columns) - 1}: {len(self.examples)} examples", flush=True)

    def on_train_begin(self, args, state, control, model=None, **_):
        self.measure(model)

    def on_epoch_end(self, args, state, control, model=None, **_):
        self.measure(model)


def main():
    args = arguments()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SystemExit("perplexities.py: one process only: the rows of several are not put together")
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    if tokenizer.eos_token is None:
        raise SystemExit(f"perplexities.py: {args.model}: the tokenizer has no end-of-sequence token")
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    data = read(args.data)
    examples = [encode(example, tokenizer, args.length) for example in data]
    checkpoints = Checkpoints(args.checkpoints, data, tokenizer) if args.checkpoints else None
    settings = TrainingArguments(
        output_dir=args.save or str(args.out.parent / "perplexities.trainer"),
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch,
        gradient_accumulation_steps=args.accumulate,
        learning_rate=args.rate,
        lr_scheduler_type="cosine",
        bf16=args.bf16,
        seed=args.seed,
        save_strategy="no",
        report_to=[],
        remove_unused_columns=False,
    )
    trainer = Trainer(
        model=model,
        args=settings,
        train_dataset=[example for example in examples if set(example["labels"]) != {IGNORED}],
        data_collator=padded,
        callbacks=[Measurement(examples, args.batch, args.out, checkpoints)],
    )
    trainer.train()
    if args.save:
        trainer.save_model(args.save)
        tokenizer.save_pretrained(args.save)


if __name__ == "__main__":
    main()
