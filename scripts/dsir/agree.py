"""Compare our programs with DSIR on one raw and one target file; scripts/agree-dsir says how."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from package import Answer, count_lines

RELATIVE = 1e-9
# Of the sum of a weight's absolute terms: where they cancel, the order of summation alone moves an f64 sum this much.
CANCELLED = 1e-13

raw, target = sys.argv[1:3]
field = sys.argv[3] if len(sys.argv) > 3 else "text"
holder = tempfile.TemporaryDirectory(prefix="agree-dsir.")
folder = Path(holder.name)
differences = []
not_compared = []
largest = 0.0


def ours(program, *arguments):
    done = subprocess.run([os.path.join(os.environ["BIN"], program), *map(str, arguments)], stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"agree-dsir: {program} {' '.join(map(str, arguments))}: exit {done.returncode}")
    return done.stdout


def differ(what):
    differences.append(what)
    print("differs:", what)


def same_counts(name, file, ngrams, buckets, expected):
    """Writes our count file and compares it."""
    counted = ours("ngram-hash", "--hash", "sha256", "--ngrams", ngrams, "--buckets", buckets, "--field", field, file)
    (folder / name).write_bytes(counted)
    body = "".join(line + "\n" for line in counted.decode().split("\n")[:-1] if not line.startswith("#"))
    if body != count_lines(expected):
        theirs = dict(line.split("\t") for line in count_lines(expected).split("\n")[:-1])
        mine = dict(line.split("\t")[:2] for line in body.split("\n")[:-1])
        wrong = [b for b in {**theirs, **mine} if theirs.get(b, "0") != mine.get(b, "0")]
        first = min(wrong, key=int) if wrong else None
        differ(f"counts of {file}: {len(wrong)} buckets" + (
            f", first {first}: {mine.get(first, 0)}, DSIR {theirs.get(first, 0)}" if wrong else ", only their form"))


def same_column(column, answer):
    """Compares weights and lengths; returns ours."""
    global largest
    rows = [line.split("\t") for line in column.decode().split("\n")[:-1]]
    if len(rows) != len(answer.weights):
        differ(f"{len(rows)} rows, DSIR {len(answer.weights)}")
        return None
    weights = np.array([float(row[0]) for row in rows])
    off = np.abs(weights - answer.weights)
    relative = np.divide(off, np.abs(answer.weights), out=np.where(off > 0, np.inf, 0.0), where=answer.weights != 0)
    good = (relative <= RELATIVE) | (off <= CANCELLED * answer.magnitudes)
    largest = max(largest, float(relative[good].max(initial=0.0)))
    for row in np.flatnonzero(~good)[:5]:
        differ(f"weight of row {row}: {rows[row][0]}, DSIR {float(answer.weights[row])!r}")
    if not good.all():
        differ(f"{(~good).sum()} weights in all")
    wrong = [row for row, length in enumerate(answer.lengths) if rows[row][1] != str(length)]
    for row in wrong[:5]:
        differ(f"length of row {row}: {rows[row][1]}, DSIR {answer.lengths[row]}")
    if wrong:
        differ(f"{len(wrong)} lengths in all")
    return weights


def same_choice(answer, weights, min_length):
    eligible = len(answer.long_enough)
    count = int(os.environ.get("COUNT", 0)) or -(-eligible // 3)
    if not 0 < count < eligible:
        not_compared.append(count)
        return f"top not compared ({count} of {eligible}: DSIR needs fewer than all)"
    chosen = ours("topk-resample", "--top", "-n", count, "--min-length", min_length, "--weights", folder / "column", raw)
    mine, theirs = (sorted(line.strip() for line in lines) for lines in (chosen.split(b"\n")[:-1], answer.top(count)))
    if mine == theirs:
        return f"top {count} of {eligible} the same"
    with open(raw, "rb") as file:
        lines = [line.strip() for line in file.read().split(b"\n")]
    weight_of = {lines[row]: answer.weights[row] for row in answer.long_enough}
    noise = CANCELLED * float(answer.magnitudes.max())
    if answer.margin(count) <= noise and len(mine) == count and all(line in weight_of for line in mine):
        of = lambda chosen: np.sort([weight_of[line] for line in chosen])
        if np.all(np.abs(of(mine) - of(theirs)) <= noise):
            return f"top {count} of {eligible} equally good (tie at the cut)"
    differ(f"top {count}: {len(set(theirs) - set(mine))} of DSIR's documents not chosen, {len(mine)} lines written")
    return f"top {count} differs"


def main():
    min_length = int(os.environ.get("MIN_LENGTH", 100))
    for buckets in map(int, os.environ.get("BUCKETS", "10000").split()):
        for ngrams in map(int, os.environ.get("NGRAMS", "1 2").split()):
            before = len(differences)
            answer = Answer(raw, target, ngrams, buckets, field, min_length)
            same_counts("raw", raw, ngrams, buckets, answer.raw_counts)
            same_counts("target", target, ngrams, buckets, answer.target_counts)
            column = ours("dsir-weight", "--raw", folder / "raw", "--target", folder / "target", "--field", field, raw)
            (folder / "column").write_bytes(column)
            weights = same_column(column, answer)
            top = same_choice(answer, weights, min_length) if weights is not None else "top not compared"
            verdict = "differs" if len(differences) > before else "agrees"
            print(f"{ngrams}-grams, {buckets} buckets: {len(answer.weights)} rows, {top}: {verdict}")
    if differences:
        print(f"agree-dsir: DIFFERS from data-selection 1.0.3 ({len(differences)} findings above)")
        sys.exit(1)
    print(f"agree-dsir: agrees with data-selection 1.0.3{', but top was not always compared' if not_compared else ''}; "
          f"largest relative difference of a weight {largest:.3g}")


main()
