"""What mosaicml-streaming does before the first sample of an epoch, and at every resume: its order.

    python benchmarks/others/streaming_order.py FOLDER     of the installed package

Its defaults, for one node of 8 ranks with 8 workers each, and shards of 16,384 samples: partition,
shuffle, and the one laid over the other, as its `generate_work` does. Called by ../corpus.py.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import tracemalloc
from importlib import import_module
from types import ModuleType

import numpy as np

NUM_SAMPLES, SHARD = 10_000_000, 16_384


def main() -> None:
    # The two modules that make the order need numpy alone; their package imports much more.
    for name in ("streaming", "streaming.base"):
        package = ModuleType(name)
        package.__path__ = ["/".join([sys.argv[1], *name.split(".")])]
        sys.modules[name] = package
    partition = import_module("streaming.base.partition").get_partitions
    shuffle = import_module("streaming.base.shuffle").get_shuffle
    sizes = np.full(-(-NUM_SAMPLES // SHARD), SHARD)
    sizes[-1] = NUM_SAMPLES - sizes[:-1].sum()

    def order(epoch: int) -> None:
        ids = partition("relaxed", NUM_SAMPLES, 1, 1, 8, 8, 32, NUM_SAMPLES // 2)
        shuffled = shuffle("py1e", sizes, 1, 1, epoch, 4_000_000)
        np.where(ids != -1, shuffled[ids], -1)

    taken = []
    for epoch in range(3):
        begin = time.process_time()
        order(epoch)
        taken.append(time.process_time() - begin)
    tracemalloc.start()
    order(0)
    peak = tracemalloc.get_traced_memory()[1]
    print(json.dumps({"ms": 1e3 * statistics.median(taken), "MB": peak / 1e6}))


if __name__ == "__main__":
    main()
