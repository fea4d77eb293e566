"""dask.bag: counts words.

Run it with `crewcall run demo -- python examples/workloads/bags.py`, or give a scheduler's address.
"""

import random
import sys
from collections import Counter

import dask.bag as db
from dask.distributed import Client

if __name__ == "__main__":
    words = ["crew", "call", "worker", "scheduler", "task", "future", "graph"]
    source = random.Random(0)
    lines = [" ".join(source.choices(words, k=20)) for _ in range(2000)]
    with Client(*sys.argv[1:]):
        counts = db.from_sequence(lines, npartitions=8).map(str.split).flatten().frequencies()
        found = dict(counts.compute())
    expected = Counter(word for line in lines for word in line.split())
    assert found == expected
    print(f"{sum(found.values())} words; the most frequent is {expected.most_common(1)[0][0]!r}")
