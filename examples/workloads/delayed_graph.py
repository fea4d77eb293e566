"""dask.delayed: a tree of function calls.

Run it with `crewcall run demo -- python examples/workloads/delayed_graph.py`, or give a scheduler's address.
"""

import sys

from dask import delayed
from dask.distributed import Client


@delayed
def load(number: int) -> list[int]:
    """Load a part of the data."""
    return list(range(number * 100, number * 100 + 100))


@delayed
def merge(left: list[int], right: list[int]) -> list[int]:
    """Merge two sorted parts."""
    return sorted(left + right, reverse=True)


if __name__ == "__main__":
    with Client(*sys.argv[1:]):
        parts = [load(number) for number in range(16)]
        while len(parts) > 1:
            parts = [merge(left, right) for left, right in zip(parts[::2], parts[1::2], strict=True)]
        merged = parts[0].compute()
    assert merged == list(range(1599, -1, -1))
    print(f"{len(merged)} numbers merged from 16 parts")
