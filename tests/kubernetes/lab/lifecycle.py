"""Bringing the cluster up and down, and using it while others may too."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from . import api, configuration, credentials, images, machine, settings, tools

ANSWER_BOUND = 15.0
"""Seconds that a cluster with living processes has to answer before it counts as broken."""

READY_BOUND = 120.0
"""Seconds from the start of the processes to a node that is ready."""

_KEPT = settings.STATE / "kept"
_RECORD = settings.STATE / "record.json"


class ClusterError(Exception):
    """The cluster cannot be brought up, or is in use."""


@contextmanager
def _changing() -> Iterator[None]:
    """Alone among those who bring a cluster up or down on this machine."""
    if os.geteuid() != 0:
        raise ClusterError("a cluster needs root: it makes a network namespace, cgroups and mounts")
    settings.LOCKS.mkdir(parents=True, exist_ok=True)
    with open(settings.CHANGES, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another process that brings the cluster up or down", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare() -> None:
    """Installs, builds and makes whatever a cluster needs and this machine lacks."""
    with _changing():
        _prepare()


def _prepare() -> None:
    tools.install_system_packages()
    tools.build()
    images.build()


def up(*, keep: bool) -> None:
    """Brings the cluster up, unless a sound one runs; of an unsound one nothing is left.

    Args:
        keep: It stays until `down`, whoever uses it meanwhile.

    Raises:
        ClusterError: It runs with other programs, or did not become ready.
    """
    with _changing():
        _up(keep=keep)


def _up(*, keep: bool) -> None:
    _prepare()
    if _RECORD.exists() and _is_sound():
        record = json.loads(_RECORD.read_text())
        if record["tools"] != tools.key():
            raise ClusterError(
                f"a cluster with other programs runs here, of {record['checkout']}; take it down first"
            )
        if keep:
            _KEPT.touch()
        return
    if settings.STATE.exists():
        with open(settings.USERS, "w") as users:
            if not _alone(users):
                raise ClusterError(
                    "tests use the cluster, but it does not answer; to remove it: down --force"
                )
        print("removing what is left of a cluster", file=sys.stderr)
    began = time.monotonic()
    machine.remove()
    settings.STATE.mkdir(parents=True)
    credentials.create()
    _give_to_caller(settings.KUBECONFIG)
    configuration.write()
    machine.create_network()
    machine.start()
    _wait("the API server to answer", api.answers)
    _allow_proxy()
    _wait("the node to be ready", node_is_ready)
    _wait("the default service account", _default_service_account)
    # The first pods of the first tests would else wait for it.
    _pull(environment()["CREWCALL_TEST_IMAGE"])
    _RECORD.write_text(json.dumps({"tools": tools.key(), "checkout": str(settings.CHECKOUT)}))
    if keep:
        _KEPT.touch()
    print(f"up in {time.monotonic() - began:.1f} s", file=sys.stderr)


def _is_sound() -> bool:
    deadline = time.monotonic() + ANSWER_BOUND
    while machine.processes() and time.monotonic() < deadline:
        if api.answers() and node_is_ready():
            return True
        time.sleep(0.5)
    return False


def down(*, force: bool) -> None:
    """Takes the cluster away, and all that is left of one.

    Args:
        force: Also while somebody's tests run on it.

    Raises:
        ClusterError: It is in use.
    """
    with _changing():
        with open(settings.USERS, "w") as users:
            if not _alone(users) and not force:
                raise ClusterError("tests run on the cluster; wait for them, or use --force")
        machine.remove()


def use(command: list[str]) -> int:
    """Runs a command with the cluster's variables, on a cluster that stays at least as long; its exit code.

    The cluster is brought up if there is none, and taken down after its last user, unless `up` made it stay.
    With CREWCALL_TEST_KUBECONFIG set, that cluster is used, and none is made.
    """
    if os.environ.get("CREWCALL_TEST_KUBECONFIG"):
        return subprocess.run(command, env=os.environ | developers_environment()).returncode
    settings.LOCKS.mkdir(parents=True, exist_ok=True)
    with open(settings.USERS, "w") as users:
        with _changing():
            _up(keep=False)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            # The lock is on the open file, which the command does not get.
            return subprocess.run(command, env=os.environ | environment()).returncode
        finally:
            with _changing():
                fcntl.flock(users, fcntl.LOCK_UN)
                if _alone(users) and not _KEPT.exists():
                    machine.remove()


def environment() -> dict[str, str]:
    """The variables by which tests find the cluster."""
    return {
        "CREWCALL_TEST_KUBECONFIG": str(settings.KUBECONFIG),
        "CREWCALL_TEST_KUBECTL": str(tools.binary("kubectl")),
        "CREWCALL_TEST_HELM": str(tools.binary("helm")),
        "CREWCALL_TEST_AUDIT_LOG": str(configuration.AUDIT_LOG),
        "CREWCALL_TEST_IMAGE": f"{images.PUBLIC_REPOSITORY}:{images.dask_tag(images.NEWEST)}",
        "CREWCALL_TEST_IMAGE_OLDEST": f"{images.PUBLIC_REPOSITORY}:{images.dask_tag(images.OLDEST)}",
        "CREWCALL_TEST_REGISTRY": settings.REGISTRY,
        "CREWCALL_TEST_PRIVATE_REGISTRY": settings.PRIVATE_REGISTRY,
        "CREWCALL_INSECURE_REGISTRIES": f"{settings.REGISTRY},{settings.PRIVATE_REGISTRY}",
        "CREWCALL_TEST_REGISTRY_LOGIN": f"{settings.REGISTRY_USER}:{settings.REGISTRY_PASSWORD}",
    }


def developers_environment() -> dict[str, str]:
    """The same for a developer's own cluster, as far as it is known; what is set already stays."""
    given = {
        "CREWCALL_TEST_KUBECTL": "kubectl",
        "CREWCALL_TEST_IMAGE": f"{images.PUBLIC_REPOSITORY}:{images.dask_tag(images.NEWEST)}",
        "CREWCALL_TEST_IMAGE_OLDEST": f"{images.PUBLIC_REPOSITORY}:{images.dask_tag(images.OLDEST)}",
    }
    return {name: os.environ.get(name, value) for name, value in given.items()}


