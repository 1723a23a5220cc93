"""Two builds of the programs side by side: compare.py OLD NEW CORPUS.jsonl TARGET.jsonl TOKENIZER [STEP...]

OLD and NEW are folders of programs. Every step of a pipeline over the corpus runs with the one and with the other, in turn, ROUNDS times, each in
its own folder upon what its own steps before have made; then what both have made is compared, byte by byte, and the least of their wall and
processor times stand beside each other. With names of steps only those (and no comparison of what they need, which they find as it is: the whole
first). A table on standard output, and target/bench/compare.json. Exit 1 where bytes differ or a step fails.
"""
import filecmp
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
from checks import end, failures
from measure import in_turn

ROUNDS = 5
WORK = Path("target/bench/compare")

# Name, what it makes, and how. A folder is compared by the digests of what is in it.
STEPS = [
    ("count", "raw.counts", "ngram-hash $CORPUS > raw.counts"),
    ("count target", "target.counts", "ngram-hash $TARGET > target.counts"),
    ("count sha256", "sha.counts", "ngram-hash --hash sha256 $CORPUS > sha.counts"),
    ("count rows", "rows", "ngram-hash --per-document $CORPUS > rows"),
    ("weigh", "weights.tsv", "dsir-weight --raw raw.counts --target target.counts $CORPUS > weights.tsv"),
    ("choose", "chosen.jsonl", "topk-resample -n 2000 --weights weights.tsv $CORPUS > chosen.jsonl"),
    ("choose by budget", "budget.jsonl", "topk-resample --budget 1M --weights weights.tsv $CORPUS > budget.jsonl"),
    ("write cut", "cut", "topk-resample -n 2000 --weights weights.tsv --write-cut cut"),
    ("distance", "distance", "ngram-kl target.counts raw.counts > distance"),
    ("mix", "mixed.tsv", "weight-mix --alpha 0.5 weights.tsv weights.tsv > mixed.tsv"),
    ("embed", "vectors.npy", "jsonl-embed $CORPUS > vectors.npy"),
    ("embed f16", "half.npy", "jsonl-embed --model hash:64 --dtype f16 $CORPUS > half.npy"),
    ("fit", "centroids", "kmeans-fit -k 100 vectors.npy > centroids"),
    ("fit by batches", "batches", "kmeans-fit -k 20 --batch 1000 vectors.npy > batches"),
    ("first centroids", "first", "kmeans-fit -k 20 --iters 0 vectors.npy > first"),
    ("sum", "sum0 sum1", "for i in 0 1; do kmeans-sum --centroids first --shard $i/2 vectors.npy > sum$i; done"),
    ("step", "second", "kmeans-step --centroids first sum0 sum1 > second"),
    ("assign", "clusters.tsv", "kmeans-assign --centroids centroids vectors.npy > clusters.tsv"),
    ("assign nearest 3", "nearest.tsv", "kmeans-assign --nearest 3 --centroids centroids vectors.npy > nearest.tsv"),
    ("mixture", "mixture", "gmm-fit -k 10 --iters 5 vectors.npy > mixture"),
    ("mixture score", "scores.tsv", "gmm-score --mixture mixture vectors.npy > scores.tsv"),
    ("near-duplicates", "near.tsv", "semdedup-score --clusters clusters.tsv vectors.npy > near.tsv"),
    ("map", "map.tsv", "vectors-map --method pca vectors.npy > map.tsv"),
    ("summaries", "clusters.jsonl", "cluster-stats --documents $CORPUS --examples 2 clusters.tsv > clusters.jsonl"),
    ("shares", "shares", "cluster-share --measure density -n 3000 clusters.jsonl > shares"),
    ("balance", "balanced.jsonl", "clip-sample -n 3000 --clusters clusters.tsv $CORPUS > balanced.jsonl"),
    ("split by cluster", "parts", "rm -rf parts; cluster-split --clusters clusters.tsv --out parts $CORPUS"),
    ("shuffle", "shuffled.jsonl", "jsonl-shuffle $CORPUS > shuffled.jsonl"),
    ("keys", "keys", "jsonl-key $CORPUS > keys"),
    ("tokenize", "tokens.npy", "jsonl-tokenize --tokenizer $TOKENIZER --eos balanced.jsonl > tokens.npy"),
    ("lengths", "lengths.tsv", "tokens-length tokens.npy > lengths.tsv"),
    ("pack", "packed.npy", "pack-tokens --length 512 tokens.npy > packed.npy"),
    ("pack mds", "mds", "rm -rf mds; pack-tokens --length 512 --mode best-fit --pad 0 --format mds --out mds tokens.npy"),
    ("verify mds", "", "mds-verify mds"),
    ("passages", "passages", "tokens-passages --length 128 --tokenizer $TOKENIZER tokens.npy > passages"),
]


