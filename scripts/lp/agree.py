"""What scripts/agree-lp compares: see there. Needs Python alone."""

import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(os.environ["BIN"])
CLUSTERS = 50
PERCENT = (3, 30, 70)


def run(program, *args):
    done = subprocess.run([BIN / program, *map(str, args)], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def learned(before, first, last):
    """LP(1) and its approximation, as the scripts have them."""
    percentage = (before - first) / (before - last) if before - last != 0 else 0
    return percentage, (before - first) / before


def column(text, field):
    return [float(line.split("\t")[field]) for line in text.splitlines()]


def first_part(rows, percent):
    """The rule of subset.py: the first of so many parts that are as equal as can be, larger ones first."""
    parts = round(100 / percent)
    return rows[: len(rows) // parts + (len(rows) % parts > 0)]


def exact_part(rows, percent):
    return rows[: int(percent / 100 * len(rows) + 0.5)]


def main(folder):
    lines = gzip.open(folder / "dolly_opt350m_perplexity.tsv.gz", "rt").read().splitlines()
    table = [[float(number) for number in line.split("\t")] for line in lines]
    expected = [learned(row[0], row[1], row[-1]) for row in table]
    differ = 0

    def compare(what, found, wanted):
        nonlocal differ
        same = found == wanted
        differ += not same
        print(f"{what}: {len(found)}, {'equal' if same else f'differ from {len(wanted)}'}")

    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        (work / "all.jsonl").write_text("".join(f"{row}\n" for row in table))
        (work / "later.tsv").write_text("".join("\t".join(line.split("\t")[1:]) + "\n" for line in lines))
        forms = {
            "lines, gzipped": [folder / "dolly_opt350m_perplexity.tsv.gz"],
            "JSON": [work / "all.jsonl"],
            "the pickle and lines": [folder / "dolly_opt350m_epoch-pre.pkl", work / "later.tsv"],
        }
        for name, files in forms.items():
            text = run("lp-rank", *files)
            compare(f"LP(1) from {name}", column(text, 0), [float(pair[0]) for pair in expected])
            compare(f"approximation from {name}", column(text, 1), [float(pair[1]) for pair in expected])

        (work / "lp.tsv").write_text(run("lp-rank", folder / "dolly_opt350m_perplexity.tsv.gz"))
        # The examples are their own numbers; the clusters follow from them.
        examples = range(len(table))
        (work / "examples").write_text("".join(f"{row}\n" for row in examples))
        of = [row * 7919 % 104729 % CLUSTERS for row in examples]
        (work / "clusters.tsv").write_text("".join(f"{cluster}\n" for cluster in of))
        keys = run("jsonl-key", work / "examples").split()
        groups = [[row for row in examples if of[row] == cluster] for cluster in range(CLUSTERS)]
        for field, name in enumerate(("LP(1)", "approximation")):
            # sorted() is stable: equals stay in the order of rows.
            theirs = [sorted(group, key=lambda row: expected[row][field]) for group in groups]
            ours = [sorted(group, key=lambda row: (expected[row][field], keys[row])) for group in groups]
            for percent in PERCENT:
                choose = ["--weights", work / "lp.tsv", "--weight-field", field + 1, "--bottom", "--group",
                          work / "clusters.tsv", "--per-group-fraction", percent / 100, work / "examples"]
                found = run("topk-resample", "--compat", "small2large", *choose)
                wanted = sorted(row for group in theirs for row in first_part(group, percent))
                compare(f"{percent} % by {name}, theirs", list(map(int, found.split())), wanted)
                found = run("topk-resample", "--keys", "documents", *choose)
                wanted = sorted(row for group in ours for row in exact_part(group, percent))
                compare(f"{percent} % by {name}, exact", list(map(int, found.split())), wanted)
    print("all equal" if differ == 0 else f"{differ} differ")
    return differ > 0


sys.exit(main(Path(sys.argv[1])))
