"""The maps of vectors-map beside scikit-learn's: peers.py agree|bench PROGRAMS VECTORS.npy

agree: are the places of --method pca those of PCA(n_components=2), within 1e-6 of the widest, and the shares of the variance within 1e-9? Is
t-SNE of all of 2,000 vectors as trustworthy as TSNE (exact, from the principal axes), within 0.02, for 10 neighbours, and does it keep as many
neighbours, within 0.02? (The minima that two descents find from one start differ by about 0.01, by roundings alone.) And what are
both of 10,000 vectors, of which ours places 2,000 and lays the others among them?
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


def neighbours(rows):
    ours = Ours(programs, rows)
    ours.map("--method", "tsne", "--landmarks", str(len(rows)))
    mine, peers = worth(rows, ours.places()), worth(rows, peer_map(rows, "exact"))
    said = f"t-SNE, {len(rows)} x {rows.shape[1]}: trustworthiness {mine[0]:.4f}, scikit-learn's {peers[0]:.4f}"
    check(mine[0] >= peers[0] - 0.02, said)
    check(mine[1] >= peers[1] - 0.02, f"t-SNE: neighbours kept {mine[1]:.4f}, scikit-learn's {peers[1]:.4f}")
    return ours


def sampled(rows):
    ours = Ours(programs, rows)
    ours.map("--method", "tsne")
    for name, places in ("ours, 2000 landmarks", ours.places()), ("scikit-learn", peer_map(rows, "barnes_hut")):
        trust, share = worth(rows, places)
        print(f"  t-SNE of {len(rows)}, {name}: trustworthiness {trust:.4f}, neighbours kept {share:.4f}")
    return ours


def timed(work, *arguments):
    started = time.monotonic()
    work(*arguments)
    return time.monotonic() - started


def bench(name, mine, theirs):
    sides = in_turn([("scikit-learn", theirs), ("vectors-map", mine)])
    ratio = sides["scikit-learn"].least / sides["vectors-map"].least
    print(f"time: {name}, {CORES} cores, the least of three rounds in turn, seconds (ours with starting, reading and writing)")
    print(f"  scikit-learn {sides['scikit-learn']}\n  vectors-map  {sides['vectors-map']}  {ratio:5.1f} times faster")


mode, programs, path = sys.argv[1:]
vectors = np.ascontiguousarray(np.load(path).astype(np.float32))
few, some = vectors[: len(vectors) // 2000 * 2000 : max(1, len(vectors) // 2000)][:2000], vectors[:10_000]
mine = axes(vectors), neighbours(few), sampled(some)
end()
if mode == "bench":
    bench("principal axes", mine[0].map, lambda: timed(PCA(n_components=2).fit_transform, vectors))
    bench("t-SNE of 2000", lambda: mine[1].map("--method", "tsne"), lambda: timed(peer_map, few, "exact"))
    bench("t-SNE of 10,000", lambda: mine[2].map("--method", "tsne"), lambda: timed(peer_map, some, "barnes_hut"))