class Build:
    """The programs of a folder, at work in a folder of its own."""

    def __init__(self, name, programs, files):
        self.folder = WORK / name
        self.folder.mkdir(parents=True, exist_ok=True)
        path = f"{os.path.abspath(programs)}:{os.environ['PATH']}"
        self.environment = {**os.environ, **{key: os.path.abspath(file) for key, file in files.items()}, "PATH": path}

    def run(self, command):
        """Its wall and processor seconds."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        script = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(script, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(f"{self.folder.name}: exit {done.returncode}: {command}\n{done.stderr}")
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def digest(self, folder):
        listed = "find . -type f | LC_ALL=C sort | xargs -r sha256sum"
        return subprocess.run(listed, shell=True, cwd=self.folder / folder, capture_output=True, check=True).stdout


def same(old, new, name):
    if (old.folder / name).is_dir():
        return old.digest(name) == new.digest(name)
    return filecmp.cmp(old.folder / name, new.folder / name, shallow=False)


def compare(old, new, name, made, command):
    used = {"old": [], "new": []}

    def runner(side, build):
        def run():
            wall, processor = build.run(command)
            used[side].append(processor)
            return wall

        return side, run

    seconds = in_turn([runner("old", old), runner("new", new)], ROUNDS, watched=0)
    differing = [one for one in made.split() if not same(old, new, one)]
    failures.extend(f"{name}: {one} differs" for one in differing)
    wall, processor = [seconds[side].least for side in used], [min(used[side]) for side in used]
    said = "same bytes" if not differing else f"DIFFERENT: {' '.join(differing)}"
    ratios = wall[1] / wall[0], processor[1] / max(processor[0], 1e-3)
    print(f"{name:18} {wall[0]:8.3f} {wall[1]:8.3f} {ratios[0]:6.2f} {processor[0]:9.3f} {processor[1]:8.3f} {ratios[1]:6.2f}   {said}", flush=True)
    return {"step": name, "command": command, "wall": wall, "processor": processor, "same": not differing}


def main():
    old, new, corpus, target, tokenizer, *names = sys.argv[1:]
    unknown = set(names) - {step[0] for step in STEPS}
    if unknown:
        sys.exit(f"no step {', '.join(map(repr, sorted(unknown)))}: expected {', '.join(repr(step[0]) for step in STEPS)}")
    files = {"CORPUS": corpus, "TARGET": target, "TOKENIZER": tokenizer}
    builds = Build("old", old, files), Build("new", new, files)
    in_turn([], 0)
    print(f"{os.path.getsize(corpus) / 1e6:.0f} MB of documents; least of {ROUNDS} rounds in turn, seconds\n")
    print(f"{'':18} {'wall old':>8} {'new':>8} {'ratio':>6} {'cpu old':>9} {'new':>8} {'ratio':>6}")
    rows = [compare(*builds, *step) for step in STEPS if not names or step[0] in names]
    with open("target/bench/compare.json", "w") as file:
        json.dump({"old": old, "new": new, "corpus": corpus, "rounds": ROUNDS, "steps": rows}, file, indent=1)
    end()


main()
