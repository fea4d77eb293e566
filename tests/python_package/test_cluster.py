"""A cluster in use: computing, sizes, names, logs, several users."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from crewcall import (
    Cluster,
    ClusterNotFoundError,
    Controller,
    DocumentError,
    UnknownFieldError,
    WaitTimeoutError,
)
from distributed import Client
from distributed.deploy.cluster import Cluster as DaskCluster
from distributed.utils import format_dashboard_link
from support import BOUND, names, run_python, view, wait_until


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """A cluster for the tests that leave it as it is."""
    with Cluster(workers=2) as cluster:
        yield cluster


def number(value: int) -> int:
    return value + 1


def test_it_computes_for_a_client_and_is_gone_afterwards(name: str) -> None:
    with Cluster(name=name, workers=1) as cluster, Client(cluster) as client:
        assert client.submit(number, 1).result(timeout=BOUND) == 2
        assert cluster.name == name
    assert cluster.status.name == "closed"
    assert name not in names()
    cluster.close()


def test_it_is_one_of_dasks_clusters(shared: Cluster) -> None:
    assert isinstance(shared, DaskCluster)
    assert shared.status.name == "running"
    assert shared.scheduler_address.startswith("tls://")
    assert shared.name in repr(shared) and "workers=2" in repr(shared)
    assert len(shared.scheduler_info["workers"]) == 2
    with shared.get_client() as client:
        assert client.cluster is shared
        assert client.scheduler.address == shared.scheduler_address
        assert client.dashboard_link == shared.dashboard_link


def test_its_workers_have_their_true_names(shared: Cluster) -> None:
    expected = {f"{shared.name}-workers-{slot}-0" for slot in range(2)}
    assert shared.observed == shared.requested == shared.plan == expected


def test_the_dashboard_link_follows_dasks_template(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    dashboard = view(shared.name)["dashboard"]
    if dashboard is None:
        assert shared.dashboard_link == ""
        return
    port = dashboard.split(":")[2].split("/")[0]
    assert shared.dashboard_link == format_dashboard_link("127.0.0.1", port)
    import dask

    with dask.config.set({"distributed.dashboard.link": "/user/{USER_PREFIX}/proxy/{port}/status"}):
        monkeypatch.setenv("USER_PREFIX", "ada")
        assert shared.dashboard_link == f"/user/ada/proxy/{port}/status"


def test_logs_and_events_say_what_happened(shared: Cluster) -> None:
    logs = shared.get_logs()
    assert set(logs) == {"Cluster", "Scheduler", *shared.observed}
    assert "WorkersReady" in logs["Cluster"]
    one = sorted(shared.observed)[0]
    assert set(shared.get_logs(cluster=False, scheduler=False, workers=[one])) == {one}
    address = next(iter(shared.scheduler_info["workers"]))
    assert len(shared.get_logs(cluster=False, scheduler=False, workers=[address])) == 1
    kinds = [event.kind for event in shared.events()]
    assert kinds[0] == "Created" and "WorkersReady" in kinds
    assert len(shared.events(limit=1)) == 1


def test_in_a_notebook_it_shows_sizes_and_link(shared: Cluster) -> None:
    html = shared._repr_html_()
    assert shared.name in html and "Workers:</strong> 2" in html
    assert "Scaling mode:</strong> Manual" in html
    assert shared.dashboard_link in html


def test_waiting_for_workers_that_do_not_come_says_what_is_there(shared: Cluster) -> None:
    with pytest.raises(WaitTimeoutError, match="only 2 of 3 workers") as caught:
        shared.wait_for_workers(3, timeout=0.2)
    assert "2 of 2 ready" in str(caught.value) and "hint: " in str(caught.value)
    with pytest.raises(ValueError, match="positive"):
        shared.wait_for_workers(0)


def test_a_second_object_for_it_sees_the_same_and_ends_nothing(shared: Cluster) -> None:
    with Cluster.from_name(shared.name) as other:
        assert not other.shutdown_on_close
        assert other.observed == shared.observed
        assert other == shared
    assert shared.name in [view.name for view in Controller().clusters()]
    assert shared.name in names()
    with pytest.raises(ClusterNotFoundError, match="no-such"):
        Cluster.from_name("no-such")


def test_another_process_uses_it_at_the_same_time(shared: Cluster) -> None:
    program = """
        import sys
        from distributed import Client
        from crewcall import Cluster
        with Cluster.from_name(sys.argv[1]) as cluster, Client(cluster) as client:
            cluster.wait_for_workers(2, timeout=60)
            print(sum(client.gather(client.map(abs, range(-50, 0)))), len(cluster.observed))
    """
    with Client(shared) as client:
        futures = client.map(number, range(100), pure=False)
        assert run_python(program, shared.name).split()[-2:] == [str(sum(range(51))), "2"]
        assert sum(client.gather(futures)) == sum(range(101))
    assert len(shared.observed) == 2


def test_many_threads_may_use_it(shared: Cluster) -> None:
    failures: list[BaseException] = []

    def use() -> None:
        try:
            assert len(shared.events()) >= 1
            assert shared.get_logs(workers=False)
            shared.wait_for_workers(2, timeout=BOUND)
            shared.scale(2)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert not failures


def test_results_survive_scaling_down(name: str, tmp_path: Path) -> None:
    def note(value: int) -> int:
        with open(tmp_path / "runs", "a") as file:
            file.write(f"{value}\n")
        return value

    with Cluster(name=name, workers=3) as cluster, Client(cluster) as client:
        futures = client.map(note, range(60))
        scattered = client.scatter(list(range(30)))
        assert sum(client.gather(futures)) == sum(range(60))
        cluster.scale(1)
        wait_until(lambda: len(cluster.observed) == 1, lambda: str(cluster.observed))
        assert client.gather(futures) == list(range(60))
        assert client.gather(scattered) == list(range(30))
        assert len((tmp_path / "runs").read_text().split()) == 60
        cluster.scale(2)
        cluster.wait_for_workers(2, timeout=BOUND)


def test_groups_have_sizes_of_their_own(name: str) -> None:
    groups = {"big": {"replicas": 1, "resources": {"BIG": 1}}}
    with Cluster(name=name, workers=1, worker_groups=groups) as cluster, Client(cluster) as client:
        assert client.submit(number, 1, resources={"BIG": 1}).result(timeout=BOUND) == 2
        cluster.scale(2, group="big")
        cluster.wait_for_workers(3, timeout=BOUND)
        wait_until(lambda: cluster.groups["big"].ready == 2)
        assert cluster.groups["workers"].wanted == 1
        bounds = cluster.adapt(minimum=0, maximum=3, group="big")
        assert (bounds.minimum, bounds.maximum) == (0, 3)
        wait_until(lambda: cluster.groups["big"].is_adaptive)
        with pytest.raises(UnknownFieldError, match="interval"):
            cluster.adapt(maximum=3, interval="1s")
        assert cluster.adapt(group="big").maximum == 3
        with pytest.raises(DocumentError, match="needs a maximum"):
            cluster.adapt()
        assert "Adaptive, 0 to 3" in cluster._repr_html_()


def test_adaptive_scaling_goes_on_without_this_process(name: str) -> None:
    program = """
        import sys
        from crewcall import Cluster
        cluster = Cluster(name=sys.argv[1], workers=1, shutdown_on_close=False)
        cluster.adapt(minimum=2, maximum=3)
    """
    run_python(program, name)
    with Cluster.from_name(name, shutdown_on_close=True) as cluster:
        cluster.wait_for_workers(2, timeout=BOUND)
        assert cluster.groups["workers"].maximum == 3
    assert name not in names()


def test_a_name_that_exists_is_used_and_brought_up_to_date(name: str) -> None:
    with Cluster(name=name, workers=1) as first:
        with Cluster(name=name, workers=2, shutdown_on_close=False) as second:
            assert second.groups["workers"].wanted == 2
            assert not second.shutdown_on_close
        assert name in names()
        assert first.shutdown_on_close


def test_a_file_counts_and_arguments_go_over_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "apiVersion: crewcall.dev/v1alpha1\nkind: ComputeCluster\nmetadata: {name: other}\n"
        "spec:\n  provider: {local: {}}\n  environment: {packages: [dask]}\n"
        "  workers: {min: 1, max: 3, threads: 2}\n"
    )
    own = {"interpreter": sys.executable}
    with Cluster(file, name=name, workers=1, environment=own) as cluster:
        spec = view(name)["document"]["spec"]
        assert spec["workers"] == {"replicas": 1, "threads": 2}
        assert sum(worker["nthreads"] for worker in cluster.scheduler_info["workers"].values()) == 2


def test_modules_and_files_beside_the_program_are_found(name: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def answer():\n    return open('data.txt').read()\n")
    (tmp_path / "data.txt").write_text("42")
    program = """
        import os, sys
        os.chdir(sys.argv[2])
        sys.path.insert(0, sys.argv[2])
        import beside
        from distributed import Client
        from crewcall import Cluster
        with Cluster(name=sys.argv[1], workers=1) as cluster, Client(cluster) as client:
            print(client.submit(beside.answer).result())
    """
    assert run_python(program, name, str(tmp_path)).split()[-1] == "42"


def test_the_asynchronous_face_does_the_same(name: str) -> None:
    async def use() -> None:
        async with Cluster(name=name, workers=1, asynchronous=True) as cluster:
            async with Client(cluster, asynchronous=True) as client:
                assert await client.submit(number, 1) == 2
            await cluster.scale(2)
            await cluster.wait_for_workers(2, timeout=BOUND)
            cluster.scale(1)
            bounds = await cluster.adapt(minimum=1, maximum=4)
            assert bounds.maximum == 4
            deadline = asyncio.get_running_loop().time() + BOUND
            while not cluster.groups["workers"].is_adaptive:
                assert asyncio.get_running_loop().time() < deadline, "what is asked for is done in order"
                await asyncio.sleep(0.05)
            assert (await cluster.events())[0].kind == "Created"
            assert "Scheduler" in await cluster.get_logs()
            other = await Cluster.from_name(name, asynchronous=True)
            assert other.observed
            await other.close()
        assert cluster.status.name == "closed"

    asyncio.run(use())
    assert name not in names()


def test_a_vanished_controller_is_started_again(name: str) -> None:
    from support import crewcall

    with Cluster(name=name, workers=1) as cluster, Client(cluster) as client:
        crewcall("controller", "stop")
        assert client.submit(number, 1).result(timeout=BOUND) == 2
        cluster.scale(2)
        cluster.wait_for_workers(2, timeout=BOUND)
        wait_until(lambda: len(cluster.requested) == 2, lambda: str(cluster.requested))
    assert name not in names()


def test_a_cluster_that_somebody_else_deletes_is_closed(name: str) -> None:
    from support import crewcall

    cluster = Cluster(name=name, workers=1)
    crewcall("delete", name)
    wait_until(lambda: cluster.status.name == "closed", lambda: cluster.status.name)
    cluster.close()


def test_python_is_the_callers_own(shared: Cluster) -> None:
    with Client(shared) as client:
        found = client.submit(lambda: sys.executable).result(timeout=BOUND)
        assert os.path.samefile(os.path.dirname(found), os.path.dirname(sys.executable))
