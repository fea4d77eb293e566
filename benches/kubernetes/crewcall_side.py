"""Crewcall's side: an installation that has one kubeconfig, or an operator; each on its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes
from api_server import Namespace, Object
from installation import Installation
from loop import FAKE

WORKERS = "crewcall.dev/role=worker"
"""Selects the pods of workers."""

DEFINITION = Path(__file__).resolve().parents[2] / "charts/crewcall-crds/templates/computeclusters.yaml"
CLUSTERS = "/apis/crewcall.dev/v1alpha1/namespaces/{namespace}/computeclusters"


def document(namespace: str, name: str, workers: int, image: str, *, fake: bool) -> Object:
    """Return the document of a cluster.

    Args:
        namespace: Where.
        name: Of the cluster.
        workers: How many.
        image: Of scheduler and workers.
        fake: Whether its pods are to be on nodes that kwok plays.
    """
    scheduler: dict[str, Any] = {"cpu": "0.1", "memory": "512MiB"}
    group: dict[str, Any] = {"replicas": workers, "threads": 1, "memory": "512MiB", "cpu": "0.1"}
    if fake:
        scheduler["kubernetes"] = group["kubernetes"] = FAKE
    return {
        "apiVersion": "crewcall.dev/v1alpha1",
        "kind": "ComputeCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "provider": {"kubernetes": {}},
            "environment": {"image": image},
            "scheduler": scheduler,
            "workers": group,
        },
    }


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
        path = self.home / f"{name}.yaml"
        path.write_text(json.dumps(document(namespace, name, workers, self.image, fake=fake)))
        options = [] if wait else ["--no-wait"]
        return self.timed("-q", "create", "-f", str(path), *options, bound=300.0)


@contextlib.contextmanager
def operator(binary: str, namespace: Namespace) -> Iterator[int]:
    """Run the operator for one namespace; yields its pid."""
    namespace.server.apply(str(DEFINITION))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = ["--namespace", namespace.name, "--lease-namespace", namespace.name, "--port", str(port)]
    environment = {**os.environ, "KUBECONFIG": os.path.abspath(namespace.server.kubeconfig)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [binary, "operator", *where], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            processes.wait_until("a ready operator", lambda: _is_ready(process, port), 60.0, 0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


def _is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the operator ended with status {process.returncode}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def post(namespace: Namespace, name: str, workers: int, image: str, *, fake: bool = False) -> None:
    """Create the object of a cluster, which an operator looks after."""
    body = document(namespace.name, name, workers, image, fake=fake)
    namespace.server.call("POST", CLUSTERS.format(namespace=namespace.name), body)


def wait_until_ready(namespace: Namespace, name: str, bound: float) -> None:
    """Return when the operator says that a cluster is ready."""
    path = f"{CLUSTERS.format(namespace=namespace.name)}/{name}"

    def ready() -> bool:
        return bool(namespace.server.call("GET", path).get("status", {}).get("phase") == "Ready")

    processes.wait_until(f"cluster {name} being ready", ready, bound, 0.2)
