"""Importance resampling, and balanced sampling from clusters, where the corpus is in Spark already.

    spark-submit choose.py dsir TARGET CHOICE OUT FILE...
    spark-submit choose.py clusters EMBED FIT SAMPLE OUT FILE...

The first leaves the chosen documents, in their order, in OUT/chosen/part-*; the second what is drawn from clusters, the
name of the set, a TAB and the document a line, in OUT/drawn/part-*. CHOICE, EMBED, FIT and SAMPLE are flags of
topk-resample, jsonl-embed, kmeans-fit and clip-sample (--split ...), each in one word. The output is, to the byte, that of
the same pipes over all FILEs. The programs must be found on the workers, and OUT is a folder that they share with the
driver: what is decided once (counts, centroids, cuts) lies there.

What to take over into programs of one's own:

- A partition is a shard: a program that gives each document a row is run once for each, by `RDD.pipe`. `checkCode=True`, or
  a program that fails is taken for one that is done. It has no environment but what it is given: the driver's PATH here.
- Order is the row number. Spark reads the files of a folder in an order of its own, so files are named one by one; a
  DataFrame is in no order but that of `row`. `RDD.zip` fails where a partition's column has not as many rows as its
  documents.
- Lines end at the byte 0x0A and nowhere else, which Spark must be told. It takes them for UTF-8.
- A decision about everything is a cut, made once from the columns, and applied by each partition.
- In SQL a column is `SELECT TRANSFORM (line) USING 'dsir-weight --raw ...' AS (weight, length, key) FROM docs`. Nothing
  says there which document a row belongs to but its key.
"""

import base64
import os
import subprocess
import sys

from pyspark.sql import SparkSession


def read(spark, files):
    """DataFrame (row, line) of the lines of the files, in this order."""
    context = spark.sparkContext
    hadoop = "org.apache.hadoop."
    form = [hadoop + "mapreduce.lib.input.TextInputFormat", hadoop + "io.LongWritable", hadoop + "io.Text"]
    ends = {"textinputformat.record.delimiter": "\n"}
    parts = [context.newAPIHadoopFile(file, *form, conf=ends).values() for file in files]
    rows = context.union(parts).zipWithIndex().map(lambda pair: (pair[1], pair[0]))
    return spark.createDataFrame(rows, "row bigint, line string")


def piped(lines, command):
    """RDD of what the shell command prints for the lines of each partition."""
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return lines.pipe("bash -euo pipefail -c '" + command.replace("'", "'\\''") + "'", environment, checkCode=True)


def with_column(documents, command, names):
    """DataFrame with a column more for each of the names: the fields that the command prints for each line."""
    lines = documents.rdd.map(lambda row: row.line)
    fields = piped(lines, command).map(lambda text: tuple(text.split("\t")))
    both = documents.rdd.zip(fields).map(lambda pair: tuple(pair[0]) + pair[1])
    schema = ", ".join([f"{name} {kind}" for name, kind in documents.dtypes] + [f"{name} string" for name in names])
    return documents.sparkSession.createDataFrame(both, schema)


def column_file(documents, names, path):
    """Writes columns of all rows, in their order, as the programs read them."""
    with open(path, "w") as file:
        for row in documents.select("row", *names).sort("row").toLocalIterator():
            file.write("\t".join(row[1:]) + "\n")


def applied(documents, names, script):
    """RDD of what a shell script prints for each partition, which reads its documents from standard input and their columns
    in the file "$part/column"; $first rows stand before them, which a cut between equal documents asks for. "$part" is a
    folder of its own."""
    def rows(row):
        return "\t".join([str(row.row)] + [row[name] for name in names] + [row.line])

    last = 1 + len(names)
    whole = ('part=$(mktemp -d); cat > "$part/all"; first=$(head -n 1 "$part/all" | cut -f 1); '
             f'cut -f 2-{last} "$part/all" > "$part/column"; '
             f'if [[ -n $first ]]; then cut -f {last + 1}- "$part/all" | {{ {script}; }}; fi; rm -r "$part"')
    return piped(documents.rdd.map(rows), whole)


def run(command, **streams):
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, **streams)


def dsir(spark, target, choice, out, files):
    os.makedirs(out)
    documents = read(spark, files)
    # Counts add, in any tree: each partition's, then those of a few at a time, then those of all.
    counts = piped(documents.rdd.map(lambda row: row.line), "ngram-hash")
    counts = piped(counts.coalesce(8), "ngram-hash --add")
    lines = "".join(line + "\n" for line in counts.toLocalIterator())
    run(f"ngram-hash --add > {out}/raw.counts", input=lines.encode())
    run(f"ngram-hash {target} > {out}/target.counts")
    names = ["weight", "length", "key"]
    weighed = with_column(documents, f"dsir-weight --raw {out}/raw.counts --target {out}/target.counts", names).cache()
    column_file(weighed, names, f"{out}/weights.tsv")
    run(f"topk-resample {choice} --weights {out}/weights.tsv --write-cut {out}/cut")
    chosen = applied(weighed, names, f'topk-resample --cut {out}/cut --weights "$part/column" --first-row "$first"')
    chosen.saveAsTextFile(f"file://{out}/chosen")


def clusters(spark, embed, fit, sample, out, files):
    os.makedirs(out)
    documents = read(spark, files)
    # Vectors are no lines. Those of a large corpus stay where they are: fit on a sample of the documents then.
    vectors = piped(documents.rdd.map(lambda row: row.line), f"jsonl-embed {embed} | base64 -w 0; echo")
    with open(f"{out}/vectors", "wb") as file:
        for line in vectors.toLocalIterator():
            file.write(base64.b64decode(line))
    run(f"kmeans-fit {fit} {out}/vectors > {out}/centroids")
    names = ["cluster", "distance", "key"]
    # A partition's documents are read twice: for vectors and for keys.
    script = (f'part=$(mktemp -d); cat > "$part/all"; '
              f'jsonl-embed {embed} "$part/all" | kmeans-assign --centroids {out}/centroids > "$part/clusters"; '
              f'jsonl-key "$part/all" | paste "$part/clusters" -; rm -r "$part"')
    found = with_column(documents, script, names).cache()
    column_file(found, names, f"{out}/clusters.tsv")
    run(f"clip-sample {sample} --clusters {out}/clusters.tsv --key-field 3 --write-cut {out}/cut")
    # The name of the set, a TAB, and the document.
    script = (f'clip-sample --cut {out}/cut --clusters "$part/column" --first-row "$first" --out "$part/sets"; '
              'for set in "$part"/sets/*; do name=${set##*/}; sed "s/^/${name%.jsonl}\t/" "$set"; done')
    applied(found, names, script).saveAsTextFile(f"file://{out}/drawn")


def main():
    jobs = {"dsir": (dsir, 3), "clusters": (clusters, 4)}
    if len(sys.argv) < 2 or sys.argv[1] not in jobs or len(sys.argv) < 3 + jobs[sys.argv[1]][1]:
        sys.exit(__doc__.split("\n\n")[1])
    job, count = jobs[sys.argv[1]]
    spark = SparkSession.builder.appName("corpus-utils").getOrCreate()
    job(spark, *sys.argv[2:2 + count], sys.argv[2 + count:])
    spark.stop()


if __name__ == "__main__":
    main()
