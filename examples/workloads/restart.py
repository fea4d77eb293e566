"""Client.restart: all workers anew, with nothing in their memory.

Run it with `crewcall run demo -- python examples/workloads/restart.py`, or give a scheduler's address.
"""

import os
import platform
import sys

from dask.distributed import Client


def process() -> tuple[str, int]:
    """The process that this runs in; its number alone may be another's on another host."""
    return platform.node(), os.getpid()


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client:
        before = set(client.run(process).values())
        held = client.submit(sum, range(100))
        assert held.result() == 4950
        client.restart(timeout=60)
        after = set(client.run(process).values())
        assert held.cancelled()
        assert not before & after, "every worker is a new process"
        assert len(before) == len(after)
        assert client.submit(sum, range(10)).result() == 45
        print(f"{len(after)} workers restarted")
