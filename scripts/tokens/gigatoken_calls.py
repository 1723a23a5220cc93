"""gigatoken's seconds for its first three calls on a file, and its ids: `gigatoken_calls.py TOKENIZER FILE OUT`.

A process of its own, so that the first call is one. Its reading of the JSON counts, its loading of the tokenizer does not. The ids go into
OUT.npy as jsonl-tokenize writes them, after the clock has stopped; the seconds and the peak of its memory, in MiB, to standard output.
"""
import sys
import time

import awkward
import gigatoken
import numpy as np

tokenizer = gigatoken.Tokenizer(sys.argv[1])
for _ in range(3):
    started = time.perf_counter()
    ids = tokenizer.encode_files(gigatoken.JsonlFileSource([sys.argv[2]]))
    print(time.perf_counter() - started)
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
counts = awkward.to_numpy(awkward.num(ids))
np.save(sys.argv[3], np.concatenate([[len(counts)], counts, awkward.to_numpy(awkward.flatten(ids))]).astype(np.uint32))
