"""bench.py PROGRAMS CORPUS.jsonl [GB]...

Seconds and memory of each step of DSIR and of k-means at growing sizes, and what follows from them for 1 TB and 10 TB
on 1, 16 and 256 such machines, as Markdown. Called by `scripts/bench scale`; says when the machine is not quiet.

The documents are pieces of 2,000 characters of those of the file. A corpus of so many GB is that as an operand so many
times, so no room is needed for it; columns are written, 40 bytes a row. Each step runs alone with all cores. The rate
of a step is that of the largest size; that it is one, a straight line through 0, is what the column "growth" shows:
seconds a unit at the largest size, by those at the smallest. What a choice holds of each row is the growth of memory
between the two largest sizes. Memory below the 16 MB of Python here is not seen.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import measure

SCRIPTS = Path(__file__).resolve().parent.parent
NODES = (1, 16, 256)
CORPORA = (1e12, 1e13)
PART = 1e9  # bytes of documents
FANIN = 100
CHARACTERS = 2000  # of a document
K, DIM, ITERS = 16384, 768, 10  # of the clustering that is scaled to
K_RUN = 1024  # of the one that is run: assigning is linear in k and in the dimension
ROWS_MAX = 2**32  # of topk-resample and clip-sample


class Step:
    """A step at growing sizes: units of work, seconds and peak bytes of each."""

    def __init__(self, name, unit):
        self.name, self.unit, self.runs = name, unit, []

    def run(self, units, command, output=os.devnull):
        """Measures a command."""
        with open(output, "wb") as file:
            begun = time.perf_counter()
            child = subprocess.Popen([str(part) for part in command], stdout=file, close_fds=False)
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - begun
        if status:
            sys.exit(f"scale: {self.name}: {' '.join(map(str, command[:6]))} ...: status {status}")
        self.runs.append((units, seconds, usage.ru_maxrss * 1024))

    @property
    def rate(self):
        """Seconds a unit."""
        return self.runs[-1][1] / self.runs[-1][0]

    def memory(self, units):
        """Bytes that so many units need."""
        (few, _, less), (many, _, more) = self.runs[-2:]
        return more + (more - less) / (many - few) * (units - many)

    def row(self):
        """A line of the table of what was measured."""
        (few, seconds, memory), (many, longer, more) = self.runs[0], self.runs[-1]
        growth = (longer / many) / (seconds / few)
        sizes, rate = f"{few:.3g} to {many:.3g} {self.unit}", f"{many / longer:.3g} {self.unit}/s"
        return f"| {self.name} | {sizes} | {rate} | {growth:.2f} | {memory / 1e6:.0f} to {more / 1e6:.0f} |"


def pieces(corpus, name):
    """Writes the documents, and gives their number."""
    rows = 0
    with open(corpus) as lines, open(name, "w") as file:
        for text in (json.loads(line)["text"] for line in lines):
            for begin in range(0, len(text), CHARACTERS):
                file.write(json.dumps({"id": rows, "text": text[begin:begin + CHARACTERS]}) + "\n")
                rows += 1
    return rows


def shell(folder, command):
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder, check=True)


def measured(corpus, sizes, folder):
    """The steps by name, and bytes a document."""
    steps = {}

    def step(key, name, unit, units, command, output=os.devnull):
        steps.setdefault(key, Step(name, unit)).run(units, command, output)

    path = lambda name: os.path.join(folder, name)
    rows, corpus = pieces(corpus, path("docs.jsonl")), path("docs.jsonl")
    size = os.path.getsize(corpus)
    shell(folder, f"""ngram-hash {corpus} > raw
        head -n 500 {corpus} > target.jsonl; ngram-hash target.jsonl > target
        jsonl-embed --model hash:384 {corpus} > v.npy; kmeans-fit -k {K_RUN} --init random --iters 0 v.npy > model
        kmeans-assign --centroids model v.npy > clusters; jsonl-key {corpus} | paste clusters - > keyed
        seq 20000 | sed 's/.*/{{"text": "& &1 &2 &3"}}/' | jsonl-embed --model hash:{DIM} > wide.npy
        kmeans-fit -k {K} --init random --iters 0 wide.npy > wide.model
        kmeans-sum --centroids wide.model wide.npy > wide.sums""")
    for gigabytes in sizes:
        times = max(1, round(gigabytes * 1e9 / size))
        docs, bytes_, many = [corpus] * times, size * times, rows * times
        step("count", "`ngram-hash`", "B", bytes_, ["ngram-hash", *docs])
        step("weigh", "`dsir-weight`", "B", bytes_,
             ["dsir-weight", "--raw", path("raw"), "--target", path("target"), *docs], path("weights"))
        step("cut", "`topk-resample --write-cut`", "rows", many,
             ["topk-resample", "-n", many // 10, "--weights", path("weights"), "--write-cut", path("cut")])
        step("choose", "`topk-resample --cut`", "B", bytes_,
             ["topk-resample", "--cut", path("cut"), "--first-row", 0, "--weights", path("weights"), *docs])
        os.remove(path("weights"))
        step("assign", f"`kmeans-sum`, k = {K_RUN}, 384 values", "rows", many,
             ["kmeans-sum", "--centroids", path("model"), *[path("v.npy")] * times])
        shell(folder, f"for ((i = 0; i < {times}; i++)); do cat keyed; done > keys")
        step("clip", "`clip-sample --write-cut`", "rows", many,
             ["clip-sample", "-n", many // 10, "--clusters", path("keys"), "--key-field", 3,
              "--write-cut", path("cut")])
        os.remove(path("keys"))
    for files in (10, FANIN):
        step("add", "`ngram-hash --add`", "files", files, ["ngram-hash", "--add", *[path("raw")] * files])
        step("step", f"`kmeans-step`, k = {K}, {DIM} values", "files", files // 5,
             ["kmeans-step", "--iters", ITERS, "--centroids", path("wide.model"), *[path("wide.sums")] * (files // 5)])
    make = ["make", "-s", "-f", SCRIPTS / "dsir.mk", f"PARTS={corpus}", f"TARGET={path('target.jsonl')}"]
    for parts in (1000, 10000):
        plan = [*make, f"SHARDS={parts}", f"DIR={path('planned')}", "-n", "chosen.jsonl"]
        step("plan", "`make -n -f dsir.mk`", "parts", parts, plan)
    # Programs that do nothing: what is left is make, shells and renaming.
    os.mkdir(path("nothing"))
    for program in ("ngram-hash", "dsir-weight", "topk-resample"):
        os.symlink("/bin/true", os.path.join(path("nothing"), program))
    idle = ["env", f"PATH={path('nothing')}:{os.environ['PATH']}", *make]
    for parts in (100, 400):
        step("jobs", "`make -j` with programs that do nothing", "jobs", 2 * parts,
             [*idle, f"-j{len(os.sched_getaffinity(0))}", f"SHARDS={parts}", f"DIR={path('idle')}{parts}",
              *[f"{path('idle')}{parts}/{part}.{kind}" for part in range(parts) for kind in ("counts", "weights.tsv")]])
    return steps, size / rows, os.path.getsize(path("wide.sums")), os.path.getsize(path("raw"))


def span(seconds):
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h"), (math.inf, 86400, "days")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"


def amount(bytes_):
    for limit, unit, name in ((1e9, 1e6, "MB"), (1e12, 1e9, "GB"), (math.inf, 1e12, "TB")):
        if bytes_ < limit:
            return f"{bytes_ / unit:.3g} {name}"


def tree(files, nodes, seconds):
    """Seconds to add up so many files, in levels of FANIN, on so many nodes."""
    total = 0
    while files > FANIN:
        jobs = math.ceil(files / FANIN)
        total += math.ceil(jobs / nodes) * FANIN * seconds
        files = jobs
    return total + files * seconds


def table(head, lines):
    return "\n".join([f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1),
                      *(f"| {' | '.join(line)} |" for line in lines)])


def walls(steps, document, sums, counts):
    """What the rates come to for the corpora."""
    rate = {name: step.rate for name, step in steps.items()}
    yield "## Work that is spread over nodes"
    columns = [(corpus, nodes) for corpus in CORPORA for nodes in NODES]
    head = ["", *(f"{amount(corpus)}, {nodes}" for corpus, nodes in columns)]
    waves = lambda corpus, nodes: math.ceil(corpus / PART / nodes)
    spread = lambda seconds: [span(waves(*column) * seconds) for column in columns]
    lines = [[steps[key].name, *spread(PART * rate[key])] for key in ("count", "weigh", "choose")]
    assign = rate["assign"] / (K_RUN * 384) * K * DIM * PART / document
    lines.append([f"`kmeans-sum`, k = {K}, {DIM} values, an iteration", *spread(assign)])
    yield table(head, lines)
    yield "## What all parts meet in"
    lines = []
    for corpus in CORPORA:
        parts, rows = corpus / PART, corpus / document
        jobs = 3 * parts
        lines += [
            [f"{amount(corpus)}: planning {parts:.0f} parts", span(parts * rate["plan"]), "", "", ""],
            ["make and its shells, steps of DSIR", span(jobs * rate["jobs"]), "", "", ""],
            [f"counts, {amount(counts)} a part", span(parts * rate["add"]),
             *(span(tree(parts, n, rate["add"])) for n in NODES)],
            [f"sums of k-means, {amount(sums)} a part, {amount(parts * sums)} an iteration", span(parts * rate["step"]),
             *(span(tree(parts, n, rate["step"])) for n in NODES)],
        ]
        for key, name in (("cut", "topk-resample"), ("clip", "clip-sample")):
            # Below what Python has, growth is not seen: nothing is said of memory then.
            held = steps[key].memory(rows)
            held = f", {amount(held)} of memory" if held > 2 * steps[key].runs[-1][2] else ""
            said = f"{span(rows * rate[key])}{held}" if rows < ROWS_MAX else "refused: above 2^32 rows"
            lines.append([f"cut of `{name}`, {rows:.2g} rows", said, "", "", ""])
    yield table(["", "one job", *(f"tree, {nodes}" for nodes in NODES)], lines)


def main():
    programs, corpus, *sizes = sys.argv[1:]
    sizes = sorted(float(size) for size in sizes) or [0.25, 1, 4]
    os.environ["PATH"] = f"{os.path.abspath(programs)}:{os.environ['PATH']}"
    with measure.Load() as load:
        time.sleep(measure.WATCHED)
    said = measure.heed(load, "before the first run")
    with tempfile.TemporaryDirectory() as folder:
        steps, document, sums, counts = measured(os.path.abspath(corpus), sizes, folder)
    if said:
        print(f"NOT QUIET: {said}\n")
    print(f"{measure.CORES} cores a node, {document:.0f} bytes a document, parts of {amount(PART)}, fan-in {FANIN}.\n")
    print("## Measured\n")
    print("| step | sizes | rate | growth | MB of memory |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(step.row() for step in steps.values()))
    for block in walls(steps, document, sums, counts):
        print(f"\n{block}")


if __name__ == "__main__":
    main()
