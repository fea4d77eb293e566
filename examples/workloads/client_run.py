"""Client.run: a function on every worker, outside of the task graph.

Run it with `crewcall run demo -- python examples/workloads/client_run.py`, or give a scheduler's address.
"""

import os
import platform
import sys

from dask.distributed import Client, Scheduler, Worker


def process() -> tuple[str, int]:
    """The process that this runs in; its number alone may be another's on another host."""
    return platform.node(), os.getpid()


def threads(dask_worker: Worker) -> int:
    """How many threads a worker runs tasks with."""
    return int(dask_worker.state.nthreads)


def known(dask_scheduler: Scheduler) -> list[str]:
    """Workers that the scheduler knows."""
    return sorted(dask_scheduler.workers)


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client:
        processes = client.run(process)
        assert len(set(processes.values())) == len(processes), "one process each"
        assert client.run(threads) == client.nthreads()
        assert client.run_on_scheduler(known) == sorted(processes)
        print(f"{len(processes)} workers answered, and the scheduler knows them all")
