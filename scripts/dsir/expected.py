"""Write what DSIR says of raw.jsonl and target.jsonl in the folder given.

weights-nN-bB.tsv   for each row of raw.jsonl: log importance weight, length in tokens (1..N-grams, B buckets)
counts-*-n2-b997.tsv   `bucket<TAB>count` for non-zero buckets, ascending: a count file without its header
counts.sha256       of such files for every setting, of which only the former are kept (`sha256sum` form)
top.tsv             for each setting: the rows (0-based, in order) that top-k chooses, with no tie near the cut
"""
import hashlib
import sys
from pathlib import Path

from package import Answer, count_lines

MIN_LENGTH = 10
data = Path(sys.argv[1])
for old in [*data.glob("weights-*"), *data.glob("counts*"), *data.glob("top.tsv")]:
    old.unlink()

checksums, chosen = [], ["# ngrams\tbuckets\tmin_length\tcount\trows, 0-based\n"]
rows_of = {}
for row, line in enumerate((data / "raw.jsonl").read_bytes().split(b"\n")[:-1]):
    rows_of.setdefault(line.strip(), []).append(row)

for buckets in (997, 10000):
    for ngrams in (1, 2, 3):
        answer = Answer(data / "raw.jsonl", data / "target.jsonl", ngrams, buckets, min_length=MIN_LENGTH)
        setting = f"n{ngrams}-b{buckets}"
        with open(data / f"weights-{setting}.tsv", "w") as out:
            for weight, length in zip(answer.weights, answer.lengths):
                out.write(f"{float(weight)!r}\t{length}\n")
        for name, counts in ("raw", answer.raw_counts), ("target", answer.target_counts):
            body, file = count_lines(counts), f"counts-{name}-{setting}.tsv"
            checksums.append(f"{hashlib.sha256(body.encode()).hexdigest()}  {file}\n")
            if setting == "n2-b997":
                (data / file).write_text(body)
        for count in (1, 20, 60):
            while answer.margin(count) < 1e-6:
                count += 1
            lines = answer.top(count)
            assert len(lines) == count and all(len(rows_of[line]) == 1 for line in lines)
            rows = sorted(rows_of[line][0] for line in lines)
            chosen.append(f"{ngrams}\t{buckets}\t{MIN_LENGTH}\t{count}\t{','.join(map(str, rows))}\n")

(data / "counts.sha256").write_text("".join(checksums))
(data / "top.tsv").write_text("".join(chosen))
