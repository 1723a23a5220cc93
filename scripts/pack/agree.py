"""Compares what the real readers find in pack-tokens' output with scripts/pack/rules.py. See scripts/agree-pack."""
import ast
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cepe
import numpy as np
import rules

FAILED = []


def pack(*arguments, **options):
    """Runs pack-tokens; gives its output."""
    return run("pack-tokens", *arguments, **options)


def run(program, *arguments, **options):
    """Runs one of our programs; gives its output."""
    words = [os.path.join(os.environ["BIN"], program), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, **options)
    if done.returncode:
        sys.exit(f"agree-pack: {' '.join(words)}: exit {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def compare(name, found, expected):
    """One line: whether both are the same sequences; each is a list of lists of arrays."""
    same = len(found) == len(expected) and all(
        len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b)) for a, b in zip(found, expected)
    )
    tokens = sum(len(part) for one in expected for part in one)
    print(f"{'same' if same else 'DIFFERENT':9} {name}: {len(expected)} sequences, {tokens} tokens", flush=True)
    if not same:
        FAILED.append(name)


def arrays(data):
    """The rows of a stream, as corpus-utils(7) describes it."""
    file, rows = io.BytesIO(data), []
    while file.read(8):
        header = ast.literal_eval(file.read(int.from_bytes(file.read(2), "little")).decode())
        size = np.prod(header["shape"]) * int(header["descr"][2:])
        rows.append(np.ndarray(header["shape"], header["descr"], file.read(size)))
    rows = np.concatenate(rows)
    assert header["total"] == (len(rows),), header
    return rows


def streaming(folder, columns=("prev_token_ids", "token_ids"), **options):
    """Columns of all samples, by StreamingDataset."""
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=str(folder), shuffle=False, batch_size=1, allow_unsafe_types=True, **options)
    found = []
    for place in range(dataset.num_samples):
        sample = dataset[place]
        found.append([np.asarray(sample[column]) for column in columns if column in sample])
    return found, dataset[0] if found else {}


def main():
    root = Path(tempfile.mkdtemp(prefix="agree-pack-"))
    try:
        compare_all(root)
    finally:
        shutil.rmtree(root)
    if FAILED:
        sys.exit(f"agree-pack: DIFFERENT: {', '.join(FAILED)}")
    print("agree-pack: all the same")


def compare_all(root):
    generator = np.random.default_rng(7)
    if len(sys.argv) > 1:
        documents = rules.documents(sys.argv[1])
    else:
        # Many lengths: shorter than a window, of several, none at all.
        lengths = generator.geometric(1 / 700, 3000) * (generator.random(3000) > 0.01)
        documents = [generator.integers(0, 65536, length) for length in lengths]
    wide = max((int(document.max()) for document in documents if len(document)), default=0) > 65535
    tokens = root / "tokens.npy"
    rules.write(tokens, documents, "<i4" if wide else "<u2", 5)
    length, prev = 256, 128
    shape = ["--length", length, "--prev", prev]

    for mode, rule in [("concat", rules.concat), ("within", rules.within)]:
        expected = rule(documents, length, prev)
        joined = [[np.concatenate(one)] for one in expected]
        flags = [*shape, "--mode", mode]
        compare(f"{mode}, numpy.load of blocks", [[row] for row in arrays(pack(*flags, tokens))], joined)
        pack(*flags, "--out", root / "rows.npy", tokens)
        compare(f"{mode}, numpy.load", [[row] for row in np.load(root / "rows.npy", mmap_mode="r")], joined)
        lines = [json.loads(line) for line in pack(*flags, "--format", "jsonl", tokens).splitlines()]
        compare(f"{mode}, json", [[line["prev_token_ids"], line["token_ids"]] for line in lines], expected)
        mds(root, mode, flags, tokens, expected)
        megatron(root, mode, flags, tokens, documents, joined)
        arrow(root, mode, flags, tokens, expected)
        provenance(root, mode, flags, tokens, documents, joined)

    # The other kinds of stream that CEPE's own files may be.
    for dtype in ["<u4", "<i4", "<i8"]:
        rules.write(root / "other.npy", documents, dtype)
        found = arrays(pack(*shape, "--mode", "within", root / "other.npy"))
        compare(f"within, {dtype} in", [[row] for row in found], [[np.concatenate(one)] for one in rules.within(documents, length, prev)])

    some = documents[:1500]
    rules.write(root / "some.npy", some)
    expected = rules.best_fit(some, length)
    flags = ["--length", length, "--mode", "best-fit", "--tail", "keep", "--format", "mds", "--out", root / "best", root / "some.npy"]
    pack(*flags)
    found, _ = streaming(root / "best", ("token_ids", "lengths"))
    compare("best-fit, StreamingDataset", found, [[np.concatenate(one), [len(piece) for piece in one]] for one in expected])
    wasted = 1 - sum(map(len, some)) / (len(found) * length)
    print(f"          best-fit leaves {100 * wasted:.2f} % of {len(found)} sequences empty")
    choice(root, documents, length, prev, tokens)
    passages(root, generator)
    (root / "cepe").mkdir()
    cepe.agree(root / "cepe", compare)


