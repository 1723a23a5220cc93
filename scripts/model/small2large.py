"""Small2Large from the fine-tuning on: perplexities.py trains a tiny random model and keeps its checkpoints; see scripts/agree-lm.

    small2large.py write FOLDER      the examples, the checkpoints and the perplexities that the training says, for the tests
    small2large.py agree PROGRAMS    the same anew, and whether small2large.mk makes the same perplexities of the checkpoints

The examples are made up here. One has a prompt that fills the length, some have responses that do not fit in.
"""
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).parents[1]
DATA = SCRIPTS / "../lib/model/tests/data"
EXAMPLES, EPOCHS, LENGTH, MOST = 100, 2, 288, 1e-4
WORDS = "the cat and dog ran in a circle then another an end other here there when".split()


def examples():
    dice = random.Random(5)
    words = lambda most: " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, most)))
    for number in range(EXAMPLES):
        text = words(6 if number % 9 else 30)
        tasks = [("Say it twice.", text, f"{text} {text}"), ("Say the last word.", text, text.split()[-1]),
                 (f"Which word is longest: {text}?", "", max(text.split(), key=len)), ("Count the words.", text, str(len(text.split())))]
        instruction, given, output = dice.choice(tasks)
        yield dict(instruction=instruction if number != 50 else instruction + " Please." * 60, input=given, output=output)


def train(folder):
    """Fills a new folder with examples.json, perplexities.tsv and checkpoints."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    (folder / "examples.json").write_text(json.dumps(list(examples()), indent=0) + "\n")
    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(DATA / "causal-llama")
    shape = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=LENGTH)
    config = LlamaConfig(**shape, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, tie_word_embeddings=True)
    with tempfile.TemporaryDirectory(prefix="small2large.") as holder:
        LlamaForCausalLM(config).save_pretrained(holder)
        tokenizer.save_pretrained(holder)
        flags = ["--epochs", EPOCHS, "--length", LENGTH, "--batch", 8, "--rate", 0.02, "--out", folder / "perplexities.tsv"]
        command = [sys.executable, "-B", "-X", "utf8", SCRIPTS / "perplexities.py", "--model", holder, "--data", folder / "examples.json",
                   "--checkpoints", folder / "checkpoints", *flags]
        quiet = {**os.environ, "TQDM_DISABLE": "1"}
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, env=quiet)
    shutil.rmtree(folder / "perplexities.trainer", ignore_errors=True)
    for unused in folder.glob("checkpoints/*/generation_config.json"):
        unused.unlink()


def columns(*paths):
    rows = zip(*(path.read_text().splitlines() for path in paths))
    return [[float(field) for part in row for field in part.split("\t")] for row in rows]


def agree(programs):
    with tempfile.TemporaryDirectory(prefix="small2large.") as holder:
        folder = Path(holder)
        train(folder)
        score = f"--prompt-field prompt --field output --eos --max-length {LENGTH}"
        checkpoints = " ".join(f"checkpoints/{number}" for number in range(EPOCHS + 1))
        command = ["make", "-f", SCRIPTS / "small2large.mk", "DATA=examples.json", f"CHECKPOINTS={checkpoints}", f"SCORE={score}",
                   "PROMPTS=checkpoints/prompts.jsonl", "MODEL=hash:64", "K=5", "SHARE=0.2", "chosen.jsonl", "random.jsonl"]
        path = f"{programs.resolve()}:{os.environ['PATH']}"
        subprocess.run(command, cwd=folder, env=dict(os.environ, PATH=path), check=True, stdout=subprocess.DEVNULL)
        wanted = columns(folder / "perplexities.tsv")
        ours = columns(*(folder / f"small2large.parts/perplexity.{number}.tsv" for number in range(EPOCHS + 1)))
        chosen = sum(1 for _ in open(folder / "chosen.jsonl"))
    pairs = [pair for rows in zip(ours, wanted, strict=True) for pair in zip(*rows, strict=True)]
    assert all(math.isnan(a) == math.isnan(b) for a, b in pairs)
    missing = sum(math.isnan(b) for _, b in pairs)
    largest = max(abs(a / b - 1) for a, b in pairs if not math.isnan(b))
    learned = sum(row[0] for row in wanted if not math.isnan(row[0])) / sum(row[-1] for row in wanted if not math.isnan(row[0]))
    good = largest <= MOST and chosen > EXAMPLES / 10 and learned > 2
    print(f"Small2Large: {len(pairs)} perplexities of {EPOCHS + 1} checkpoints ({missing} missing in both) by lm-score and by the training differ by "
          f"{largest:.1e} of themselves at the most; they fell {learned:.0f}-fold; {chosen} examples chosen: {'agrees' if good else 'DIFFERS'}")
    return good


def main():
    match sys.argv[1:]:
        case ["write", folder]:
            shutil.rmtree(folder, ignore_errors=True)
            Path(folder).mkdir(parents=True)
            train(Path(folder))
        case ["agree", programs]:
            sys.exit(not agree(Path(programs)))
        case _:
            sys.exit(__doc__)


main()