def node_is_ready() -> bool:
    """Whether the one real node says so."""
    try:
        node = api.call("GET", f"/api/v1/nodes/{settings.NODE}", timeout=2.0)
    except OSError:
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))


def _default_service_account() -> bool:
    try:
        api.call("GET", "/api/v1/namespaces/default/serviceaccounts/default", timeout=2.0)
    except OSError:
        return False
    return True


def _pull(image: str) -> None:
    containerd = [str(tools.binary("ctr")), f"--address={configuration.SOCKET}", "--namespace=k8s.io"]
    pull = ["images", "pull", f"--hosts-dir={settings.STATE / 'hosts'}", image]
    done = subprocess.run([*containerd, *pull], capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"containerd cannot pull {image}: {done.stderr.strip()}")


def _allow_proxy() -> None:
    """A role that installers of clusters bind, and the API server does not."""
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "crewcall-test-proxy"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:node-proxier"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "system:kube-proxy"}],
    }

    def bound() -> bool:
        try:
            api.create(f"/apis/{group}/v1/clusterrolebindings", binding)
        except OSError:
            return False
        return True

    _wait("the role of kube-proxy to be bound", bound)


def _wait(what: str, done: object) -> None:
    deadline = time.monotonic() + READY_BOUND
    while not done():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {READY_BOUND:.0f} s for {what}; {_last_words()}")
        time.sleep(0.1)


def _last_words() -> str:
    logs = sorted((settings.STATE / "log").glob("*.log"))
    return "\n".join(
        f"== {log}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-5:]) for log in logs
    )


def _alone(users: IO[str]) -> bool:
    """Whether nobody else holds the users' lock."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _give_to_caller(path: Path) -> None:
    """With sudo, the file is for the person who called it."""
    if "SUDO_UID" in os.environ:
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
