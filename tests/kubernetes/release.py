"""Clusters that an installed operator makes, and who computes on them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import Kubectl, eventually
from distributed import Client
from distributed.security import Security

BOUND = 120.0
KINDS = "pods,services,secrets,configmaps,networkpolicies,roles"


def apply(kubectl: Kubectl, name: str, *, workers: int) -> None:
    """Asks for a cluster that names no image."""
    spec = {
        "provider": {"kubernetes": {}},
        "scheduler": {"cpu": "100m", "memory": "512MiB"},
        "workers": {"replicas": workers, "threads": 1, "cpu": "100m", "memory": "512MiB"},
    }
    document = {"apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster"}
    document |= {"metadata": {"name": name}, "spec": spec}
    kubectl.run("apply", "--server-side", "--validate=strict", "-f", "-", given=json.dumps(document))


def has_workers(kubectl: Kubectl, name: str, count: int) -> None:
    """Waits until a cluster is ready with so many workers."""

    def ready() -> bool:
        status = kubectl.get("computecluster", name).get("status", {})
        return status.get("phase") == "Ready" and status.get("workers", {}).get("ready") == count

    eventually(f"{name} to be ready with {count} workers", ready, BOUND)


@contextmanager
def client(kubectl: Kubectl, name: str, directory: Path) -> Iterator[Client]:
    """A client on this machine, with what the Secret for clients holds."""
    data = kubectl.get("secret", f"{name}-client")["data"]
    files = {}
    for key in ("ca.crt", "tls.crt", "tls.key"):
        files[key] = directory / key
        files[key].write_bytes(base64.b64decode(data[key]))
        files[key].chmod(0o600)
    security = Security(
        tls_ca_file=str(files["ca.crt"]),
        tls_client_cert=str(files["tls.crt"]),
        tls_client_key=str(files["tls.key"]),
        require_encryption=True,
    )
    address = kubectl.get("service", f"{name}-scheduler")["spec"]["clusterIP"]
    with Client(f"tls://{address}:8786", security=security, timeout=30) as connected:
        yield connected


def pods(kubectl: Kubectl, name: str) -> dict[str, str]:
    """The uids of a cluster's pods, by name."""
    listed = json.loads(kubectl("get", "pods", "-l", f"crewcall.dev/cluster={name}", "-o", "json"))["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in listed}


def objects_of(kubectl: Kubectl, name: str) -> list[str]:
    """What there is of a cluster."""
    return kubectl("get", KINDS, "-l", f"crewcall.dev/cluster={name}", "-o", "name").split()
