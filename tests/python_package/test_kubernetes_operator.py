"""The Python class and an operator: clusters that are custom resources."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewcall import Cluster
from crewcall.errors import ClusterNotFoundError, RefusedError
from crewcall.program import find_program
from crewcall.views import Group
from distributed import Client
from support import BOUND, crewcall, processes_of, run_python, run_workload, wait_until, workloads
from test_kubernetes import EXAMPLE, SMALL, kubectl, objects

pytestmark = pytest.mark.skipif(
    "CREWCALL_TEST_KUBECONFIG" not in os.environ,
    reason="SKIPPED: CREWCALL_TEST_KUBECONFIG names no Kubernetes cluster for tests",
)

CONTEXT = "kube:"

# Others are run without an operator, in test_kubernetes.py.
WORKLOADS = ("bags", "delayed_graph", "futures")


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace that ends empty, an operator that looks after it, and a kubeconfig that leads there."""
    name = f"crewcall-python-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        definition = Path(folder) / "definition.yaml"
        definition.write_text(crewcall("schema", "--crd"))
        kubectl("apply", "--server-side", "--force-conflicts", "-f", str(definition))
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(definition))
        config = Path(folder) / "config"
        shutil.copy(os.environ["CREWCALL_TEST_KUBECONFIG"], config)
        patch.setenv("KUBECONFIG", str(config))
        log = Path(folder) / "log"
        # Not one of the processes that end with the tests' own state.
        others = {key: value for key, value in os.environ.items() if key != "CREWCALL_STATE_DIR"}
        with log.open("w") as out:
            operator = subprocess.Popen(
                [find_program(), "operator", "--namespace", name, "--lease-namespace", name, "--port", "0"],
                stderr=out,
                env=others,
            )
        try:
            yield name
            gc.collect()
            left = objects(name)
            assert operator.poll() is None, log.read_text()
            assert left == []
        finally:
            kubectl("-n", name, "delete", "computeclusters", "--all", "--wait=false")
            operator.terminate()
            operator.wait()
            kubectl("delete", "namespace", name, "--wait=false")


def make(name: str, namespace: str, **more: Any) -> Cluster:
    """The cluster of the example, small enough for a machine that does much else."""
    fields: dict[str, Any] = {"scheduler": {"cpu": "50m"}, "workers": {"replicas": 2, **SMALL}, **more}
    return Cluster(EXAMPLE, name=name, namespace=namespace, context=CONTEXT, **fields)


@pytest.fixture(scope="module")
def shared(namespace: str) -> Iterator[Cluster]:
    """A cluster for the tests that leave it as it is."""
    with make("shared", namespace) as cluster:
        yield cluster


def gateways() -> set[Path]:
    """Folders of processes that speak with operators."""
    return set(Path(tempfile.gettempdir()).glob("crewcall-gateway-*"))


def test_it_computes_for_its_client_and_no_controller_is_started(shared: Cluster, namespace: str) -> None:
    with shared.get_client() as client:
        assert client.submit(sum, [1, 1]).result(timeout=BOUND) == 2
    assert shared.scheduler_address.startswith("tls://127.0.0.1:")
    assert shared.observed == {"shared-workers-0-0", "shared-workers-1-0"} == shared.plan
    assert kubectl("-n", namespace, "get", "computeclusters", "-o", "name").split() == [
        "computecluster.crewcall.dev/shared"
    ]
    assert not [found for found in processes_of(None) if "__controller" in found]


def test_another_process_finds_it_by_its_name(shared: Cluster, namespace: str) -> None:
    program = """
        import sys
        from distributed import Client
        from crewcall import Cluster
        where = dict(context="kube:", namespace=sys.argv[2])
        with Cluster.from_name(sys.argv[1], **where) as cluster, Client(cluster) as client:
            print(client.submit(sum, [1, 2]).result(), len(cluster.observed), cluster.dashboard_link)
    """
    before = gateways()
    said = run_python(program, shared.name, namespace).split()[-3:]
    assert said == ["3", "2", shared.dashboard_link]
    assert gateways() <= before


def test_one_that_is_not_there_is_not_found(namespace: str) -> None:
    with pytest.raises(ClusterNotFoundError, match=f"no cluster named nobody in namespace {namespace}"):
        Cluster.from_name("nobody", context=CONTEXT, namespace=namespace)


def test_what_is_fixed_is_refused(shared: Cluster, namespace: str) -> None:
    with pytest.raises(RefusedError, match=r"spec\.scheduler\.cpu"):
        make("shared", namespace, scheduler={"cpu": "60m"})


def test_logs_and_events_come_from_kubernetes(shared: Cluster) -> None:
    logs = shared.get_logs()
    assert "Scheduler at:" in str(logs["Scheduler"])
    assert "WorkersReady" in [event.kind for event in shared.events()]


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
    assert cluster.status.name == "closed"
    wait_until(lambda: not [found for found in objects(namespace) if name in found])


def test_a_cluster_ends_with_the_process_that_made_it(name: str, namespace: str) -> None:
    program = """
        import os, sys
        from crewcall import Cluster
        cluster = Cluster(sys.argv[3], name=sys.argv[1], namespace=sys.argv[2], context="kube:",
                          scheduler={"cpu": "50m"}, workers={"replicas": 0})
        print(cluster.name, flush=True)
        os.kill(os.getpid(), 9)
    """
    with pytest.raises(AssertionError, match=name):
        run_python(program, name, namespace, str(EXAMPLE))
    wait_until(lambda: not [found for found in objects(namespace) if name in found])


@pytest.mark.parametrize(
    "path", [path for path in workloads() if path.stem in WORKLOADS], ids=lambda path: path.stem
)
def test_a_workload_gives_what_one_machine_gives(path: Path, shared: Cluster, namespace: str) -> None:
    run_workload(path, shared.name, {"CREWCALL_CONTEXT": CONTEXT, "CREWCALL_NAMESPACE": namespace})
