"""Compares cluster-share with what MiniCorpus' distill scripts compute. See scripts/agree-clip."""

import csv
import os
import subprocess
import sys

# by, clusters, documents asked for, the weights of size, density and diversity, the size of MiniCorpus' corpus.
VARIANTS = [
    ("equal", "k220", 1_010_500, None, 1_010_500),
    ("equal", "k440", 1_010_500, None, 1_007_844),
    ("size", "k220", 1_010_500, None, 1_010_409),
    ("density", "k220", 1_010_500, (None, 0.5, None), 946_465),
    ("density", "k220", 1_010_500, (None, 0.75, None), 914_494),
    ("density", "k220", 911_217, (None, 0.5, None), 853_467),
    ("density", "k440", 1_010_500, (None, 0.5, None), 913_686),
    ("diversity", "k440", 1_010_500, (0.33, 0.33, 0.33), 1_006_215),
    ("diversity", "k440", 1_010_500, (0.25, 0.25, 0.5), 1_005_721),
]


class Clusters:
    """The clusters that are not left out, in order."""

    def __init__(self, folder, name):
        self.table = os.path.join(folder, f"minipile_{name}.tsv")
        self.exclude = os.path.join(folder, f"minipile_{name}.exclude")
        with open(self.exclude) as file:
            out = {int(line) for line in file}
        with open(self.table) as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if int(row["cluster"]) not in out]
        self.ids = [int(row["cluster"]) for row in rows]
        self.size = [int(row["total_examples"]) for row in rows]
        self.density = [float(row["sum_distance"]) / size if size else 0.0 for row, size in zip(rows, self.size)]
        self.diversity = [float(row["diversity"]) for row in rows]
        self.total = sum(self.size)


def wanted(clusters, by, count, weights):
    """How many documents each cluster should give, before its size is looked at."""
    if by == "equal":
        each, more = divmod(count, len(clusters.ids))
        return [each + (place < more) for place in range(len(clusters.ids))]
    parts = [size / clusters.total for size in clusters.size]
    if by == "size":
        return [int(count * part) for part in parts]
    by_size, by_density, by_diversity = weights
    if by == "density":
        return [int(count * (part * (1 - by_density * d))) for part, d in zip(parts, clusters.density)]
    widest = max(clusters.diversity)
    scores = [
        by_size * part + by_density * (1 - d) + by_diversity * (v / widest)
        for part, d, v in zip(parts, clusters.density, clusters.diversity)
    ]
    whole = sum(scores)
    return [int(count * (score / whole)) for score in scores]


def planned(clusters, by, count, weights, *more):
    """What cluster-share plans for each cluster."""
    names = ("--size-weight", "--density-weight", "--diversity-weight")
    flags = [text for name, weight in zip(names, weights or ()) if weight is not None for text in (name, str(weight))]
    command = [os.path.join(os.environ["BIN"], "cluster-share"), "--measure", by, "-n", str(count), *flags, *more]
    command += ["--exclude", clusters.exclude, clusters.table]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return {int(row[0]): int(row[3]) for row in rows}


def main():
    folder = sys.argv[1]
    clusters = {name: Clusters(folder, name) for name in ("k220", "k440")}
    failed = 0
    for by, name, count, weights, total in VARIANTS:
        census = clusters[name]
        expected = [min(number, size) for number, size in zip(wanted(census, by, count, weights), census.size)]
        compat = planned(census, by, count, weights, "--compat", "minicorpus")
        found = [compat[cluster] for cluster in census.ids]
        exact = sum(planned(census, by, count, weights).values())
        same = sum(a == b for a, b in zip(expected, found))
        good = same == len(found) and sum(compat.values()) == total and exact == count
        failed += not good
        shown = ",".join(f"{weight:g}" for weight in weights or () if weight is not None)
        print(
            f"{'same' if good else 'DIFFERS':8}{by + ' ' + shown:25} {name} of {count}: {sum(compat.values())}, expected {total};"
            f" {same} of {len(found)} clusters alike; without --compat {exact}"
        )
    print("agree-clip:", f"{failed} of {len(VARIANTS)} differ" if failed else "all agree")
    sys.exit(failed > 0)


main()
