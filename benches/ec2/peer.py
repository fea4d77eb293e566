"""A user's program with dask-cloudprovider's EC2Cluster: up, a line on standard input, down.

Run as ``python peer.py OPTIONS`` with a JSON object: ``workers``, ``image``, ``machine_image``, and
``imagined``: whether instances only pretend to run. A scheduler in this process then stands in for the one
on an instance, whose address is all that is replaced: each call to EC2 is made as always, and nobody
registers.

Prints a JSON object a line: ``{"up": SECONDS}`` from the call of EC2Cluster, then ``{"down": SECONDS}``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import dask
from dask_cloudprovider.aws import EC2Cluster
from dask_cloudprovider.aws.ec2 import EC2Scheduler
from distributed import Client, Scheduler

BOUND = 600.0
"""Seconds that workers have to register."""


def stand_in() -> None:
    """Have schedulers run here, once their instance was created."""
    create = EC2Scheduler.create_vm

    async def create_vm(self: Any) -> tuple[str, None]:
        await create(self)
        self.stand_in = await Scheduler(
            host="127.0.0.1",
            port=0,
            dashboard=False,
            protocol=self.cluster.protocol,
            security=self.cluster.security,
        )
        self.port = self.stand_in.port
        return "127.0.0.1", None

    EC2Scheduler.create_vm = create_vm


def main() -> None:
    """Do what the options say. What is not named below is as the library has it, TLS included."""
    options = json.loads(sys.argv[1])
    dask.config.set({"distributed.comm.timeouts.connect": "60s"})
    if options["imagined"]:
        stand_in()
    begun = time.monotonic()
    cluster = EC2Cluster(
        n_workers=options["workers"],
        # The images of the double have Docker.
        ami=options["machine_image"],
        bootstrap=False,
        docker_image=options["image"],
        worker_options={"nthreads": 1},
        # Hosts of the double reach one another by private addresses only.
        use_private_ip=not options["imagined"],
        silence_logs=40,
    )
    if not options["imagined"]:
        client = Client(cluster)
        client.wait_for_workers(options["workers"], timeout=BOUND)
    print(json.dumps({"up": time.monotonic() - begun}), flush=True)
    sys.stdin.readline()
    if not options["imagined"]:
        client.close()
    begun = time.monotonic()
    cluster.close()
    print(json.dumps({"down": time.monotonic() - begun}), flush=True)


if __name__ == "__main__":
    main()
