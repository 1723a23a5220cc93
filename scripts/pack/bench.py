"""Times pack-tokens beside Mosaic's MDSWriter on the same sequences, and beside the disk. See scripts/bench."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import numpy as np
import rules
from measure import in_turn, own_seconds
from streaming import MDSWriter, StreamingDataset

PROGRAM = sys.argv[1]
LENGTH = 2048


def timed(cpu, work, *arguments):
    """Seconds by the clock; those of the processor go to `cpu`."""
    started = time.perf_counter(), own_seconds()
    work(*arguments)
    cpu.append(own_seconds() - started[1])
    return time.perf_counter() - started[0]


def ours(tokens, out, encoding):
    command = [PROGRAM, "--length", str(LENGTH), "--format", "mds", "--mds-encoding", encoding, "--out", str(out), str(tokens)]
    subprocess.run(command, check=True)


def mosaic(sequences, out, encoding):
    columns = {"token_ids": encoding, "domain": "str"}
    with MDSWriter(out=str(out), columns=columns, size_limit=1 << 26) as writer:
        for sequence in sequences:
            writer.write({"token_ids": sequence, "domain": ""})


def copy(source, out):
    subprocess.run(["cp", "-r", str(source), str(out)], check=True)


def same(one, other, encoding):
    """The same bytes; pickles, whose bytes are a matter of taste, the same arrays."""
    if encoding == "ndarray":
        files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (one, other)]
        return files[0] == files[1]
    a, b = (StreamingDataset(local=str(folder), batch_size=1, allow_unsafe_types=True) for folder in (one, other))
    return len(a) == len(b) and all(np.array_equal(a[i]["token_ids"], b[i]["token_ids"]) for i in range(len(a)))


def main():
    generator = np.random.default_rng(5)
    lengths = generator.geometric(1 / 700, int(os.environ.get("DOCUMENTS", 300_000)))
    documents = np.split(generator.integers(0, 50_000, lengths.sum(), dtype=np.uint16), np.cumsum(lengths)[:-1])
    root = Path(tempfile.mkdtemp(prefix="bench-pack-"))
    try:
        tokens = root / "tokens.npy"
        rules.write(tokens, documents, "<u2", len(documents) // 700 + 1)
        run = np.concatenate(documents)
        sequences = run[: len(run) // LENGTH * LENGTH].reshape(-1, LENGTH)
        megabytes = sequences.nbytes / 1e6
        print(f"{len(sequences)} sequences of {LENGTH} tokens, 16 bits each: {megabytes:.0f} MB; the least of three rounds in turn")
        print(f"{'':9} {'pack-tokens':>12} {'MDSWriter':>12} {'ratio':>7} {'by CPU time':>12} {'cp':>12} {'share of cp':>12}")
        for encoding in ["ndarray", "pkl"]:
            cpu = {"ours": [], "mosaic": [], "copy": []}

            def run(name, work, *arguments):
                shutil.rmtree(root / name, ignore_errors=True)
                os.sync()  # nobody writes to the disk what others left
                return timed(cpu[name], work, *arguments)

            sides = in_turn([("ours", lambda: run("ours", ours, tokens, root / "ours", encoding)),
                             ("mosaic", lambda: run("mosaic", mosaic, sequences, root / "mosaic", encoding)),
                             ("copy", lambda: run("copy", copy, root / "ours", root / "copy"))])
            if not same(root / "ours", root / "mosaic", encoding):
                sys.exit(f"{encoding}: pack-tokens and MDSWriter DIFFER")
            a, b, c = (sides[name].least for name in cpu)
            own, other = min(cpu["ours"]), min(cpu["mosaic"])
            speeds = [f"{megabytes / seconds:.0f} MB/s" for seconds in (a, b, c)]
            print(f"{encoding:9} {speeds[0]:>12} {speeds[1]:>12} {b / a:>6.1f}x {other / own:>11.1f}x {speeds[2]:>12} {c / a:>11.0%}", flush=True)
    finally:
        shutil.rmtree(root)


main()
