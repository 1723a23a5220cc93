"""Mixtures of gmm-fit and scores of gmm-score beside scikit-learn's GaussianMixture(covariance_type="diag"): peers.py agree|bench PROGRAMS
VECTORS.npy

agree: from the same clusters, after 0, 1, 5 and 20 iterations, are weights, means, covariances and lower bound those of the peer, within 1e-6
of the largest of each, and log-likelihoods (and their ratio, and responsibilities) within 1e-9? On 20,000 of the vectors with 50 components, and
on small data that is hard. The peer computes in 64-bit floats.
bench: the same with 50 and with 1000 components, then the time of 20 iterations, and of scores.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from checks import check, end, failures
from measure import CORES, fastest_openblas, in_turn

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(CORES)
# A product of scikit-learn's: the least seconds of three.
OPENBLAS = fastest_openblas("""
import numpy, time
x, c = (numpy.random.default_rng(0).standard_normal((n, 384)) for n in (16384, 1000))
seconds = []
for _ in range(4):
    started = time.perf_counter()
    x @ c.T
    seconds.append(time.perf_counter() - started)
print(min(seconds))
""")

import numpy as np
from safetensors import safe_open
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

ROWS = 20_000
warnings.simplefilter("ignore", ConvergenceWarning)


class FromLabels(GaussianMixture):
    """Begins with given clusters instead of its own k-means."""

    def begin(self, labels):
        self.labels = labels
        return self

    def _initialize_parameters(self, rows, random_state):
        self._initialize(rows, np.eye(self.n_components)[self.labels])


class Ours:
    def __init__(self, programs, rows, first):
        self.programs, self.folder = programs, tempfile.TemporaryDirectory()
        np.save(self.path("rows.npy"), rows)
        np.save(self.path("first.npy"), first)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def run(self, program, *flags, to):
        """The seconds."""
        with open(self.path(to), "wb") as output:
            started = time.monotonic()
            subprocess.run([os.path.join(self.programs, program), *flags, self.path("rows.npy")], stdout=output, check=True)
            return time.monotonic() - started

    def fit(self, iterations, to="model"):
        return self.run("gmm-fit", "--centroids", self.path("first.npy"), "--iters", str(iterations), "--tol", "0", to=to)

    def model(self, name="model"):
        with safe_open(self.path(name), "numpy") as model:
            return {name: model.get_tensor(name) for name in model.keys()}, model.metadata()

    def labels(self):
        self.run("kmeans-assign", "--metric", "euclidean", "--centroids", self.path("first.npy"), to="labels")
        return np.loadtxt(self.path("labels"), usecols=0, dtype=np.int64)

    def score(self, *flags):
        return self.run("gmm-score", "--mixture", self.path("model"), *flags, to="scores")

    def scores(self):
        return np.loadtxt(self.path("scores"), ndmin=2)


def far(found, expected):
    """The largest difference, as a share of the largest number that is expected."""
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def agree(name, rows, k, iterations=(0, 1, 5, 20)):
    """Compares fits and scores; gives what the time can be taken of."""
    first = np.ascontiguousarray(rows[:: max(1, len(rows) // k)][:k])
    ours, wide = Ours(programs, rows, first), rows.astype(np.float64)
    labels = ours.labels()
    print(f"agreement: {name}, {len(rows)} x {rows.shape[1]}, {k} components")
    peer = None
    for count in iterations:
        ours.fit(count)
        tensors, said = ours.model()
        peer = FromLabels(k, covariance_type="diag", max_iter=count, tol=0).begin(labels).fit(wide)
        apart = {part: far(tensors[part], getattr(peer, part + "_")) for part in ("weights", "means", "covariances")}
        if count > 0:
            bound = float(said["lower_bounds"].split()[-1])
            apart["lower bound"] = abs(bound - peer.lower_bound_) / max(1.0, abs(peer.lower_bound_))
        said = ", ".join(f"{part} {share:.1e}" for part, share in apart.items())
        check(all(share <= 1e-6 for share in apart.values()), f"after {count} iterations: {said}")
    # Scores are of one mixture: ours, in the peer's hands.
    tensors, _ = ours.model()
    peer.weights_, peer.means_, peer.covariances_ = (tensors[part] for part in ("weights", "means", "covariances"))
    peer.precisions_cholesky_ = 1 / np.sqrt(peer.covariances_)
    expected = peer.score_samples(wide)
    ours.score()
    apart = far(ours.scores()[:, 0], expected)
    check(apart <= 1e-9, f"log-likelihoods: {apart:.1e}")
    ours.score("--responsibilities")
    apart = far(ours.scores()[:, 1:], peer.predict_proba(wide))
    check(apart <= 1e-9, f"responsibilities: {apart:.1e}")
    ours.fit(0, to="other")
    ours.score("--against", ours.path("other"))
    tensors, _ = ours.model("other")
    peer.weights_, peer.means_, peer.covariances_ = (tensors[part] for part in ("weights", "means", "covariances"))
    peer.precisions_cholesky_ = 1 / np.sqrt(peer.covariances_)
    other = peer.score_samples(wide)
    apart = float(np.max(np.abs(ours.scores()[:, 0] - (expected - other))) / np.max(np.abs(expected)))
    check(apart <= 1e-9, f"log ratios, as a share of log-likelihoods: {apart:.1e}")
    return ours, wide, labels


def hard():
    """Small data: overlapping, far from 0, of unequal scales, with equal rows, constant columns, as many components as rows."""
    random = np.random.default_rng(0)

    def blobs(rows, dim, k, apart):
        centers = random.normal(size=(k, dim)) * apart
        around = random.normal(size=(rows, dim)) * random.uniform(0.2, 2, size=(1, dim))
        return (centers[random.integers(0, k, rows)] + around).astype(np.float32)

    yield "overlapping", blobs(3000, 2, 5, 1), 5
    yield "20 values", blobs(3000, 20, 7, 1), 7
    yield "far from 0", blobs(2000, 5, 4, 3) + np.float32(1000), 4
    yield "unequal scales", (blobs(2000, 3, 4, 3) * np.array([1e5, 1, 1e-4])).astype(np.float32), 4
    yield "equal rows", np.repeat(blobs(30, 4, 3, 3), 20, axis=0), 6
    yield "constant columns", np.hstack([blobs(500, 3, 3, 3), np.ones((500, 2), np.float32)]), 3
    yield "as many components as rows", blobs(8, 3, 2, 3), 8


def bench(k, rows):
    ours, wide, labels = agree("embeddings", rows, k, iterations=(1, 20))
    if failures:
        return
    print(f"time: {len(rows)} x {rows.shape[1]}, {k} components, {CORES} cores, the least of three rounds in turn, seconds")
    print(f"  (ours with starting, reading and writing; OPENBLAS_CORETYPE for the peer, the fastest of five: {OPENBLAS})")
    peer = FromLabels(k, covariance_type="diag", max_iter=20, tol=0).begin(labels)

    def peer_fit():
        """Without the E step for labels that its fit ends with."""
        started = time.monotonic()
        peer._initialize_parameters(wide, None)
        for _ in range(20):
            _, shares = peer._e_step(wide)
            peer._m_step(wide, shares)
        return time.monotonic() - started

    def peer_score():
        started = time.monotonic()
        peer.score_samples(wide)
        return time.monotonic() - started

    names = ("scikit-learn, 20 iterations", "gmm-fit"), ("scikit-learn, scores", "gmm-score")
    for (their_name, our_name), theirs, mine in zip(names, (peer_fit, peer_score), (lambda: ours.fit(20), ours.score)):
        sides = in_turn([(their_name, theirs), (our_name, mine)])
        ratio = sides[their_name].least / sides[our_name].least
        print(f"  {their_name:40} {sides[their_name]}")
        print(f"  {our_name:40} {sides[our_name]}  {ratio:5.1f} times faster")


mode, programs, vectors = sys.argv[1:]
embeddings = np.ascontiguousarray(np.load(vectors)[:ROWS].astype(np.float32))
if mode == "agree":
    agree("embeddings", embeddings, 50)
    for hard_name, hard_rows, components in hard():
        agree(hard_name, np.ascontiguousarray(hard_rows), components)
else:
    bench(50, embeddings)
    bench(1000, embeddings)
end()
