"""k-means of kmeans-fit beside that of FAISS and scikit-learn: peers.py agree|bench PROGRAMS VECTORS.npy

agree: from the same first centroids, after each of 20 iterations, are the labels, the next centroids and the inertia those of the peers? Where a
label differs, 64-bit floats decide who is right. Then: is what comes of our own first centroids as good as what comes of theirs, over 5 seeds?
bench: agree, then the time of 20 iterations, and of mini-batches.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from checks import check, end, failures
from measure import CORES, fastest_openblas, in_turn

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(CORES)
# An assignment of FAISS's: the least seconds of three.
OPENBLAS = fastest_openblas("""
import faiss, numpy, time
x, c = (numpy.random.default_rng(0).standard_normal((n, 384), dtype=numpy.float32) for n in (16384, 1000))
index, seconds = faiss.IndexFlatIP(384), []
index.add(c)
for _ in range(4):
    started = time.perf_counter()
    index.search(x, 1)
    seconds.append(time.perf_counter() - started)
print(min(seconds))
""")

import faiss
import numpy as np
from safetensors import safe_open
from sklearn.cluster import KMeans, MiniBatchKMeans

K, ITERATIONS = 1000, 20
faiss.omp_set_num_threads(CORES)


class Ours:
    def __init__(self, programs, vectors):
        self.programs, self.vectors = programs, vectors
        self.folder = tempfile.TemporaryDirectory()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def fit(self, *flags, init=None, environment=None):
        """The centroids, the metadata, the seconds."""
        if init is not None:
            np.save(self.path("init.npy"), init)
            flags += ("--centroids", self.path("init.npy"))
        command = [os.path.join(self.programs, "kmeans-fit"), *flags, self.vectors]
        with open(self.path("model"), "wb") as model:
            started = time.monotonic()
            subprocess.run(command, stdout=model, check=True, env={**os.environ, **(environment or {})})
            seconds = time.monotonic() - started
        with safe_open(self.path("model"), "numpy") as model:
            return model.get_tensor("centroids"), model.metadata(), seconds

    def assign(self, centroids, metric):
        """Labels and distances."""
        np.save(self.path("centroids.npy"), centroids)
        command = [os.path.join(self.programs, "kmeans-assign"), "--metric", metric]
        command += ["--centroids", self.path("centroids.npy"), self.vectors]
        column = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        rows = np.array(column.split(), dtype=np.float64).reshape(-1, 2)
        return rows[:, 0].astype(np.int64), rows[:, 1]


def truth(x, centroids, metric):
    """Which centroid is nearest, in 64-bit floats, and how much nearer than the second."""
    x, c = x.astype(np.float64), centroids.astype(np.float64)
    if metric == "cosine":
        rank = -(x @ c.T) / np.linalg.norm(c, axis=1)
    else:
        rank = ((x[:, None, :] - c[None]) ** 2).sum(axis=2)
    return rank.argmin(axis=1)


def faiss_step(x, centroids, metric, iterations=1):
    peer = faiss.Kmeans(
        x.shape[1], len(centroids), niter=iterations, spherical=metric == "cosine", min_points_per_centroid=1, max_points_per_centroid=1 << 30
    )
    peer.train(x, init_centroids=centroids)
    return peer.centroids, peer.obj[0]


def faiss_labels(x, centroids, metric):
    index = faiss.IndexFlatIP(x.shape[1]) if metric == "cosine" else faiss.IndexFlatL2(x.shape[1])
    index.add(centroids)
    return index.search(x, 1)[1][:, 0]


def sklearn_step(x, centroids, metric, iterations=1):
    peer = KMeans(len(centroids), init=centroids, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd")
    peer.fit(x)
    return peer.cluster_centers_, None


def sklearn_labels(x, centroids, metric):
    peer = KMeans(len(centroids), init=centroids, n_init=1, max_iter=1)
    peer._n_threads, peer.cluster_centers_ = CORES, centroids
    return peer.predict(x)


def agree(ours, x, k, metric, peer, step, labels):
    """Iteration by iteration from our centroids, so that differences do not pile up."""
    print(f"{peer}, {metric}, k = {k}: the same first centroids, {ITERATIONS} iterations, {len(x)} rows")
    centroids = np.ascontiguousarray(x[:: len(x) // k][:k])
    first, differing, wrong, moved, inertias = centroids, 0, 0, 0.0, []
    rule = ("--metric", metric, "--tol", "0", "--patience", "1000")
    for _ in range(ITERATIONS):
        mine, distances = ours.assign(centroids, metric)
        theirs = labels(x, centroids, metric)
        at = np.flatnonzero(mine != theirs)
        differing += len(at)
        wrong += int((truth(x[at], centroids, metric) != mine[at]).sum()) if len(at) else 0
        after, _, _ = ours.fit(*rule, "--iters", "1", init=centroids)
        beyond, inertia = step(x, centroids, metric)
        # A row that goes elsewhere moves two centroids; clusters that were empty are filled in other ways.
        touched = np.union1d(np.union1d(mine[at], theirs[at]), np.flatnonzero(np.bincount(mine, minlength=k) < 2))
        same = np.setdiff1d(np.arange(k), touched)
        moved = max(moved, float(np.abs(after[same] - beyond[same]).max()))
        if inertia is not None:
            own = len(x) - distances.sum() if metric == "cosine" else (distances**2).sum()
            inertias.append(abs(inertia - own) / own)
        centroids = after
    check(wrong == 0, f"labels: {differing} of {ITERATIONS * len(x)} differ; in 64-bit floats ours are wrong in {wrong}")
    check(differing < 1e-3 * ITERATIONS * len(x), "fewer than 1 in 1000 differ")
    check(moved < 1e-5, f"centroids after each iteration differ by {moved:.1e} at the most")
    if inertias:
        check(max(inertias) < 1e-5, f"inertia of each iteration differs by a share of {max(inertias):.1e} at the most")
    whole, _, _ = ours.fit(*rule, "--iters", str(ITERATIONS), init=first)
    check(np.array_equal(whole, centroids), "20 iterations in one run are 20 runs of one")
    theirs, _ = step(x, first, metric, ITERATIONS)
    power = 1 if metric == "cosine" else 2
    mine, theirs = ((ours.assign(c, metric)[1] ** power).sum() for c in (whole, np.ascontiguousarray(theirs, dtype=np.float32)))
    check(mine <= theirs * 1.001, f"inertia when each went {ITERATIONS} iterations by itself: ours {mine:.2f}, theirs {theirs:.2f}")


def seeding(ours, x, k):
    print(f"own first centroids, k = {k}, {ITERATIONS} iterations, euclidean, 5 seeds: inertia")

    def inertia(centroids):
        return (ours.assign(np.ascontiguousarray(centroids, dtype=np.float32), "euclidean")[1] ** 2).sum()

    rule = ("-k", str(k), "--metric", "euclidean", "--iters", str(ITERATIONS), "--tol", "0", "--patience", "1000")
    mine = [inertia(ours.fit(*rule, "--seed", str(seed))[0]) for seed in range(5)]
    faiss_ones, sklearn_ones = [], []
    for seed in range(5):
        peer = faiss.Kmeans(x.shape[1], k, niter=ITERATIONS, seed=seed + 1, max_points_per_centroid=1 << 30)
        peer.train(x)
        faiss_ones.append(inertia(peer.centroids))
        peer = KMeans(k, n_init=1, max_iter=ITERATIONS, tol=0, random_state=seed).fit(x)
        sklearn_ones.append(inertia(peer.cluster_centers_))
    for name, ones in (("kmeans-fit", mine), ("FAISS", faiss_ones), ("scikit-learn", sklearn_ones)):
        print(f"  {name:12} {' '.join(f'{one:.1f}' for one in ones)}  mean {np.mean(ones):.1f}")
    check(np.mean(mine) <= np.mean(faiss_ones), "ours is no worse than FAISS's")
    # Seeds scatter; what is no worse is what is not worse by more than the means are known.
    error = np.hypot(np.std(mine, ddof=1), np.std(sklearn_ones, ddof=1)) / np.sqrt(5)
    check(np.mean(mine) <= np.mean(sklearn_ones) + error, f"ours is no worse than scikit-learn's (standard error {error:.1f})")


def tiles(programs):
    """GFLOP/s of all cores' AMX tiles with nothing loaded or stored; None where there are none."""
    command = [os.path.join(programs, "examples", "kmeans_bench")]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env={**os.environ, "MACHINE": "none"}).stdout
    return CORES * float(said.split(": ")[1].split()[0]) if said else None


