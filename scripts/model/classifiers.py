"""Random encoders with heads that classify, and what transformers makes of texts with them in 32-bit floats.

    classifiers.py write DATA > folders.json       tiny ones, for the tests: a folder each in DATA
    classifiers.py agree PROGRAMS CORPUS.jsonl     larger ones, compared with jsonl-classify on paragraphs of the corpus; see
                                                   scripts/agree-classify

A number is what the last layer gives, and the same by the activation that the folder's `problem_type` says.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.update(TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")

import torch
from models import VOCABULARY, shake, tokenizer
from transformers import (
    AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification, ModernBertConfig,
    ModernBertForSequenceClassification, MPNetConfig, MPNetForSequenceClassification, NomicBertConfig, NomicBertForSequenceClassification,
    RobertaConfig, RobertaForSequenceClassification, XLMRobertaConfig, XLMRobertaForSequenceClassification,
)

LIMIT, MOST = 32, 1e-5
TEXTS = ["", "the code of the model", "The Cluster's data; return (text) for words.", "éé 日本 zzz 🙂", "a b c d e f g " * 12, "x"]
ACTIVATIONS = {"regression": lambda x: x, "single_label_classification": lambda x: x.softmax(-1), "multi_label_classification": torch.sigmoid}


def folders(width, layers):
    """Name, class, settings, kind of tokenizer, and the `problem_type`, which is written unless it is the default."""
    shape = dict(vocab_size=VOCABULARY, hidden_size=12 * width, num_hidden_layers=layers, num_attention_heads=width, intermediate_size=16 * width)
    places = dict(max_position_embeddings=LIMIT + 2, pad_token_id=1)
    modern = dict(local_attention=8, max_position_embeddings=64, pad_token_id=0, bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3)
    names = dict(id2label={0: "poor", 1: "quite good", 2: "très bien"}, label2id={"poor": 0, "quite good": 1, "très bien": 2})
    single, multi, score = "single_label_classification", "multi_label_classification", "regression"
    bert = dict(**shape, max_position_embeddings=LIMIT)
    yield "bert", BertForSequenceClassification, BertConfig(**bert, **names), "bert", single
    yield "bert-score", BertForSequenceClassification, BertConfig(**bert, num_labels=1), "bert", score
    yield "bert-scores", BertForSequenceClassification, BertConfig(**bert, num_labels=2, problem_type=score), "bert", score
    yield "bert-multi", BertForSequenceClassification, BertConfig(**bert, num_labels=5, problem_type=multi), "bert", multi
    yield "roberta", RobertaForSequenceClassification, RobertaConfig(**shape, **places, num_labels=2), "roberta", single
    yield "xlm-roberta", XLMRobertaForSequenceClassification, XLMRobertaConfig(**shape, **places, num_labels=3), "roberta", single
    yield "mpnet", MPNetForSequenceClassification, MPNetConfig(**shape, **places, num_labels=3, problem_type=single), "roberta", single
    yield "nomic-bert", NomicBertForSequenceClassification, NomicBertConfig(**{**shape, "max_position_embeddings": 64}, num_labels=4), "bert", single
    yield "modern-bert", ModernBertForSequenceClassification, ModernBertConfig(**shape, **modern, num_labels=3), "bert", single
    mean = dict(classifier_pooling="mean", classifier_bias=True, norm_bias=True, num_labels=1, problem_type=multi)
    yield "modern-bert-mean", ModernBertForSequenceClassification, ModernBertConfig(**shape, **modern, **mean), "bert", multi


def write(folder, model, kind):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shake(model).save_pretrained(folder)
    tokenizer(folder, kind, LIMIT)


class Peer:
    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        self.labels = [self.model.config.id2label[label] for label in range(self.model.config.num_labels)]

    def logits(self, text):
        with torch.inference_mode():
            ids = self.tokenizer(text, truncation=True, max_length=LIMIT, return_tensors="pt")
            return self.model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).logits[0]


def expect(data):
    found = {}
    for name, kind_of, config, kind, problem in folders(2, 1):
        folder = data / f"classify-{name}"
        write(folder, kind_of(config), kind)
        peer = Peer(folder)
        logits = [peer.logits(text) for text in TEXTS]
        found[name] = dict(labels=peer.labels, none=[x.tolist() for x in logits], rows=[ACTIVATIONS[problem](x).tolist() for x in logits])
    json.dump(dict(texts=TEXTS, folders=found), sys.stdout, indent=1, ensure_ascii=False)
    print()


def paragraphs(corpus, count=300):
    with open(corpus, encoding="utf-8") as lines:
        parts = [part for line in lines for part in json.loads(line)["text"].split("\n\n")[:4] if len(part) <= 2000]
    return TEXTS + parts[:: max(1, len(parts) // count)][:count]


def agree(programs, corpus):
    texts, good = paragraphs(corpus), True
    with tempfile.TemporaryDirectory(prefix="classify.") as holder:
        documents = Path(holder) / "documents"
        documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        for name, kind_of, config, kind, problem in folders(8, 4):
            folder = Path(holder) / name
            write(folder, kind_of(config), kind)
            peer = Peer(folder)
            flags = [flag for label in peer.labels for flag in ("--label", label)]
            rows = subprocess.run([programs / "jsonl-classify", "--model", folder, *flags, documents], stdout=subprocess.PIPE, check=True, text=True).stdout
            ours = torch.tensor([[float(field) for field in row.split("\t")[:-1]] for row in rows.splitlines()])
            theirs = torch.stack([ACTIVATIONS[problem](peer.logits(text)) for text in texts])
            largest = ((ours - theirs).abs() / theirs.abs().clamp(min=1)).max().item()
            good &= largest <= MOST
            print(f"{name}: {len(texts)} texts, numbers differ by {largest:.1e} at the most: {'agrees' if largest <= MOST else 'DIFFERS'}")
    return good


def main():
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    match sys.argv[1:]:
        case ["write", data]:
            expect(Path(data))
        case ["agree", programs, corpus]:
            sys.exit(not agree(Path(programs), corpus))
        case _:
            sys.exit(__doc__)


main()
