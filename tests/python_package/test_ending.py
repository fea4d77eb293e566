"""What is left when a program lets go of a cluster, however that happens."""

from __future__ import annotations

import gc
import os
import signal
import time
import warnings

import pytest
from crewcall import Cluster
from support import (
    BOUND,
    crewcall,
    expect_line,
    names,
    processes_of,
    run_python,
    start_python,
    view,
    wait_until,
)

STARTED = """
    import sys, time
    from crewcall import Cluster
    cluster = Cluster(name=sys.argv[1], workers=1, **eval(sys.argv[2]))
    print("started", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("keep", [False, True])
def test_the_end_of_the_interpreter_is_what_shutdown_on_close_says(name: str, keep: bool) -> None:
    process = start_python(STARTED, name, repr({"shutdown_on_close": not keep}))
    expect_line(process, "started")
    assert name in names()
    printed, _ = process.communicate("end\n", timeout=BOUND)
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    assert (name in names()) == keep, "on record before the interpreter has ended"
    crewcall("delete", name, "--ignore-not-found")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_program_leaves_nothing(name: str, number: int) -> None:
    process = start_python(STARTED, name, "{}")
    expect_line(process, "started")
    os.kill(process.pid, number)
    process.communicate(timeout=BOUND)
    wait_until(lambda: name not in names(), bound=15)


def test_a_killed_program_leaves_what_it_was_to_leave(name: str) -> None:
    process = start_python(STARTED, name, "{'shutdown_on_close': False}")
    expect_line(process, "started")
    process.kill()
    process.communicate(timeout=BOUND)
    assert view(name)["phase"] == "Ready"
    crewcall("delete", name)


def processes_with(owner: int) -> list[str]:
    """Processes that wait for the end of that one."""
    return [line for line in processes_of(None) if f"--owner {owner} " in f"{line} "]


INTERRUPTED = """
    import signal
    import sys
    from crewcall import Cluster
    # Whoever runs the tests in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Its worker never becomes ready.
    never = {"dask": {"workerPreload": ["import time; time.sleep(600)"]}}
    print("starting", flush=True)
    try:
        Cluster(name=sys.argv[1], workers=1, engine=never, **eval(sys.argv[2]))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_ctrl_c_while_starting_is_what_shutdown_on_close_says(name: str, keep: bool, exists: bool) -> None:
    process = start_python(INTERRUPTED, name, repr({"shutdown_on_close": not keep}))
    expect_line(process, "starting")
    if exists:
        wait_until(lambda: name in names())
    else:
        time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=BOUND)
    assert "interrupted" in printed, printed
    if keep:
        wait_until(lambda: name in names(), bound=30)
        crewcall("delete", name)
    else:
        # The process that has asked for it may still wait for the answer.
        wait_until(
            lambda: not processes_with(process.pid), lambda: str(processes_with(process.pid)), bound=60
        )
        assert name not in names()


def test_a_cluster_that_does_not_become_ready_is_deleted(name: str) -> None:
    from crewcall import WaitTimeoutError

    never = {"dask": {"workerPreload": ["import time; time.sleep(600)"]}}
    with pytest.raises(WaitTimeoutError, match="1 ready worker"):
        Cluster(name=name, workers=1, engine=never, wait_for={"timeout": "4s"})
    assert name not in names()


def test_a_forgotten_cluster_ends(name: str) -> None:
    cluster = Cluster(name=name, workers=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del cluster
        gc.collect()
    assert name not in names()


def test_the_last_object_of_a_cluster_counts(name: str) -> None:
    cluster = Cluster(name=name, workers=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        cluster = Cluster(name=name, workers=1)
        gc.collect()
    assert name in names(), "the cell of a notebook that runs again finds its cluster"
    assert cluster.shutdown_on_close
    cluster.close()
    assert name not in names()


def test_shutdown_on_close_can_be_taken_back(name: str) -> None:
    cluster = Cluster(name=name, workers=1)
    cluster.shutdown_on_close = False
    cluster.close()
    assert view(name)["phase"] == "Ready"
    crewcall("delete", name)


def test_a_fork_ends_nothing(name: str) -> None:
    program = """
        import os, sys
        from distributed import Client
        from crewcall import Cluster
        with Cluster(name=sys.argv[1], workers=1) as cluster:
            child = os.fork()
            if child == 0:
                cluster.close()
                sys.exit(0)
            os.waitpid(child, 0)
            with Client(cluster) as client:
                print("answer", client.submit(abs, -2).result(timeout=60))
    """
    assert "answer 2" in run_python(program, name)
    assert name not in names()


def test_several_clusters_end_with_their_program() -> None:
    program = """
        from crewcall import Cluster
        clusters = [Cluster(workers=1) for _ in range(3)]
        print(*[cluster.name for cluster in clusters])
    """
    ended = run_python(program).split()
    assert len(ended) == 3
    assert not set(ended) & set(names())
