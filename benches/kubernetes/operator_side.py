"""The dask-kubernetes operator, run on this machine as its authors run it in a pod."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from api_server import ApiServer, Namespace, Object
from loop import FAKE

CLUSTERS = "/apis/kubernetes.dask.org/v1/namespaces/{namespace}/daskclusters"
WORKERS = "dask.org/component=worker"
"""Selects the pods of workers."""


@contextlib.contextmanager
def running(server: ApiServer, python: str) -> Iterator[int]:
    """Run the operator with the interpreter that has it; yields its pid."""
    where = [python, "-c", "import dask_kubernetes; print(dask_kubernetes.__path__[0])"]
    package = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    server.apply(str(package / "operator/deployment/helm/dask-kubernetes-operator/crds"))
    # The module of the handlers: the package alone would start, and do nothing.
    module = "dask_kubernetes.operator.controller"
    command = [
        python,
        "-m",
        "kopf",
        "run",
        "--module",
        module,
        "--all-namespaces",
        "--liveness=http://127.0.0.1:0",
    ]
    with tempfile.TemporaryFile() as log:
        environment = {**os.environ, "KUBECONFIG": server.kubeconfig}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            time.sleep(
                5.0
            )  # It says nowhere that it watches by now; a cluster that it misses would be its gain.
            if process.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"the operator ended: {log.read()[-800:].decode(errors='replace')}")
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def create(namespace: Namespace, name: str, workers: int, image: str, *, fake: bool = False) -> None:
    """Create a DaskCluster."""
    container: Object = {
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "100m"}},
    }
    address = f"tcp://{name}-scheduler.{namespace.name}.svc.cluster.local:8786"
    command = [
        "dask",
        "worker",
        address,
        "--nthreads",
        "1",
        "--name",
        "$(DASK_WORKER_NAME)",
        "--no-dashboard",
    ]
    worker = {"containers": [{"name": "worker", "args": command, **container}], **(FAKE if fake else {})}
    probe = {"httpGet": {"port": "http-dashboard", "path": "/health"}, "periodSeconds": 1}
    ports = [{"name": "tcp-comm", "containerPort": 8786}, {"name": "http-dashboard", "containerPort": 8787}]
    scheduler = {
        "containers": [
            {
                "name": "scheduler",
                "args": ["dask", "scheduler", "--host", "0.0.0.0"],
                "ports": ports,
                "readinessProbe": probe,
                **container,
            }
        ]
    }
    selector = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    service = {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [
            {"name": "tcp-comm", "protocol": "TCP", "port": 8786, "targetPort": "tcp-comm"},
            {"name": "http-dashboard", "protocol": "TCP", "port": 8787, "targetPort": "http-dashboard"},
        ],
    }
    body = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": {
            "worker": {"replicas": workers, "spec": worker},
            "scheduler": {"spec": scheduler, "service": service},
        },
    }
    namespace.server.call("POST", CLUSTERS.format(namespace=namespace.name), body)


def delete(namespace: Namespace, name: str) -> None:
    """Ask for a DaskCluster's end."""
    namespace.server.call("DELETE", f"{CLUSTERS.format(namespace=namespace.name)}/{name}")


def wait_for_workers(namespace: Namespace, name: str, workers: int, python: str, bound: float) -> None:
    """Return when so many workers have registered with the scheduler of a DaskCluster."""
    path = f"{namespace.path}/services/{name}-scheduler"
    end = time.monotonic() + bound
    connection = namespace.server.connect()
    while True:
        with contextlib.suppress(RuntimeError):
            address = connection.call("GET", path)["spec"]["clusterIP"]
            break
        if time.monotonic() > end:
            raise TimeoutError(f"no service of {name} within {bound:.0f} s")
        time.sleep(0.05)
    client = f"Client('tcp://{address}:8786', timeout={bound})"
    code = f"from distributed import Client; {client}.wait_for_workers({workers}, {bound})"
    subprocess.run([python, "-c", code], check=True, capture_output=True, timeout=bound)
