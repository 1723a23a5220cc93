"""Tiny fastText models of every kind, and what fastText's own Python predicts with them: `models.py DATA > expected.json`.

DATA gets a file a model. The object holds the texts, and for each model the first labels of each text with their probabilities; a text
goes in as one line, its newlines spaces. Twelve threads train, because with fewer fastText 0.9.3 begins with memory that nothing was written
to; so the files, and the numbers with them, are others each time.
"""
import json
import random
import sys
import tempfile
from pathlib import Path

import fasttext

DATA = Path(sys.argv[1])
TOP = 5
LETTERS = "abcdefghijklmnopqrstuvwxyzäöéßñøжщяδσ日本語中文한국어🙂🚀"


def words(numbers, count):
    return ["".join(numbers.choice(LETTERS) for _ in range(numbers.randint(1, 7))) for _ in range(count)]


def corpus(labels, vocabulary, lines, seed, name):
    """Lines of a label, which comes the rarer the higher its number, and of words, each of which prefers a few labels."""
    numbers = random.Random(seed)
    known = words(numbers, vocabulary)
    text = []
    for line in range(lines):
        label = line if line < labels else min(int(numbers.expovariate(4 / labels)), labels - 1)
        own = [known[(label * 7 + step * 13) % len(known)] for step in range(6)]
        text.append(f"__label__{name(label)} " + " ".join(numbers.choices(own + known[:40], k=numbers.randint(2, 12))))
    return known, "\n".join(text) + "\n"


def name(label):
    return "en" if label == 0 else f"l{label}" if label % 3 else f"ñ-{label}"


def train(file, labels=4, vocabulary=60, lines=300, quantise=None, name=name, **settings):
    """Writes a model; gives its words."""
    known, text = corpus(labels, vocabulary, lines, len(file), name)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as source:
        source.write(text)
        source.flush()
        model = fasttext.train_supervised(source.name, thread=12, epoch=25, lr=0.1, verbose=0, seed=5, **settings)
        if quantise:
            model.quantize(source.name, thread=12, verbose=0, **quantise)
    model.save_model(str(DATA / file))
    return known


def texts(known):
    numbers = random.Random(9)
    some = [" ".join(numbers.choices(known + words(numbers, 20), k=numbers.randint(1, 30))) for _ in range(20)]
    return some + [
        "", " ", "\n", "</s>", f"{known[0]} </s> {known[1]}", f"{known[0]}</s>{known[1]}", f"__label__en {known[2]}", f"__label__none {known[3]}",
        f"{known[3]}\t{known[4]}\n{known[5]}\r\n{known[6]}\v{known[7]}\f{known[8]}\x00{known[9]}", f"{known[1]}\u00a0{known[2]}\u2028{known[3]}\x85{known[4]}",
        "not a word of it", "x", "日", "🙂", "é e\u0301", "  " + known[5] + "   ", " ".join(known * 30), "".join(known * 5), "<a> > <",
    ]


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    letters = dict(minn=2, maxn=4, wordNgrams=2, bucket=300)
    known = train("softmax.bin", dim=5)
    train("letters.bin", dim=4, loss="softmax", minn=1, maxn=3, bucket=97)
    train("hs.bin", labels=23, vocabulary=90, lines=400, dim=4, loss="hs", minn=3, maxn=5, wordNgrams=3, bucket=61)
    train("ova.bin", dim=3, loss="ova", wordNgrams=4, bucket=53)
    train("ns.bin", dim=9, loss="ns", neg=2)
    train("hq.bin", labels=2, dim=2, wordNgrams=2, bucket=40, name=["cc", "hq"].__getitem__)
    train("one.bin", labels=1, dim=2, loss="ova")
    train("quantised.ftz", dim=5, quantise=dict(dsub=2), **letters)
    train("pruned.ftz", dim=4, loss="hs", labels=9, quantise=dict(cutoff=260, qnorm=True, dsub=3, retrain=True, epoch=2, lr=0.1), **letters)
    train("qout.ftz", dim=3, labels=270, vocabulary=290, lines=700, quantise=dict(qout=True, qnorm=True, dsub=2), **letters)
    inputs = texts(known)
    models = {}
    for path in sorted(DATA.glob("*")):
        model = fasttext.load_model(str(path))
        # The wrapper around it makes an array of NumPy of the probabilities.
        rows = [model.f.predict(text.replace("\n", " ") + "\n", TOP, 0.0, "strict") for text in inputs]
        models[path.name] = dict(labels=len(model.get_labels()), rows=[[[label, p] for p, label in row] for row in rows])
    json.dump(dict(texts=inputs, models=models), sys.stdout, ensure_ascii=False)
    print()


main()
