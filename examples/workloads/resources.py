"""Resources: tasks that only some workers may run, and few at a time.

Run it with `crewcall run demo -- python examples/workloads/resources.py`, or give a scheduler's address. One
group of the cluster must have the resource BIG, as in `highmem: {replicas: 1, resources: {BIG: 1}}`.
"""

import sys

from dask.distributed import Client, Worker, get_worker


def where(number: int) -> str:
    """Return the name of the worker that runs this."""
    return str(get_worker().name)


def has_big(dask_worker: Worker) -> bool:
    """Whether a worker may run such tasks."""
    return bool(dask_worker.state.total_resources.get("BIG"))


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client:
        has = client.run(has_big)
        names = client.run(lambda dask_worker: str(dask_worker.name))
        able = {names[address] for address in names if has[address]}
        assert able, "no worker has the resource BIG"
        used = set(client.gather(client.map(where, range(20), resources={"BIG": 1}, pure=False)))
    assert used <= able, (used, able)
    print(f"20 tasks ran on {len(used)} of {len(able)} workers that may run them")
