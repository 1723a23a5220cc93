"""The maps of vectors-map beside scikit-learn's and umap-learn's: peers.py agree|bench PROGRAMS VECTORS.npy

agree: are the places of --method pca those of PCA(n_components=2), within 1e-6 of the widest, and the shares of the variance within 1e-9? Is
t-SNE of all of 2,000 vectors as trustworthy as TSNE (exact, from the principal axes), within 0.02, for 10 neighbours, and does it keep as many
neighbours, within 0.02? (The minima that two descents find from one start differ by about 0.01, by roundings alone.) And is it no worse than
umap-learn's UMAP of the same, nor of 10,000 vectors, of which ours places 2,000 and lays the others among them?
bench: the same, with the time of each.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from checks import check, end
from measure import CORES, in_turn

import numpy as np
import umap
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 10


class Ours:
    def __init__(self, programs, rows):
        self.programs, self.folder = programs, tempfile.TemporaryDirectory()
        np.save(self.path("rows.npy"), rows)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def map(self, *flags):
        """The seconds."""
        with open(self.path("map"), "wb") as output:
            started = time.monotonic()
            program = os.path.join(self.programs, "vectors-map")
            subprocess.run([program, "--stats", self.path("stats"), *flags, self.path("rows.npy")], stdout=output, check=True)
            return time.monotonic() - started

    def places(self):
        return np.loadtxt(self.path("map"), ndmin=2)

    def shares(self):
        with open(self.path("stats")) as stats:
            return np.array(json.load(stats)["explained_variance_ratio"])


def kept(rows, places):
    """What share of the nearest neighbours are so on the map."""
    near = [NearestNeighbors(n_neighbors=NEIGHBOURS).fit(x).kneighbors(return_distance=False) for x in (rows, places)]
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(*near)]) / NEIGHBOURS)


def worth(rows, places):
    return trustworthiness(rows, places, n_neighbors=NEIGHBOURS), kept(rows, places)


def axes(rows):
    ours = Ours(programs, rows)
    ours.map()
    peer = PCA(n_components=2, svd_solver="full").fit(rows.astype(np.float64))
    expected = peer.transform(rows.astype(np.float64))
    apart = float(np.max(np.abs(ours.places() - expected)) / np.max(np.abs(expected)))
    check(apart <= 1e-6, f"principal axes, {len(rows)} x {rows.shape[1]}: places within {apart:.1e} of the widest")
    apart = float(np.max(np.abs(ours.shares() - peer.explained_variance_ratio_)))
    check(apart <= 1e-9, f"principal axes: shares of the variance within {apart:.1e}")
    return ours


def peer_map(rows, method):
    return TSNE(n_components=2, init="pca", method=method, random_state=0, n_jobs=CORES).fit_transform(rows)


def umap_map(rows):
    return umap.UMAP(n_components=2, random_state=0, n_jobs=1).fit_transform(rows)


def told(rows, who, places):
    trust, share = worth(rows, places)
    print(f"  {len(rows)} x {rows.shape[1]}, {who}: trustworthiness {trust:.4f}, neighbours kept {share:.4f}")
    return trust, share


def neighbours(rows):
    ours = Ours(programs, rows)
    ours.map("--method", "tsne", "--landmarks", str(len(rows)))
    mine, peers = told(rows, "ours, t-SNE", ours.places()), told(rows, "scikit-learn's t-SNE", peer_map(rows, "exact"))
    check(mine[0] >= peers[0] - 0.02 and mine[1] >= peers[1] - 0.02, "t-SNE: within 0.02 of scikit-learn's")
    other = told(rows, "umap-learn's UMAP", umap_map(rows))
    check(mine[0] >= other[0] and mine[1] >= other[1], "t-SNE: no worse than UMAP")
    told(rows, "principal axes", PCA(n_components=2).fit_transform(rows))
    return ours


def sampled(rows):
    ours = Ours(programs, rows)
    ours.map("--method", "tsne")
    mine = told(rows, "ours, t-SNE of 2000 landmarks", ours.places())
    told(rows, "scikit-learn's t-SNE", peer_map(rows, "barnes_hut"))
    other = told(rows, "umap-learn's UMAP", umap_map(rows))
    check(mine[0] >= other[0] and mine[1] >= other[1], "rows among landmarks: no worse than UMAP of all")
    return ours


def timed(work, *arguments):
    started = time.monotonic()
    work(*arguments)
    return time.monotonic() - started


def bench(name, mine, **peers):
    sides = in_turn([*peers.items(), ("vectors-map", mine)])
    print(f"time: {name}, {CORES} cores, the least of three rounds in turn, seconds (ours with starting, reading and writing)")
    for who, side in sides.items():
        ratio = side.least / sides["vectors-map"].least
        print(f"  {who:12} {side}" + (f"  {ratio:5.1f} times ours" if who in peers else ""))


mode, programs, path = sys.argv[1:]
vectors = np.ascontiguousarray(np.load(path).astype(np.float32))
few, some = vectors[:: max(1, len(vectors) // 2000)][:2000], vectors[:10_000]
mine = axes(vectors), neighbours(few), sampled(some)
end()
if mode == "bench":
    bench("principal axes", mine[0].map, sklearn=lambda: timed(PCA(n_components=2).fit_transform, vectors))
    for name, one, rows, method in (("t-SNE of 2000", mine[1], few, "exact"), ("t-SNE of 10,000", mine[2], some, "barnes_hut")):
        peers = {"sklearn": lambda: timed(peer_map, rows, method), "umap-learn": lambda: timed(umap_map, rows)}
        bench(name, lambda: one.map("--method", "tsne"), **peers)
