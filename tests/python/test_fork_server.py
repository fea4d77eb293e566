"""The fork server: what it says, what it forks, and what its forks inherit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest
from distributed import get_worker
from harness import BOUND, SOURCE, Cluster, Host, alive, eventually

sys.path.insert(0, str(SOURCE))
import crewcall_fork_server

HARNESS = Path(__file__).with_name("harness.py")


def test_ready_names_the_versions_and_a_single_thread(host: Host) -> None:
    ready = host.event("ready")
    assert ready["protocol"] == 1
    assert ready["pid"] == host.process.pid
    assert ready["threads"] == 1
    versions = ready["versions"]
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["dask"] == dask.__version__
    assert versions["distributed"] == distributed.__version__
    assert {"msgpack", "cloudpickle", "tornado", "toolz", "numpy", "pandas", "lz4"} <= versions.keys()


def test_an_interpreter_without_dask_is_unusable(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    host = Host(str(tmp_path / "bare" / "bin" / "python"), {"PYTHONPATH": ""})
    unusable = host.event("unusable")
    assert "distributed" in unusable["error"]
    assert "\n" not in unusable["error"]
    assert "Traceback" in unusable["traceback"]
    assert host.process.wait(BOUND) == 3


def test_a_broken_installation_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "distributed.py").write_text("raise RuntimeError('half installed')\n")
    host = Host(environment={"PYTHONPATH": str(tmp_path)})
    assert host.event("unusable")["error"] == "RuntimeError: half installed"
    assert host.process.wait(BOUND) == 3


def test_prints_of_imported_modules_do_not_disturb_the_events(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text("print('hello from an import')\n")
    host = Host(environment={"PYTHONPATH": str(tmp_path), "CREWCALL_PREIMPORT": "chatty, missing_module"})
    host.event("ready")
    assert [event["event"] for event in host.events] == ["ready"]
    host.close()


def test_workers_inherit_what_keys_and_certificates_become(tls: dict[str, str]) -> None:
    command = {"node": "w", "role": "worker", "directory": "/", "environment": {}, "import_path": []}
    command |= {"umask": None, "log": "/dev/null", "tls": tls, "config": {}}
    command["arguments"] = {"scheduler": "tls://127.0.0.1:9", "name": "w"}
    launch = crewcall_fork_server.parse_launch(command)
    crewcall_fork_server._make_tls_contexts(launch)
    made = set(crewcall_fork_server._tls_contexts.values())
    security = crewcall_fork_server._shared_security(launch.tls)
    used = {
        security.get_connection_args("worker")["ssl_context"],
        security.get_listen_args("worker")["ssl_context"],
    }
    assert used <= made and len(used) == 2
    with dask.config.set({"distributed.comm.tls.min-version": 1.3}):
        own = crewcall_fork_server._shared_security(launch.tls).get_listen_args("worker")["ssl_context"]
    assert own not in made


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"role": "nanny"}, "'role' must be scheduler or worker"),
        ({"directory": None}, "'directory' must be str, not NoneType"),
        ({"environment": {"A": 1}}, "'environment' must hold texts only, not int"),
        ({"tls": {"ca": "x", "cert": "y"}}, "'key' is missing"),
        ({"arguments": {"name": "x"}}, "'scheduler' is missing"),
        (
            {"arguments": {"scheduler": "x", "name": "y", "colour": "red"}},
            "a worker has no argument 'colour'",
        ),
        ({"arguments": {"scheduler": "x", "name": "y", "threads": "two"}}, "'threads' must be int, not str"),
        ({"command": "sing"}, "unknown command 'sing'"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_with_the_reason(
    cluster: Cluster, change: dict[str, Any], reason: str
) -> None:
    node = cluster.worker(0)
    arguments = {"scheduler": "tls://127.0.0.1:9", "name": node}
    cluster.host.send({**cluster.command(node, "worker", arguments), **change})
    assert reason in cluster.host.event("refused", node)["error"]


def test_a_line_that_is_no_json_is_refused_and_the_next_one_obeyed(cluster: Cluster) -> None:
    cluster.host.send(b"{]")
    assert "not a JSON line" in cluster.host.event("refused")["error"]
    assert cluster.start_scheduler().startswith("tls://127.0.0.1:")


def test_a_missing_working_directory_fails_with_its_name(cluster: Cluster) -> None:
    arguments = {"scheduler": "tls://127.0.0.1:9", "name": cluster.worker(0)}
    cluster.host.send(
        cluster.command(cluster.worker(0), "worker", arguments, directory="/does/not/exist", log="/dev/null")
    )
    failed = cluster.host.event("failed", cluster.worker(0))
    assert (
        failed["error"] == "cannot enter the working directory '/does/not/exist': No such file or directory"
    )
    assert cluster.exit_code(0) == 1


def test_a_log_that_cannot_be_written_fails_with_its_name(cluster: Cluster) -> None:
    arguments = {"scheduler": "tls://127.0.0.1:9", "name": cluster.worker(0)}
    cluster.host.send(cluster.command(cluster.worker(0), "worker", arguments, log="/does/not/exist/log"))
    assert (
        "cannot write the log '/does/not/exist/log'"
        in cluster.host.event("failed", cluster.worker(0))["error"]
    )
    assert cluster.exit_code(0) == 1


def test_a_worker_that_never_finds_its_scheduler_fails_after_its_death_timeout(cluster: Cluster) -> None:
    cluster.address = "tls://127.0.0.1:9"
    cluster.start_workers(0, death_timeout=2)
    failed = cluster.host.event("failed", cluster.worker(0), bound=15)
    assert failed["error"]
    assert cluster.exit_code(0, 15) == 1


def test_forked_names_the_process_and_its_start_time(cluster: Cluster) -> None:
    cluster.start_scheduler()
    forked = cluster.host.event("forked", cluster.scheduler)
    assert forked["start_time"] == crewcall_fork_server.start_time(forked["pid"])
    assert [e["event"] for e in cluster.host.events if e.get("node") == cluster.scheduler][:2] == [
        "forked",
        "listening",
    ]


def test_configuration_goes_over_dasks_own_as_one_more_file_would(cluster: Cluster, connect: Any) -> None:
    nested = {"scheduler": {"work_stealing": False}, "admin": {"low-level-log-length": 77}}
    cluster.start_scheduler(config={"distributed": nested, "distributed.scheduler.bandwidth": 5})
    client = connect(0)

    def read(key: str) -> Any:
        import dask

        return dask.config.get(key)

    for key, value in {
        "scheduler.work-stealing": False,
        "admin.low-level-log-length": 77,
        "scheduler.bandwidth": 5,
    }.items():
        assert client.run_on_scheduler(read, f"distributed.{key}") == value
    assert client.run_on_scheduler(read, "distributed.admin.tick.interval") == "20ms"


def test_forks_share_nothing_that_separate_processes_would_not(cluster: Cluster, connect: Any) -> None:
    def look(dask_worker: Any) -> dict[str, Any]:
        import os
        import random
        import signal
        import sys
        import threading

        seeds = [random.random()]
        if "numpy" in sys.modules:
            import numpy

            seeds.append(numpy.random.random())
        return {
            "seeds": seeds,
            "pid": os.getpid(),
            "group": os.getpgid(0),
            "parent": os.getppid(),
            "files": {
                fd: os.readlink(f"/proc/self/fd/{fd}")
                for fd in map(str, range(64))
                if os.path.exists(f"/proc/self/fd/{fd}")
            },
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "main": sorted(name for name in vars(sys.modules["__main__"]) if not name.startswith("_")),
            "argv": sys.argv,
            "path": sys.path,
            "main_thread": threading.main_thread().name,
        }

    cluster.start_scheduler()
    cluster.start_workers(0, 1, 2, 3)
    client = connect(4)
    seen = list(client.run(look).values())
    for place in range(len(seen[0]["seeds"])):
        assert len({tuple(look["seeds"])[place] for look in seen}) == 4
    names = {pid: name for name, pid in cluster.host.pids.items()}
    for look_ in seen:
        assert look_["group"] == look_["pid"]
        assert look_["parent"] == os.getpid()
        log = str(cluster.directory / f"{names[look_['pid']]}.log")
        assert look_["files"]["0"] == "/dev/null"
        assert look_["files"]["1"] == look_["files"]["2"] == log
        others = [target for fd, target in look_["files"].items() if int(fd) > 2]
        assert not [target for target in others if target.startswith("pipe:")], others
        assert look_["blocked"] == []
        assert look_["main"] == []
        assert not [entry for entry in look_["path"] if entry == str(SOURCE)]
        assert Path(log).stat().st_mode & 0o777 == 0o600


def test_private_keys_are_in_no_environment_argument_or_log(
    cluster: Cluster, connect: Any, tls: dict[str, str]
) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0)
    connect(1)
    secret = tls["key"].splitlines()[1]
    for node in (cluster.scheduler, cluster.worker(0)):
        process = Path(f"/proc/{cluster.host.pids[node]}")
        for file in ("environ", "cmdline"):
            assert secret.encode() not in (process / file).read_bytes()
        assert secret not in (cluster.directory / f"{node}.log").read_text()

    def environment(dask_worker: Any) -> str:
        import os

        return repr(dict(os.environ))

    assert secret not in next(iter(connect(1).run(environment).values()))


def test_the_command_replaces_environment_and_configuration(
    host: Host, cluster: Cluster, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DASK_CREWCALL__FROM_ENVIRONMENT": "17",
        "OMP_NUM_THREADS": "3",
    }
    config = {"crewcall.from-command": [1, 2], "distributed.worker.profile.enabled": False}
    cluster.start_scheduler()
    cluster.start_workers(0, changes={"environment": environment, "config": config})

    def look(dask_worker: Any) -> dict[str, Any]:
        import os

        import dask

        return {
            "environment": dict(os.environ),
            "from-environment": dask.config.get("crewcall.from-environment", None),
            "from-command": dask.config.get("crewcall.from-command", None),
        }

    seen = next(iter(connect(1).run(look).values()))
    assert seen["from-environment"] == 17
    assert seen["from-command"] == [1, 2]
    assert seen["environment"]["OMP_NUM_THREADS"] == "3"
    assert "HOME" not in seen["environment"]
    # What a nanny would have added.
    assert seen["environment"]["MALLOC_TRIM_THRESHOLD_"] == "65536"


def test_the_worker_gets_what_the_command_asks_for(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, threads=2, resources={"GPU": 2}, memory_limit=3 * 2**30)
    client = connect(1)
    (info,) = client.scheduler_info()["workers"].values()
    assert info["name"] == cluster.worker(0)
    assert info["nthreads"] == 2
    assert info["resources"] == {"GPU": 2}
    assert info["memory_limit"] == 3 * 2**30
    assert client.scheduler_info()["id"] == f"{cluster.prefix}-id"


def test_a_module_beside_the_script_and_a_relative_file_are_found(cluster: Cluster, connect: Any) -> None:
    (cluster.directory / "beside.py").write_text("ANSWER = 42\n")
    (cluster.directory / "data.txt").write_text("read me")
    (cluster.directory / "library").mkdir()
    (cluster.directory / "library" / "deeper.py").write_text("ANSWER = 43\n")
    (cluster.directory / "third").mkdir()
    (cluster.directory / "third" / "from_pythonpath.py").write_text("ANSWER = 44\n")
    cluster.start_scheduler()
    changes = {"import_path": ["", "library"], "environment": {**os.environ, "PYTHONPATH": "third"}}
    cluster.start_workers(0, changes=changes)

    def use() -> tuple[int, int, int, str]:
        import beside
        import deeper
        import from_pythonpath

        with open("data.txt") as file:
            return beside.ANSWER, deeper.ANSWER, from_pythonpath.ANSWER, file.read()

    assert connect(1).submit(use).result(timeout=BOUND) == (42, 43, 44, "read me")


def test_a_task_may_start_processes_of_its_own(cluster: Cluster, connect: Any) -> None:
    def start() -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(abs, [-1, -2])

    cluster.start_scheduler()
    cluster.start_workers(0)
    assert connect(1).submit(start).result(timeout=BOUND) == [1, 2]


def test_the_preload_of_the_user_runs(cluster: Cluster, connect: Any) -> None:
    script = cluster.directory / "greet.py"
    script.write_text("def dask_setup(server):\n    server.greeting = type(server).__name__\n")
    cluster.host.send(
        cluster.command(cluster.scheduler, "scheduler", {"dashboard": "none", "preload": [str(script)]})
    )
    cluster.address = cluster.host.event("listening", cluster.scheduler)["address"]
    cluster.start_workers(0, preload=[str(script)])
    client = connect(1)
    assert client.submit(lambda: get_worker().greeting).result(timeout=BOUND) == "Worker"
    assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.greeting) == "Scheduler"
    assert client.sync(client.scheduler.crewcall_status)["protocol"] == 1


def test_a_cluster_without_tls_works_too(cluster: Cluster) -> None:
    cluster.tls = None
    assert cluster.start_scheduler().startswith("tcp://127.0.0.1:")
    cluster.start_workers(0)
    with distributed.Client(cluster.address, timeout=BOUND) as client:
        assert client.submit(abs, -5).result(timeout=BOUND) == 5


def test_the_dashboard_comes_after_the_workers(cluster: Cluster, connect: Any) -> None:
    if not cluster.host.event("ready")["dashboard"]:
        pytest.skip("bokeh is not installed here")
    cluster.start_scheduler(dashboard="attach")
    cluster.start_workers(0, 1)
    connect(2)
    dashboard = cluster.host.event("dashboard", cluster.scheduler)
    assert dashboard["attached"], dashboard["reason"]
    port = cluster.host.event("listening", cluster.scheduler)["dashboard_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=BOUND) as page:
        assert page.status == 200
        assert b"Dask" in page.read()


def test_without_bokeh_the_dashboard_event_says_why(cluster: Cluster) -> None:
    if cluster.host.event("ready")["dashboard"]:
        pytest.skip("bokeh is installed here")
    cluster.start_scheduler(dashboard="attach")
    dashboard = cluster.host.event("dashboard", cluster.scheduler)
    assert not dashboard["attached"]
    assert "bokeh" in dashboard["reason"]


def test_sigterm_closes_the_scheduler_and_with_it_its_workers(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    connect(2).close()
    os.kill(cluster.host.pids[cluster.scheduler], signal.SIGTERM)
    assert cluster.host.exit_code(cluster.scheduler, 10) == 0
    assert [cluster.exit_code(number, 10) for number in (0, 1)] == [0, 0]


def test_a_scheduler_that_ends_by_its_idle_timeout_has_an_exit_code_of_its_own(cluster: Cluster) -> None:
    arguments = {"idle_timeout": 1.0}
    cluster.host.send(cluster.command(cluster.scheduler, "scheduler", arguments))
    cluster.host.event("listening", cluster.scheduler)
    assert cluster.host.exit_code(cluster.scheduler) == 77


def test_a_worker_says_when_it_is_registered_and_what_memory_it_may_have(cluster: Cluster) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0)
    memory = cluster.host.event("memory", cluster.worker(0))
    assert memory["limit"] == 2**30
    assert memory["terminate"] == 0.95
    assert 0.05 <= memory["interval"] <= 1
    cluster.host.event("registered", cluster.worker(0))


@pytest.mark.parametrize("config", [{"distributed.worker.memory.terminate": False}, None])
def test_a_worker_without_a_bound_of_memory_is_not_to_be_watched(cluster: Cluster, config: Any) -> None:
    cluster.start_scheduler()
    changes = {"config": config} if config else {}
    cluster.start_workers(0, changes=changes, **({} if config else {"memory_limit": 0}))
    cluster.host.event("registered", cluster.worker(0))
    kinds = {event["event"] for event in cluster.host.events if event.get("node") == cluster.worker(0)}
    assert kinds == {"forked", "registered"}


def test_a_worker_may_have_a_nanny_process_of_its_own(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1, own_nanny=True)
    client = connect(2)
    for number in (0, 1):
        cluster.host.event("registered", cluster.worker(number))
    nannies = set(client.run(os.getpid, nanny=True).values())
    assert nannies == {cluster.host.pids[cluster.worker(number)] for number in (0, 1)}
    workers = set(client.run(os.getpid).values())
    assert len(workers | nannies) == 4
    assert set(client.run(os.getpgrp).values()) == nannies
    held = client.scatter({str(number): number for number in range(10)})
    futures = client.map(abs, range(10), pure=False)
    distributed.wait(futures)
    cluster.terminate(0)
    assert cluster.exit_code(0) == 0
    assert client.gather(list(held.values())) == list(range(10))
    assert client.gather(futures) == list(range(10))
    eventually("the worker ends with its nanny", lambda: sum(map(alive, workers)) == 1)
    cluster.terminate(1)
    assert cluster.exit_code(1) == 76


def test_sixteen_workers_come_up_at_once(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(*range(16))
    client = connect(16)
    assert sum(client.gather(client.map(abs, range(64), pure=False))) == sum(range(64))


def test_exit_ends_the_fork_server_and_leaves_the_nodes_alone(
    tmp_path: Path, tls: dict[str, str], security: Any
) -> None:
    host = Host()
    cluster = Cluster(host, "orphaned", tmp_path, tls)
    cluster.start_scheduler()
    cluster.start_workers(0)
    host.event("forked", cluster.worker(0))
    host.send({"command": "exit"})
    assert host.process.wait(BOUND) == 0
    with distributed.Client(cluster.address, security=security, timeout=BOUND) as client:
        assert client.submit(abs, -3).result(timeout=BOUND) == 3
    cluster.close()


def test_the_death_of_the_host_ends_all(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, HARNESS, tmp_path], stdout=subprocess.PIPE)
    pids = json.loads(process.stdout.readline()).values()
    assert len(pids) == 4
    assert all(alive(pid) for pid in pids)
    process.kill()
    process.wait(BOUND)
    eventually("all processes end with their host", lambda: not any(alive(pid) for pid in pids), 10)


def test_an_event_fits_one_atomic_write() -> None:
    event = {"event": "failed", "node": "n", "error": "e\n" * 5000, "traceback": 'é"' * 9000 + "the end"}
    line = crewcall_fork_server.encode_event(event)
    assert len(line) <= 4096
    assert line.endswith(b"\n")
    assert json.loads(line)["node"] == "n"
    shorter = json.loads(crewcall_fork_server.encode_event({**event, "error": "short"}))
    assert shorter["error"] == "short"


def test_tls_texts_are_not_shown() -> None:
    assert "secret" not in repr(crewcall_fork_server.Tls("ca", "cert", "secret"))
