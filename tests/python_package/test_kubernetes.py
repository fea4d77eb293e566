"""The Python class on a real Kubernetes: the same verbs, with pods."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewcall import Cluster
from crewcall.errors import DocumentError
from crewcall.views import Group
from distributed import Client
from support import BOUND, crewcall, names, run_python, run_workload, wait_until, workloads

pytestmark = pytest.mark.skipif(
    "CREWCALL_TEST_KUBECONFIG" not in os.environ and not os.environ.get("CI"),
    reason="SKIPPED: CREWCALL_TEST_KUBECONFIG names no Kubernetes cluster for tests",
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "kubernetes.yaml"
SMALL = {"cpu": "50m", "memory": "1GiB"}


def kubectl(*arguments: str) -> str:
    """What kubectl says, if it succeeds."""
    program = os.environ.get("CREWCALL_TEST_KUBECTL", "kubectl")
    command = [program, f"--kubeconfig={os.environ['CREWCALL_TEST_KUBECONFIG']}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(namespace: str) -> list[str]:
    """What is there of ours."""
    kinds = "pods,services,secrets,configmaps,networkpolicies"
    label = "app.kubernetes.io/managed-by=crewcall"
    return kubectl("-n", namespace, "get", kinds, "-l", label, "-o", "name").split()


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace that ends empty, with a kubeconfig of the caller's that leads there."""
    name = f"crewcall-python-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        config = Path(folder) / "config"
        shutil.copy(os.environ["CREWCALL_TEST_KUBECONFIG"], config)
        patch.setenv("KUBECONFIG", str(config))
        yield name
        left = objects(name)
        crewcall("delete", "--all", "-q")
        kubectl("delete", "namespace", name, "--wait=false")
        assert left == []


def make(name: str, namespace: str, **more: Any) -> Cluster:
    """The cluster of the example, small enough for a machine that does much else."""
    fields: dict[str, Any] = {"scheduler": {"cpu": "50m"}, "workers": {"replicas": 2, **SMALL}, **more}
    return Cluster(EXAMPLE, name=name, namespace=namespace, **fields)


@pytest.fixture(scope="module")
def shared(namespace: str) -> Iterator[Cluster]:
    """A cluster for the tests that leave it as it is."""
    with make("shared", namespace) as cluster:
        yield cluster


def test_the_example_computes_for_its_client(shared: Cluster) -> None:
    with shared.get_client() as client:
        assert client.submit(sum, [1, 1]).result(timeout=BOUND) == 2
        hosts = client.run(lambda: os.uname().nodename)
    expected = {f"{shared.name}-workers-{slot}-0" for slot in range(2)}
    assert set(hosts.values()) == shared.observed == shared.plan == expected
    assert shared.scheduler_address.startswith("tls://127.0.0.1:")


def test_the_dashboard_link_leads_to_the_scheduler_in_its_pod(shared: Cluster) -> None:
    assert shared.dashboard_link.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(shared.dashboard_link, timeout=BOUND) as page:
        assert page.status == 200 and b"Dask" in page.read()
    health = shared.dashboard_link.replace("/status", "/health")
    with urllib.request.urlopen(health, timeout=BOUND) as answer:
        assert answer.read() == b"ok"


def test_another_process_finds_it_by_its_name(shared: Cluster) -> None:
    program = """
        import sys
        from distributed import Client
        from crewcall import Cluster
        with Cluster.from_name(sys.argv[1]) as cluster, Client(cluster) as client:
            print(client.submit(sum, [1, 2]).result(), len(cluster.observed), cluster.dashboard_link)
    """
    said = run_python(program, shared.name).split()[-3:]
    assert said == ["3", "2", shared.dashboard_link]
    assert shared.name in names()


def test_logs_come_from_the_pods(shared: Cluster) -> None:
    logs = shared.get_logs()
    assert set(logs) == {"Cluster", "Scheduler", *shared.observed}
    assert "Scheduler at:" in str(logs["Scheduler"])


