"""DSIR as PyPI's data-selection 1.0.3 has it, run on one raw and one target file.

One thing is patched: `hash_buckets` encodes an n-gram with errors='surrogatepass', because the package's own
`text.encode('utf-8')` crashes on the lone surrogates that JSON lets into a Python string. The rest is the package's,
with num_proc=1 (its weights depend on the number of workers) and all tokens to fit on.
"""
import hashlib
import io
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
from data_selection import hashed_ngram_dsir
from nltk.tokenize import WordPunctTokenizer


def hash_buckets(text, num_buckets=10000):
    return int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), 16) % num_buckets


hashed_ngram_dsir.hash_buckets = hash_buckets

# \w and \s of `re`, not of the `regex` package that later versions of NLTK use.
assert WordPunctTokenizer().tokenize("i\u0307\x1cx\u00b2") == ["i", "\u0307", "x\u00b2"]


class Counting(hashed_ngram_dsir.HashedNgramDSIR):
    """Keeps the counts, which the package divides at once."""

    def _fit_bow(self, paths, **kwargs):
        counts = super()._fit_bow(paths, **kwargs)
        self.counts.append(counts)
        return counts


class Answer:
    """raw_counts, target_counts: by bucket. weights, lengths: by row of the raw file. magnitudes: sums of |terms|."""

    def __init__(self, raw, target, ngrams, buckets, field="text", min_length=100):
        def parse(example):
            for name in field.split("."):
                example = example[name]
            return example

        self.raw = str(raw)
        self.cache = tempfile.TemporaryDirectory()
        self.model = Counting([self.raw], [str(target)], self.cache.name + "/cache", num_proc=1, ngrams=ngrams,
                              num_buckets=buckets, min_example_length=min_length,
                              raw_parse_example_fn=parse, target_parse_example_fn=parse)
        self.model.counts = []
        magnitudes = []
        estimate = self.model.importance_estimator

        def estimate_and_keep(features):
            magnitudes.append(float(np.dot(np.abs(self.model.log_diff), features)))
            return estimate(features)

        self.model.importance_estimator = estimate_and_keep
        with redirect_stderr(io.StringIO()):
            self.model.fit_importance_estimator("all")
            self.model.compute_importance_weights()
        self.raw_counts, self.target_counts = self.model.counts
        load = lambda folder: np.load(Path(folder) / "0.npy")
        self.weights = load(self.model.log_importance_weights_dir)
        self.lengths = load(self.model.perexample_metadata_dir).astype(int)
        self.magnitudes = np.array(magnitudes)
        self.long_enough = np.flatnonzero(self.lengths >= min_length)

    def top(self, count):
        """The lines, stripped, that the package's resample(top_k=True) writes."""
        out = Path(tempfile.mkdtemp(dir=self.cache.name))
        with redirect_stderr(io.StringIO()):
            self.model.resample(str(out / "out"), count, str(out / "cache"), top_k=True)
        return (out / "out" / "0.jsonl").read_bytes().split(b"\n")[:-1]

    def margin(self, count):
        """How much the last chosen weight is above the first that is not; 0 is a tie."""
        ranked = np.sort(self.weights[self.long_enough])[::-1]
        return float(ranked[count - 1] - ranked[count])


def count_lines(counts):
    """A count file without its header: `bucket<TAB>count`, ascending, non-zero."""
    return "".join(f"{bucket}\t{counts[bucket]}\n" for bucket in np.flatnonzero(counts))
