"""Crewcall's side: an installation whose clusters are in an account on the double."""

from __future__ import annotations

import json
from pathlib import Path

from account import Account
from installation import Installation

PROFILES = {"scheduler": "crewcall-scheduler", "workers": "crewcall-worker"}
"""Instance profiles that the double has."""

CALLER = "10.251.0.1/32"
"""This machine, as hosts of the double see it."""


class Ec2Installation(Installation):
    """An installation whose clusters are in an account; a context manager.

    Args:
        binary: The program, built with the feature `ec2`.
        python: The interpreter that clients run with.
        account: Where to.
        image: Of scheduler and workers.
    """

    def __init__(self, binary: str, python: str, account: Account, image: str) -> None:
        super().__init__(binary, python)
        self.image = image
        for name in [name for name in self.environment if name.startswith("AWS_")]:
            del self.environment[name]
        self.environment.update(account.environment())

    def __enter__(self) -> Ec2Installation:
        """Return itself."""
        return self

    def create_in_account(self, name: str, workers: int, *, wait: bool) -> float:
        """Create a cluster and return the seconds that the command took.

        Args:
            name: Of the cluster.
            workers: How many.
            wait: Whether the command is to wait until all are ready; imagined ones never are.
        """
        document = {
            "apiVersion": "crewcall.dev/v1alpha1",
            "kind": "ComputeCluster",
            "metadata": {"name": name},
            "spec": {
                "provider": {"ec2": {"clientCidrs": [CALLER], "instanceProfiles": PROFILES}},
                "environment": {"image": self.image},
                "workers": {"replicas": workers, "threads": 1, "memory": "1GiB"},
            },
        }
        path = self.home / f"{name}.yaml"
        path.write_text(json.dumps(document))
        options = [] if wait else ["--no-wait"]
        return self.timed("-q", "create", "-f", str(path), *options, bound=600.0)

    def memory(self) -> float:
        """Return the resident memory of the controller in megabytes."""
        status = Path(f"/proc/{self.controller()}/status").read_text()
        lines = (line.split() for line in status.splitlines())
        return next(int(line[1]) * 1024 / 1e6 for line in lines if line and line[0] == "VmRSS:")
