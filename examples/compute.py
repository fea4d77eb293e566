"""Computes on the cluster that the environment names: `crewcall run demo -- python examples/compute.py`."""

from dask import delayed
from dask.distributed import Client


def square(number: int) -> int:
    """Square a number, on some worker."""
    return number * number


if __name__ == "__main__":
    # No address: Crewcall has put it, and the certificates, into the environment.
    with Client() as client:
        total = delayed(sum)([delayed(square)(number) for number in range(1000)]).compute()
        workers = client.scheduler_info(n_workers=-1)["workers"]
        print(f"the sum of the first 1000 squares is {total}, computed by {len(workers)} workers")
        assert total == sum(number * number for number in range(1000))
