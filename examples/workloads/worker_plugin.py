"""Worker plugins: something that every worker has, also those that come later.

Run it with `crewcall run demo -- python examples/workloads/worker_plugin.py`, or give a scheduler's address.
"""

import sys

from dask.distributed import Client, Worker, WorkerPlugin


class Counting(WorkerPlugin):
    """Counts the tasks that a worker has finished."""

    name = "counting"

    def setup(self, worker: Worker) -> None:
        """Begin, on a worker."""
        self.finished = 0

    def transition(self, key: str, start: str, finish: str, **more: object) -> None:
        """Note a task's change of state."""
        if start == "executing" and finish == "memory":
            self.finished += 1


def count(dask_worker: Worker) -> int:
    """How many tasks a worker has finished."""
    return int(dask_worker.plugins["counting"].finished)


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client:
        register = getattr(client, "register_plugin", None) or client.register_worker_plugin
        register(Counting())
        values = client.gather(client.map(abs, range(-100, 0), pure=False))
        assert values == list(range(100, 0, -1))
        counts = client.run(count)
    assert sum(counts.values()) == 100, counts
    print(f"{sum(counts.values())} tasks, counted by {len(counts)} workers")