def bench(ours, x):
    peak_of_tiles = tiles(ours.programs)
    print(f"time: {len(x)} x {x.shape[1]}, {CORES} cores, the least of three rounds in turn, seconds; ours with starting, reading and writing")
    print(f"  (OPENBLAS_CORETYPE for the peers, the fastest of five: {OPENBLAS})")
    first = np.ascontiguousarray(x[:: len(x) // K][:K])
    rule = ("--iters", str(ITERATIONS), "--tol", "0", "--patience", "1000")
    peer_name = "FAISS, spherical, k = 1000, 20 iterations"

    def fit(environment):
        return lambda: ours.fit(*rule, init=first, environment=environment)[2]

    def peer():
        faiss_step(x, first, "cosine", ITERATIONS)

    sides = in_turn([(peer_name, peer), ("kmeans-fit", fit({})), ("kmeans-fit without AMX", fit({"CORPUS_UTILS_CPU": "avx512"}))])
    theirs = sides.pop(peer_name)
    print(f"  {peer_name:60} {theirs}")
    for name, side in sides.items():
        print(f"  {name:60} {side}  {theirs.least / side.least:5.1f} times faster")
        flops = 2.0 * (ITERATIONS + 1) * len(x) * K * x.shape[1] / side.least / 1e9
        share = f", {100 * flops / peak_of_tiles:.0f} % of what the tiles do from registers alone" if peak_of_tiles and name == "kmeans-fit" else ""
        print(f"  {'':60} {flops:8.0f} GFLOP/s of products{share}")
    bench_batches(ours, x)


def bench_batches(ours, x):
    fitted = []

    def mini_batch():
        fitted[:] = [MiniBatchKMeans(220, batch_size=16384, random_state=0).fit(x)]

    squares = lambda centroids: (ours.assign(np.ascontiguousarray(centroids, dtype=np.float32), "euclidean")[1] ** 2).sum()
    rule = ("-k", "220", "--metric", "euclidean", "--tol", "0", "--patience", "1000")
    flags = {
        "kmeans-fit -k 220 --iters 5, all rows": ("--iters", "5"),
        "kmeans-fit -k 220 --batch 16384, one pass": ("--batch", "16384"),
        "kmeans-fit -k 220 --batch 16384, 5 passes": ("--batch", "16384", "--iters", "5"),
    }
    own = {name: squares(ours.fit(*rule, *some)[0]) for name, some in flags.items()}
    peer_name = "MiniBatchKMeans, k = 220, batch 16384"
    sides = in_turn([(peer_name, mini_batch)] + [(name, lambda some=some: ours.fit(*rule, *some)[2]) for name, some in flags.items()])
    their, theirs = squares(fitted[0].cluster_centers_), sides.pop(peer_name)
    print("  each with its own seeding, which counts:")
    print(f"  {peer_name:60} {theirs}  inertia {their:.1f}, {fitted[0].n_steps_} steps")
    for name, side in sides.items():
        # A worse answer is no speed-up.
        ratio = f"{theirs.least / side.least:.1f} times faster" if own[name] <= their else "a worse answer, so no ratio"
        print(f"  {name:60} {side}  inertia {own[name]:.1f}, {ratio}")


def main():
    mode, programs, vectors = sys.argv[1:]
    x = np.load(vectors).astype(np.float32)
    ours = Ours(programs, vectors)
    agree(ours, x, K, "cosine", "FAISS", faiss_step, faiss_labels)
    if mode == "agree":
        agree(ours, x, K, "euclidean", "FAISS", faiss_step, faiss_labels)
        agree(ours, x, 220, "euclidean", "scikit-learn", sklearn_step, sklearn_labels)
        seeding(ours, x, 220)
    if mode == "bench" and not failures:
        bench(ours, x)
    end()


main()
