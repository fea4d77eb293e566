"""Futures: submit, map, and results as they come.

Run it with `crewcall run demo -- python examples/workloads/futures.py`, or give a scheduler's address.
"""

import math
import sys

from dask.distributed import Client, as_completed


def is_prime(number: int) -> bool:
    """Whether a number is prime, by trial."""
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client:
        numbers = range(10_000, 10_200)
        futures = dict(zip(client.map(is_prime, numbers), numbers, strict=True))
        primes = [futures[future] for future, prime in as_completed(futures, with_results=True) if prime]
        total = client.submit(sum, primes).result()
    assert sorted(primes) == [number for number in numbers if is_prime(number)]
    assert total == sum(primes)
    print(f"{len(primes)} primes, in the order in which they came")
