"""The column of semdedup-score beside brute force and beside torch: peers.py agree|bench PROGRAMS VECTORS.npy

agree: with k = 1, 10, 100 and 1000 clusters of kmeans-fit, and each order of rows, is every cosine that of all pairs in 64-bit floats, within
1e-12, and the row that is named one that has it? And are the rows that SemDeDup removes at eps 0.05 and 0.01 (torch, 32-bit floats: products of
unit vectors, the upper triangle, the largest of each column) those above the threshold here, but for cosines within 1e-6 of it? And does the
peak of memory stay within --memory, and 16 MiB, with 10 times the rows, in one cluster that grows and in 100?
bench: the same, once, then the time of ours, whole, beside that of torch's products and maxima alone, for each k.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from checks import check, end, failures
from measure import CORES, in_turn, peak

import numpy as np
import torch

torch.set_num_threads(CORES)
MEMORY = 64  # MiB
BLOCK = 2048  # columns of products at a time, so that a cluster of all rows fits


class Ours:
    def __init__(self, programs, vectors):
        self.programs, self.vectors = programs, vectors
        self.folder = tempfile.TemporaryDirectory()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def run(self, program, *flags, to):
        """The seconds."""
        with open(self.path(to), "wb") as output:
            started = time.monotonic()
            subprocess.run([os.path.join(self.programs, program), *flags, self.vectors], stdout=output, check=True)
            return time.monotonic() - started

    def assign(self, k):
        """The cluster and the distance of each row."""
        self.run("kmeans-fit", "-k", str(k), "--iters", "10", to="centroids")
        self.run("kmeans-assign", "--centroids", self.path("centroids"), to="clusters")
        return np.loadtxt(self.path("clusters"), ndmin=2).T

    def score(self, *flags):
        return self.run("semdedup-score", "--clusters", self.path("clusters"), *flags, to="near")

    def scores(self):
        cosines, rows = np.loadtxt(self.path("near"), ndmin=2).T
        return cosines, rows.astype(np.int64)


def in_order(clusters, ranks):
    """The rows of each cluster, smallest rank first, then in their own order."""
    order = np.lexsort((np.arange(len(clusters)), ranks, clusters))
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)]


def products(rows):
    """Products of all rows up to a block of rows with those of the block, a column each: where the block begins and ends, and the products."""
    for start in range(0, len(rows), BLOCK):
        end = min(len(rows), start + BLOCK)
        yield start, end, rows[:end] @ rows[start:end].T


def brute_force(unit, groups, named):
    """The largest cosine of each row with one before it, and how many rows are named that do not have it (within 1e-12)."""
    cosines, wrong = np.full(len(unit), -1.0), 0
    place = np.zeros(len(unit), np.int64)
    for rows in groups:
        place[rows] = np.arange(len(rows))
        for start, end, found in products(unit[rows]):
            columns = np.arange(start, end)
            found[start:][columns[:, None] >= columns[None, :]] = -np.inf
            best, said = found.max(axis=0), named[rows[start:end]]
            at = place[said]  # of a row of another cluster: some place, where another row stands
            right = (said >= 0) & (at < columns) & (rows[np.minimum(at, end - 1)] == said)
            right &= found[np.minimum(at, end - 1), columns - start] >= best - 1e-12
            right[columns == 0] = said[columns == 0] == -1
            cosines[rows[start:end]] = np.where(columns == 0, -1.0, best)
            wrong += int(np.sum(~right))
    return cosines, wrong


def semdedup(unit, groups):
    """What SemDeDup holds against its threshold: 0 or the largest product with a row before, in 32-bit floats."""
    largest = torch.zeros(len(unit))
    for rows in groups:
        rows = torch.from_numpy(rows)
        for start, end, found in products(unit[rows]):
            largest[rows[start:end]] = found.triu_(1 - start).max(dim=0).values
    return largest.numpy()


def agree(ours, vectors, k, orders):
    clusters, distances = ours.assign(k)
    print(f"agreement: {len(vectors)} x {vectors.shape[1]}, {k} clusters")
    wide = vectors.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1)[:, None]
    single = torch.from_numpy(unit.astype(np.float32))
    ranks = {"farthest": -distances, "nearest": distances, "first": np.zeros(len(vectors))}
    for keep in orders:
        groups = in_order(clusters, ranks[keep])
        ours.score("--keep", keep)
        cosines, rows = ours.scores()
        expected, wrong = brute_force(unit, groups, rows)
        apart = float(np.max(np.abs(cosines - expected)))
        check(apart <= 1e-12 and wrong == 0, f"{keep}: cosines within {apart:.1e}, {wrong} rows named that do not have them")
        theirs = semdedup(single, groups)
        for eps in (0.05, 0.01):
            differ = (cosines > 1 - eps) != (theirs > 1 - eps)
            near = np.abs(cosines - (1 - eps)) < 1e-6
            removed = int(np.sum(theirs > 1 - eps))
            what = f"{keep}, eps {eps}: SemDeDup removes {removed}, and {int(np.sum(differ))} rows differ"
            check(not np.any(differ & ~near), what)
    return clusters, distances, single


def memory(ours, vectors):
    """With one cluster, a tenth of the rows and all; with 100, all of them and ten times as many, those of one block a little apart."""
    program = [os.path.join(ours.programs, "semdedup-score"), "--keep", "first", "--memory", f"{MEMORY}M", "--clusters", ours.path("rows.tsv")]
    for k, repeats in (1, (0.1, 1)), (100, (1, 10)):
        used = []
        for times in repeats:
            rows = int(len(vectors) * times)
            array = np.lib.format.open_memmap(ours.path("rows.npy"), "w+", np.float32, (rows, vectors.shape[1]))
            for start in range(0, rows, len(vectors)):
                array[start : start + len(vectors)] = np.roll(vectors, start // len(vectors), axis=1)[: rows - start]
            array.flush()
            np.savetxt(ours.path("rows.tsv"), np.arange(rows) % k, "%d\t0")
            used.append(peak([*program, ours.path("rows.npy")]))
        what = f"{used[0]:.0f} and {used[1]:.0f} MiB of {MEMORY}"
        check(max(used) <= MEMORY + 16, f"memory, {k} clusters, {repeats[0]} and {repeats[1]} times {len(vectors)} rows: {what}")


def bench(ours, vectors, k):
    clusters, distances, single = agree(ours, vectors, k, ["farthest"])
    if failures:
        return
    groups = in_order(clusters, -distances)
    half = single.to(torch.bfloat16)

    def theirs(unit):
        started = time.monotonic()
        for rows in groups:
            own = unit[torch.from_numpy(rows)]
            for start, _, found in products(own):
                found.triu_(1 - start).max(dim=0)
        return time.monotonic() - started

    print(f"time: {len(vectors)} x {vectors.shape[1]}, {k} clusters, {CORES} cores, the least of three rounds in turn, seconds")
    print("  (ours with starting, reading and writing; torch's products with rows before and their maxima alone, in memory)")
    names = "torch, 32-bit floats", "torch, bf16", "semdedup-score"
    sides = in_turn(list(zip(names, (lambda: theirs(single), lambda: theirs(half), ours.score))))
    for name in names:
        ratio = sides[name].least / sides[names[-1]].least
        print(f"  {name:24} {sides[name]}" + (f"  {ratio:5.1f} times ours" if name != names[-1] else ""))


mode, programs, path = sys.argv[1:]
embeddings = np.load(path).astype(np.float32)
mine = Ours(programs, path)
for count in (1, 10, 100, 1000):
    if count <= len(embeddings):
        if mode == "agree":
            agree(mine, embeddings, count, ["farthest", "nearest", "first"] if count > 1 else ["farthest"])
        else:
            bench(mine, embeddings, count)
if mode == "agree":
    memory(mine, embeddings)
end()
