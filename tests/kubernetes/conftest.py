"""What the tests of the cluster share: the cluster, and a namespace for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
BOUND = 60.0


class Kubectl:
    """kubectl with one kubeconfig and one namespace."""

    def __init__(self, namespace: str, kubeconfig: str) -> None:
        self.namespace = namespace
        self.kubeconfig = kubeconfig

    def run(
        self, *arguments: str, given: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess:
        command = [
            os.environ["CREWCALL_TEST_KUBECTL"],
            f"--kubeconfig={self.kubeconfig}",
            "-n",
            self.namespace,
        ]
        done = subprocess.run(
            [*command, *arguments], input=given, capture_output=True, text=True, timeout=BOUND
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done

    def __call__(self, *arguments: str) -> str:
        return self.run(*arguments).stdout

    def create(self, *objects: dict) -> None:
        self.run(
            "create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def get(self, kind: str, name: str) -> dict:
        return json.loads(self("get", kind, name, "-o", "json"))

    def pod(self, name: str, image: str, command: list[str], **parts: Any) -> None:
        """Creates a pod as Crewcall's are: restricted, as user 1000, with a home in /tmp."""
        self.create(pod(name, image, command, **parts))

    def ready(self, *names: str) -> None:
        self("wait", "--for=condition=Ready", f"--timeout={BOUND:.0f}s", *(f"pod/{name}" for name in names))


def pod(name: str, image: str, command: list[str], **parts: Any) -> dict:
    container = {
        "name": "main",
        "image": image,
        "command": command,
        "env": [{"name": "HOME", "value": "/tmp"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    } | parts.pop("container", {})
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": security,
    } | parts.pop("spec", {})
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec} | parts


def service(name: str, *ports: int, selector: str | None = None) -> dict:
    spec = {
        "selector": {"app": selector or name},
        "ports": [{"name": f"p{port}", "port": port} for port in ports],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def eventually(what: str, done: Callable[[], Any], bound: float = BOUND) -> Any:
    """The first true answer within a bound."""
    deadline = time.monotonic() + bound
    while not (answer := done()):
        assert time.monotonic() < deadline, f"waited {bound:.0f} s for {what}; last seen: {answer!r}"
        time.sleep(0.1)
    return answer


def cluster(*arguments: str, **options: Any) -> subprocess.CompletedProcess:
    """The command line of the cluster."""
    command = [sys.executable, str(HERE / "cluster.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="session")
def kubeconfig() -> str:
    if "CREWCALL_TEST_KUBECONFIG" not in os.environ:
        pytest.skip("CREWCALL_TEST_KUBECONFIG is not set")
    return os.environ["CREWCALL_TEST_KUBECONFIG"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    outcome = yield
    if outcome.skipped and os.environ.get("CI"):
        outcome.outcome = "failed"
        outcome.longrepr = f"skipped, where CI has what it needs: {outcome.longrepr}"
    if outcome.when == "call":
        item.failed = outcome.failed
    return outcome


@pytest.fixture
def kubectl(kubeconfig: str, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """For kubectl, a namespace of the test's own, where only restricted pods may be."""
    tool = Kubectl(f"lab-{uuid.uuid4().hex[:8]}", kubeconfig)
    tool("create", "namespace", tool.namespace)
    tool("label", "namespace", tool.namespace, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield tool
        if getattr(request.node, "failed", False):
            print(cluster("report", tool.namespace).stdout)
    finally:
        tool("delete", "namespace", tool.namespace, "--wait=false")


@pytest.fixture(scope="session")
def operator_layout() -> Path:
    """The operator's image as `images/controller/image.py` has written it."""
    if "CREWCALL_TEST_OPERATOR_IMAGE" not in os.environ:
        pytest.skip("CREWCALL_TEST_OPERATOR_IMAGE names no image layout")
    return Path(os.environ["CREWCALL_TEST_OPERATOR_IMAGE"])


@pytest.fixture(scope="session")
def operator_image(operator_layout: Path, kubeconfig: str) -> str:
    """The operator's image in the registry of the cluster made here, by its digest."""
    if "CREWCALL_TEST_REGISTRY" not in os.environ:
        pytest.skip("needs the registry of the cluster made here")
    pushed = cluster("push", str(operator_layout), "crewcall/crewcall:test")
    assert pushed.returncode == 0, pushed.stderr
    (manifest,) = json.loads((operator_layout / "index.json").read_text())["manifests"]
    return f"{os.environ['CREWCALL_TEST_REGISTRY']}/crewcall/crewcall@{manifest['digest']}"
