"""Time DSIR and our programs on one raw and one target file, compare the results, print the ratios; see scripts/bench.

DSIR runs as its users run it: as many processes as there are cores, all tokens. Ours run as a shell would run them, one
program after the other. Both in turn, three rounds, the least of each step.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # the package's progress bars come from its worker processes

sys.path.append(str(Path(__file__).parents[1]))
import numpy as np
from measure import in_turn
from package import hashed_ngram_dsir

RELATIVE = 1e-9
MIN_LENGTH = 100

programs, raw, target = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
cores = len(os.sched_getaffinity(0))
holder = tempfile.TemporaryDirectory(prefix="bench-dsir.", dir="target")
folder = Path(holder.name)
megabytes = os.path.getsize(raw) / 1e6


def theirs():
    """Seconds of fit, weight, resample; weights by row of the raw file; the chosen lines."""
    for left in ("cache", "out"):
        shutil.rmtree(folder / left, ignore_errors=True)
    model = hashed_ngram_dsir.HashedNgramDSIR([raw], [target], str(folder / "cache"), num_proc=cores,
                                              min_example_length=MIN_LENGTH)
    seconds = []
    for step in (lambda: model.fit_importance_estimator("all"), model.compute_importance_weights,
                 lambda: model.resample(str(folder / "out"), count_of(model), str(folder / "resampled"), top_k=True)):
        started = time.perf_counter()
        with open(os.devnull, "w") as null, redirect_stderr(null):
            step()
        seconds.append(time.perf_counter() - started)
    parts = [np.load(model.log_importance_weights_dir / f"{part}.npy") for part in range(cores)]
    weights = np.empty(sum(map(len, parts)))
    for part, some in enumerate(parts):  # process i of n takes every n-th document
        weights[part::cores] = some
    chosen = b"".join((folder / "out" / f"{part}.jsonl").read_bytes() for part in range(cores))
    return seconds, weights, sorted(chosen.split(b"\n")[:-1])


def count_of(model):
    lengths = np.concatenate([np.load(model.perexample_metadata_dir / f"{part}.npy") for part in range(cores)])
    return int((lengths >= MIN_LENGTH).sum()) // 10


def timed(command, output=os.devnull):
    """Seconds of a command."""
    with open(output, "wb") as out:
        started = time.perf_counter()
        subprocess.run([str(word) for word in command], stdout=out, check=True)
        return time.perf_counter() - started


def ours(hash_name, count):
    """Seconds of fit, weight, resample."""
    fit = sum(timed([programs / "ngram-hash", "--hash", hash_name, file], folder / name)
              for file, name in ((raw, "raw"), (target, "target")))
    weight = timed([programs / "dsir-weight", "--raw", folder / "raw", "--target", folder / "target", raw], folder / "column")
    resample = timed([programs / "topk-resample", "--top", "-n", count, "--min-length", MIN_LENGTH, "--weights",
                      folder / "column", raw], folder / "chosen")
    return [fit, weight, resample]


def compare(weights, chosen):
    """The largest relative difference of a weight; ends the run where anything is not as DSIR has it."""
    mine = np.array([float(line.split("\t")[0]) for line in (folder / "column").read_text().splitlines()])
    if len(mine) != len(weights):
        sys.exit(f"bench: {len(mine)} weights, DSIR has {len(weights)}")
    difference = np.abs(mine - weights) / np.maximum(np.abs(weights), 1e-300)
    if not (difference <= RELATIVE).all():
        sys.exit(f"bench: weights differ by up to {difference.max():.3g} relative: no ratio is printed")
    if sorted(line.strip() for line in (folder / "chosen").read_bytes().split(b"\n")[:-1]) != chosen:
        sys.exit("bench: --top chooses other documents than DSIR: no ratio is printed")
    return difference.max()


def row(name, side, rounds, peer=None):
    """The least of each step and of the whole; how far the whole scatters."""
    seconds = [min(step) for step in zip(*rounds)] + [side.least]
    cells = [f"{second:8.3f}" + (f" {other / second:6.1f}x" if peer else " " * 8)
             for second, other in zip(seconds, peer or seconds)]
    print(f"  {name:34}" + "".join(cells) + f"  +{side.spread:.0%}")
    return seconds


def main():
    print(f"{megabytes:.0f} MB raw, {os.path.getsize(target) / 1e6:.0f} MB target, {cores} cores")
    _, weights, chosen = theirs()
    ours("sha256", len(chosen))
    print(f"the same answer: {len(weights)} weights within {compare(weights, chosen):.2g} relative, "
          f"the same {len(chosen)} documents by --top")
    steps = {name: [] for name in ("theirs", "sha256", "xxh3")}

    def whole(name, run):
        steps[name].append(run())
        return sum(steps[name][-1])

    sides = in_turn([("theirs", lambda: whole("theirs", lambda: theirs()[0])),
                     ("sha256", lambda: whole("sha256", lambda: ours("sha256", len(chosen)))),
                     ("xxh3", lambda: whole("xxh3", lambda: ours("xxh3", len(chosen))))])
    print(f"  {'seconds':34}" + "".join(f"{name:>8}        " for name in ("fit", "weight", "choose", "whole")) + "  spread")
    peer = row(f"data-selection 1.0.3, {cores} processes", sides["theirs"], steps["theirs"])
    row("ours, --hash sha256", sides["sha256"], steps["sha256"], peer)
    row("ours, --hash xxh3", sides["xxh3"], steps["xxh3"], peer)
    print("the machine's own speed on the same file, MB/s:")
    weigh = [programs / "dsir-weight", "--raw", folder / "raw", "--target", folder / "target", raw]
    commands = {"cat": ["cat", raw], "wc -l": ["wc", "-l", raw], "reading and parsing alone": [programs / "examples/texts", raw],
                "ngram-hash": [programs / "ngram-hash", raw], "dsir-weight": weigh}
    for name, side in in_turn([(name, lambda command=command: timed(command)) for name, command in commands.items()]).items():
        print(f"  {name:34}{megabytes / side.least:8.0f}")


main()