def test_results_survive_scaling_up_and_down_and_nothing_is_left(name: str, namespace: str) -> None:
    def count(value: int) -> int:
        from distributed import get_worker

        get_worker().log_event("runs", value)
        return value

    def ready(cluster: Cluster, wanted: int) -> bool:
        group: Group = cluster.groups["workers"]
        return group.ready == wanted and len(cluster.observed) == wanted

    with make(name, namespace, workers={"replicas": 1, **SMALL}) as cluster, Client(cluster) as client:
        futures = client.map(count, range(40))
        assert client.gather(futures) == list(range(40))
        cluster.scale(3)
        cluster.wait_for_workers(3, timeout=BOUND)
        cluster.scale(1)
        wait_until(lambda: ready(cluster, 1), lambda: str(cluster.groups))
        assert client.gather(futures) == list(range(40))
        assert len(client.get_events("runs")) == 40, "nothing was computed again"
        bounds = cluster.adapt(minimum=0, maximum=2)
        assert (bounds.minimum, bounds.maximum) == (0, 2)
        wait_until(lambda: cluster.groups["workers"].is_adaptive)
        assert client.submit(sum, [40, 2]).result(timeout=BOUND) == 42
    assert cluster.status.name == "closed"
    wait_until(lambda: not [found for found in objects(namespace) if name in found])


def test_what_kubernetes_cannot_have_is_refused_before_anything_is_made(name: str, namespace: str) -> None:
    with pytest.raises(DocumentError, match="packages"):
        Cluster(
            name=name,
            namespace=namespace,
            provider="kubernetes",
            environment={"packages": ["dask"]},
            workers=1,
        )
    assert not [found for found in objects(namespace) if name in found]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where this machine and the pods see the same files."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="crewcall-shared-") as folder:
        yield Path(folder)


def copy_libraries(software: Path, target: Path) -> None:
    """Copy what the packages in ``software`` need of this machine's libraries: images of Dask have few."""
    target.mkdir()
    files = [str(path) for path in software.rglob("*.so*") if path.is_file()]
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True).stdout
    found = {Path(line.split("=> ")[1].split(" (")[0]) for line in listed.splitlines() if "=> /" in line}
    for path in found:
        if not path.is_relative_to(software):
            shutil.copy(path, target / path.name)


@pytest.fixture(scope="module")
def laboratory(namespace: str, folder: Path) -> Iterator[Cluster]:
    """Workers with the files of this machine."""
    if "CREWCALL_TEST_REGISTRY" not in os.environ:
        pytest.skip("SKIPPED: pods see the files of this machine only in the cluster that is made here")
    # The image has the client's Python, and Dask alone; the client's packages are files of this machine.
    software = sysconfig.get_path("platlib")
    copy_libraries(Path(software), folder / "lib")
    pods = {
        "volumes": [
            {"name": "shared", "hostPath": {"path": str(folder)}},
            {"name": "software", "hostPath": {"path": software}},
        ],
        "volumeMounts": [
            {"name": "shared", "mountPath": str(folder)},
            {"name": "software", "mountPath": software, "readOnly": True},
        ],
        # The folder is this user's.
        "securityContext": {"runAsUser": os.getuid(), "runAsNonRoot": os.getuid() != 0},
    }
    big = {"replicas": 1, "resources": {"BIG": 1}, **SMALL}
    with make(
        "laboratory",
        namespace,
        provider={"kubernetes": {"pods": pods}},
        env={"PYTHONPATH": software, "LD_LIBRARY_PATH": str(folder / "lib")},
        worker_groups={"big": big},
    ) as cluster:
        yield cluster


@pytest.mark.parametrize("path", workloads(), ids=lambda path: path.stem)
def test_a_workload_gives_what_one_machine_gives(path: Path, laboratory: Cluster, folder: Path) -> None:
    run_workload(path, laboratory.name, {"TMPDIR": str(folder)})