def mds(root, mode, flags, tokens, expected):
    small = ["--format", "mds", "--size-limit", "256K", "--domain", "book"]
    for encoding in ["ndarray", "pkl"]:
        for packed in [[], ["--compression", "zstd"], ["--compression", "zstd:7"]]:
            folder = root / f"{mode}-{encoding}-{'-'.join(packed)}"
            pack(*flags, *small, "--mds-encoding", encoding, *packed, "--hashes", "sha256,xxh3_64,xxh3_128", "--out", folder, tokens)
            # Hashes are looked at when a shard is unpacked.
            found, first = streaming(folder, validate_hash="xxh3_64")
            name = f"{mode}, StreamingDataset, {encoding} {' '.join(packed)}"
            compare(name, found, expected)
            if first and (first["domain"] != "book" or first["token_ids"].dtype not in (np.uint16, np.int32)):
                FAILED.append(f"{name}: domain or type")
            json.loads(run("mds-verify", folder, "--vocab-size", 65536 if first and first["token_ids"].dtype == np.uint16 else 2**31))
            if not packed and mode == "within" and encoding == "ndarray":
                same_bytes(root, folder, found, flags)
    if mode == "within":
        for part in range(3):
            pack(*flags, *small, "--shard", f"{part}/3", "--out", root / "merged" / str(part), tokens)
        run("mds-merge", "--out", root / "merged", *(root / "merged" / str(part) for part in range(3)))
        compare(f"{mode}, StreamingDataset, merged from 3 shards", streaming(root / "merged")[0], expected)


def same_bytes(root, folder, samples, flags):
    """Mosaic's writer makes the same files of the same samples."""
    from streaming import MDSWriter

    columns = {"token_ids": "ndarray", "prev_token_ids": "ndarray", "domain": "str"}
    hashes = ["sha256", "xxh3_128", "xxh3_64"]
    with MDSWriter(out=str(root / "mosaic"), columns=columns, size_limit="256kb", hashes=hashes) as writer:
        for prev, own in samples:
            writer.write({"token_ids": own, "prev_token_ids": prev, "domain": "book"})
    ours, theirs = ({path.name: path.read_bytes() for path in place.iterdir()} for place in (folder, root / "mosaic"))
    print(f"{'same' if ours == theirs else 'DIFFERENT':9} within, the files of MDSWriter: {len(theirs)} files")
    if ours != theirs:
        FAILED.append("the files of MDSWriter")


