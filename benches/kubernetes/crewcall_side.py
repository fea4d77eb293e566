"""Crewcall's side: an installation of its own that has one kubeconfig."""

from __future__ import annotations

import json
import os
from typing import Any

from installation import Installation
from loop import FAKE

WORKERS = "crewcall.dev/role=worker"
"""Selects the pods of workers."""


class KubernetesInstallation(Installation):
    """An installation whose clusters are in pods; a context manager.

    Args:
        binary: The program.
        python: The interpreter that clients run with.
        kubeconfig: Where to.
        image: Of scheduler and workers.
    """

    def __init__(self, binary: str, python: str, kubeconfig: str, image: str) -> None:
        super().__init__(binary, python)
        self.image = image
        self.environment["KUBECONFIG"] = os.path.abspath(kubeconfig)

    def create_in(
        self, namespace: str, name: str, workers: int, *, fake: bool = False, wait: bool = True
    ) -> float:
        """Create a cluster and return the seconds that the command took.

        Args:
            namespace: Where.
            name: Of the cluster.
            workers: How many.
            fake: Whether they are to be on nodes that kwok plays.
            wait: Whether the command is to wait until all are ready; fake ones never are.
        """
        group: dict[str, Any] = {"replicas": workers, "threads": 1, "memory": "512MiB", "cpu": "0.1"}
        if fake:
            group["kubernetes"] = FAKE
        document = {
            "apiVersion": "crewcall.dev/v1alpha1",
            "kind": "ComputeCluster",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "provider": {"kubernetes": {}},
                "environment": {"image": self.image},
                "scheduler": {"cpu": "0.1", "memory": "512MiB"},
                "workers": group,
            },
        }
        path = self.home / f"{name}.yaml"
        path.write_text(json.dumps(document))
        options = [] if wait else ["--no-wait"]
        return self.timed("-q", "create", "-f", str(path), *options, bound=300.0)