def megatron(root, mode, flags, tokens, documents, joined):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    prefix = root / f"{mode}-megatron"
    pack(*flags, "--format", "megatron", "--out", prefix, tokens)
    for mmap in [True, False]:
        dataset = IndexedDataset(str(prefix), mmap=mmap)
        compare(f"{mode}, Megatron-core IndexedDataset, mmap={mmap}", [[dataset[i]] for i in range(len(dataset))], joined)
    length, prev = int(flags[1]), int(flags[3])
    counts = [max(0, (len(document) - prev) // length) for document in documents] if mode == "within" else [1] * len(joined)
    ends = np.concatenate([[0], np.cumsum([count for count in counts if count])])
    compare(f"{mode}, Megatron-core, documents", [[dataset.document_indices]], [[ends]])


def arrow(root, mode, flags, tokens, expected):
    import polars
    import pyarrow.ipc
    from datasets import Dataset

    path = root / f"{mode}.arrow"
    pack(*flags, "--format", "arrow", "--domain", "wiki", "--out", path, tokens)
    with open(path, "rb") as file:
        table = pyarrow.ipc.open_stream(file).read_all()
    table.validate(full=True)
    rows = lambda prev, own: [[np.asarray(a), np.asarray(b)] for a, b in zip(prev, own)]
    columns = [table.column(name).to_pylist() for name in ("prev_token_ids", "token_ids")]
    compare(f"{mode}, pyarrow", rows(*columns), expected)
    frame = polars.read_ipc_stream(path)
    compare(f"{mode}, polars", rows(frame["prev_token_ids"].to_list(), frame["token_ids"].to_list()), expected)
    dataset = Dataset.from_file(str(path))
    compare(f"{mode}, datasets", rows(dataset["prev_token_ids"], dataset["token_ids"]), expected)
    if {*table.column("domain").to_pylist()} != {"wiki"} or {*dataset["domain"]} != {"wiki"}:
        FAILED.append(f"{mode}, arrow: domain")


def provenance(root, mode, flags, tokens, documents, joined):
    """The sequences again, put together of the documents as the records say."""
    path = root / f"{mode}-where.npy"
    pack(*flags, "--provenance", path, tokens)
    records = np.load(path, mmap_mode="r")
    ends = np.searchsorted(records["sequence"], np.arange(len(joined) + 1))

    def rebuilt(sequence):
        row, prev = np.full(len(joined[sequence][0]), -1), int(flags[3])
        for record in records[ends[sequence] : ends[sequence + 1]]:
            begin, length, at = (int(record[name]) for name in ("begin", "length", "at"))
            row[prev + at : prev + at + length] = documents[int(record["row"])][begin : begin + length]
        return row

    compare(f"{mode}, provenance, numpy.load", [[rebuilt(sequence)] for sequence in range(len(joined))], joined)


def choice(root, documents, length, prev, tokens):
    """The recipe of keys and noise, by Python's xxhash."""
    import xxhash

    def noise(purpose, values):
        key = xxhash.xxh3_64_intdigest(np.asarray(values).astype("<u4").tobytes())
        return xxhash.xxh3_64_intdigest(key.to_bytes(8, "little") + purpose.encode(), seed=42)

    flags = ["--length", length, "--prev", prev, "--mode", "within", "--format", "jsonl", "--seed", 42]
    every = rules.within(documents, length, prev)
    order = sorted(range(len(every)), key=lambda place: (noise("pack", every[place][1]), place))
    for count in [1, 100, len(every) // 2]:
        lines = [json.loads(line) for line in pack(*flags, "-n", count, tokens).splitlines()]
        expected = [every[place] for place in sorted(order[:count])]
        compare(f"-n {count}", [[line["prev_token_ids"], line["token_ids"]] for line in lines], expected)
    pack(*flags, "--split", "test=0.1,train=0.8", "--out", root / "{split}.jsonl", tokens)
    share = [(noise("pack-split", d) >> 12) / 2**52 + 0.5 / 2**52 if len(d) else 2 for d in documents]
    for split, low, high in [("test", 0, 0.1), ("train", 0.1, 0.1 + 0.8)]:
        own = [d for d, where in zip(documents, share) if low <= where < high]
        lines = [json.loads(line) for line in (root / f"{split}.jsonl").read_text().splitlines()]
        compare(f"--split, {split}", [[line["prev_token_ids"], line["token_ids"]] for line in lines], rules.within(own, length, prev))


def passages(root, generator):
    """sample_mds_concat.py's passages, decoded by Python's tokenizers."""
    from tokenizers import Tokenizer

    tests = Path(__file__).parent / "../../lib/model/tests/data"
    for path in [tests / name / "tokenizer.json" for name in ("bert", "modern-bert", "roberta", "xlm-roberta")]:
        tokenizer = Tokenizer.from_file(str(path))
        text = lambda ids: tokenizer.decode(list(ids), skip_special_tokens=True)
        documents = [generator.integers(0, tokenizer.get_vocab_size(), length) for length in generator.integers(0, 300, 200)]
        rules.write(root / "passages.npy", documents)
        flags = ["--length", 32, "--tokenizer", path, "--domain", "cc", "--ids"]
        found = [json.loads(line) for line in run("tokens-passages", *flags, root / "passages.npy").splitlines()]
        expected = []
        for number, document in enumerate(documents):
            for place in range(len(document) // 32):
                own, after = document[32 * place :][:32].tolist(), document[32 * place + 32 :][:32].tolist()
                expected.append({"id": f"cc_{number}_{place}", "contents": text(own), "neighbor": text(after)})
                expected[-1] |= {"contents_token_ids": own, "neighbor_token_ids": after}
        print(f"{'same' if found == expected else 'DIFFERENT':9} passages, {path.parent.name}: {len(expected)}", flush=True)
        if found != expected:
            FAILED.append(f"passages, {path.parent.name}")


main()
