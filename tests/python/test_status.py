"""The scheduler's operation ``crewcall_status``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from distributed import Client, wait
from harness import BOUND, SOURCE, Cluster, eventually

sys.path.insert(0, str(SOURCE))
import crewcall_preload

WAKE_BOUND = 0.5
"""Seconds in which a long poll must answer after a change."""


def ask(client: Client, **question: Any) -> dict[str, Any]:
    status = client.sync(client.scheduler.crewcall_status, **question)
    # Dask reads arrays as tuples; and what JSON can hold, any msgpack reader can.
    return json.loads(json.dumps(status))


def settled(client: Client) -> dict[str, Any]:
    """Return a status after which nothing changes by itself."""

    def still() -> dict[str, Any] | None:
        status = ask(client)
        later = ask(client, since=status["sequence"], wait=1.0)
        return later if later["sequence"] == status["sequence"] else None

    return eventually("a cluster at rest", still)


class LongPoll:
    """A question that waits, asked in another thread."""

    def __init__(self, client: Client, **question: Any) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._asked = threading.Event()
        self._future = self._pool.submit(self._ask, client, question)
        assert self._asked.wait(BOUND)

    def _ask(self, client: Client, question: dict[str, Any]) -> tuple[dict[str, Any], float]:
        self._asked.set()
        return ask(client, **question), time.monotonic()

    def answer(self) -> tuple[dict[str, Any], float]:
        """Return the answer and when it came."""
        return self._future.result(BOUND)


def test_the_reply_describes_workers_clients_and_held_data(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    client = connect(2)
    held = client.scatter(b"x" * 100_000, workers=[cluster.worker(0)])
    status = eventually(
        "the data in the books",
        lambda: (s := ask(client))["workers"][cluster.worker(0)]["held_results"] == 1 and s,
    )
    assert status["protocol"] == 1
    assert status["clients"] == 1
    assert status["unavailable"] == []
    assert status["demand"] == []
    assert status["ranking"] is None
    assert set(status["workers"]) == {cluster.worker(0), cluster.worker(1)}
    worker = status["workers"][cluster.worker(0)]
    assert worker["address"].startswith("tls://127.0.0.1:")
    assert worker["state"] == "running"
    assert worker["held_bytes"] >= 100_000
    assert (worker["processing"], worker["actors"]) == (0, 0)
    assert worker["memory_limit"] == 2**30
    assert abs(status["idle_since"] - time.time()) < 60
    del held


def test_actors_are_counted(cluster: Cluster, connect: Any) -> None:
    class Actor:
        pass

    cluster.start_scheduler()
    cluster.start_workers(0)
    client = connect(1)
    actor = client.submit(Actor, actor=True).result(timeout=BOUND)
    assert ask(client)["workers"][cluster.worker(0)]["actors"] == 1
    del actor


def test_the_ranking_names_all_workers_idle_ones_first(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1, 2)
    client = connect(3)
    held = client.scatter(b"x" * 100_000, workers=[cluster.worker(1)])
    running = client.submit(time.sleep, 30, workers=[cluster.worker(2)], pure=False)
    eventually("the task runs", lambda: ask(client)["workers"][cluster.worker(2)]["processing"] == 1)
    assert ask(client, ranking=True)["ranking"] == [cluster.worker(0), cluster.worker(1), cluster.worker(2)]
    running.cancel()
    del held


def test_a_retiring_worker_is_said_to_retire_and_ranks_first(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    client = connect(2)
    held = client.scatter(b"x" * 100_000, workers=[cluster.worker(1)])
    client.sync(client.scheduler.retire_workers, names=[cluster.worker(1)], close_workers=False, remove=False)
    status = ask(client, ranking=True)
    assert status["workers"][cluster.worker(1)]["state"] == "retiring"
    assert status["ranking"] == [cluster.worker(1), cluster.worker(0)]
    del held


def test_demand_is_told_by_resources(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, resources={"DISK": 1})
    client = connect(1)
    plain = client.map(time.sleep, [60] * 30, pure=False)
    disk = client.map(time.sleep, [60] * 3, resources={"DISK": 1}, pure=False)
    gpu = client.map(time.sleep, [60] * 5, resources={"GPU": 2}, pure=False)

    def demand() -> Any:
        found = {tuple(sorted(d["resources"].items())): d for d in ask(client)["demand"]}
        return found if len(found) == 3 else None

    found = eventually("three kinds of demand", demand)
    counts = {key: (d["runnable"], d["unrunnable"]) for key, d in found.items()}
    assert counts == {(): (30, 0), (("DISK", 1.0),): (3, 0), (("GPU", 2.0),): (0, 5)}
    assert all(d["occupancy"] > 0 for d in found.values())
    client.cancel([*plain, *disk, *gpu])
    eventually("no demand left", lambda: all(d["unrunnable"] == 0 for d in ask(client)["demand"]))


def test_demand_without_any_worker_is_seen(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    client = connect(0)
    tasks = client.map(time.sleep, [1] * 7, pure=False)

    def waiting() -> bool:
        return sum(d["runnable"] + d["unrunnable"] for d in ask(client)["demand"]) == 7

    eventually("seven tasks wait", waiting)
    assert ask(client)["idle_since"] is None
    client.cancel(tasks)


def test_tasks_bound_to_a_worker_that_is_gone_are_no_demand(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0)
    client = connect(1)
    lost = client.submit(abs, -1, workers=["tls://127.0.0.1:9"], pure=False)
    eventually("the task is in the books", lambda: ask(client)["idle_since"] is None)
    assert ask(client)["demand"] == []
    del lost


def test_a_long_poll_answers_after_its_wait_when_nothing_happens(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0)
    client = connect(1)
    status = settled(client)
    begun = time.monotonic()
    later = ask(client, since=status["sequence"], wait=0.7)
    assert 0.6 < time.monotonic() - begun < 5
    assert later["sequence"] == status["sequence"]


@pytest.mark.parametrize("since", [0, -5, 10**30, "x", None, 1.5, True, [1]])
def test_a_number_that_means_nothing_is_answered_at_once(cluster: Cluster, connect: Any, since: Any) -> None:
    cluster.start_scheduler()
    client = connect(0)
    begun = time.monotonic()
    status = ask(client, since=since if since != 10**30 else 2**63, wait=30)
    assert time.monotonic() - begun < 5
    assert status["sequence"] > 0


def test_a_long_poll_wakes_when_workers_come_work_begins_and_work_ends(
    cluster: Cluster, connect: Any
) -> None:
    cluster.start_scheduler()
    client = connect(0)
    status = settled(client)
    poll = LongPoll(client, since=status["sequence"], wait=60)
    cluster.start_workers(0)
    status, _ = poll.answer()
    client.wait_for_workers(1, timeout=BOUND)
    status = settled(client)
    assert set(status["workers"]) == {cluster.worker(0)}

    poll = LongPoll(client, since=status["sequence"], wait=60)
    begun = time.monotonic()
    task = client.submit(time.sleep, 2, pure=False)
    status, answered = poll.answer()
    assert answered - begun < WAKE_BOUND
    assert status["idle_since"] is None
    assert [(d["resources"], d["runnable"]) for d in status["demand"]] == [({}, 1)]

    status = eventually(
        "the poll after the end of work",
        lambda: (s := ask(client, since=status["sequence"], wait=10))["idle_since"] and s,
    )
    wait(task, timeout=BOUND)
    assert time.time() - status["idle_since"] < 5


def test_many_changes_in_a_row_are_told_in_few_answers(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    client = connect(0)
    since = settled(client)["sequence"]
    begun = time.monotonic()
    questions = 5
    for _ in range(questions):
        client.sync(client.scheduler.log_event, topic="t", msg={"action": "worker-status-change"})
        since = ask(client, since=since, wait=10)["sequence"]
    assert time.monotonic() - begun >= (questions - 1) * crewcall_preload.PAUSE


def test_a_long_poll_wakes_when_a_worker_dies(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    client = connect(2)
    status = settled(client)
    poll = LongPoll(client, since=status["sequence"], wait=60)
    begun = time.monotonic()
    cluster.host.kill(cluster.worker(0))
    status, answered = poll.answer()
    assert answered - begun < WAKE_BOUND
    assert set(status["workers"]) == {cluster.worker(1)}
    assert [departure["worker"] for departure in status["departures"]] == [cluster.worker(0)]


def test_an_unexpected_departure_counts_what_was_lost(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    client = connect(2)
    results = client.map(abs, range(4), workers=[cluster.worker(0)], pure=False)
    wait(results, timeout=BOUND)
    scattered = client.scatter([b"a", b"b", b"c"], workers=[cluster.worker(0)], hash=False)
    kept = client.scatter([b"d"], workers=[cluster.worker(1)], hash=False)
    before = ask(client)["sequence"]
    cluster.host.kill(cluster.worker(0))
    status = eventually("the departure", lambda: (s := ask(client, since=before, wait=5))["departures"] and s)
    (departure,) = status["departures"]
    assert departure["worker"] == cluster.worker(0)
    assert departure["expected"] is False
    assert (departure["lost_computed"], departure["lost_scattered"]) == (4, 3)
    assert before < departure["sequence"] <= status["sequence"]
    assert abs(departure["at"] - time.time()) < 60
    assert ask(client, since=departure["sequence"])["departures"] == []
    assert len(ask(client)["departures"]) == 1
    del results, scattered, kept


def test_a_drained_worker_departs_as_expected_and_loses_nothing(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    client = connect(2)
    results = client.map(abs, range(20), pure=False)
    wait(results, timeout=BOUND)
    before = ask(client)["sequence"]
    cluster.terminate(0)
    assert cluster.exit_code(0) == 0
    (departure,) = ask(client, since=before)["departures"]
    assert departure["worker"] == cluster.worker(0)
    assert departure["expected"] is True
    assert (departure["lost_computed"], departure["lost_scattered"]) == (0, 0)
    del results


def test_pseudo_clients_do_not_count(cluster: Cluster, connect: Any) -> None:
    def task() -> int:
        from distributed import worker_client

        with worker_client() as client:
            client.submit(abs, -1).result()
            return client.sync(client.scheduler.crewcall_status)["clients"]

    cluster.start_scheduler()
    cluster.start_workers(0)
    assert connect(1).submit(task).result(timeout=BOUND) == 1


def test_a_waiting_poll_does_not_hold_up_the_end_of_the_scheduler(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    client = connect(0)
    status = settled(client)
    poll = LongPoll(client, since=status["sequence"], wait=60)
    os.kill(cluster.host.pids[cluster.scheduler], signal.SIGTERM)
    assert cluster.host.exit_code(cluster.scheduler, 5) == 0
    with pytest.raises(Exception):  # noqa: B017
        poll.answer()
        ask(client)


def test_a_part_that_cannot_be_told_is_named_and_the_rest_answered(cluster: Cluster, connect: Any) -> None:
    def break_ranking(dask_scheduler: Any) -> None:
        def refuse(**_: Any) -> None:
            raise KeyError("no such thing")

        dask_scheduler.workers_to_close = refuse

    cluster.start_scheduler()
    cluster.start_workers(0)
    client = connect(1)
    client.run_on_scheduler(break_ranking)
    status = ask(client, ranking=True)
    assert status["ranking"] is None
    assert status["unavailable"] == ["ranking: KeyError: 'no such thing'"]
    assert set(status["workers"]) == {cluster.worker(0)}


def test_asking_often_over_many_tasks_costs_little(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    client = connect(0)
    tasks = client.map(abs, range(30_000), pure=False)

    def counted() -> bool:
        found = sum(d["runnable"] + d["unrunnable"] for d in ask(client)["demand"])
        return abs(found - 30_000) <= 3

    eventually("all tasks in the demand", counted)
    begun = time.monotonic()
    for _ in range(20):
        ask(client)
    assert (time.monotonic() - begun) / 20 < 0.1
    client.cancel(tasks)


def demand(runnable: int, occupancy: float = 1.0, **resources: float) -> dict[str, Any]:
    return {"resources": resources, "runnable": runnable, "unrunnable": 0, "occupancy": occupancy}


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ([], [], False),
        ([], [demand(1)], True),
        ([demand(1)], [], True),
        ([demand(100)], [demand(119)], False),
        ([demand(100)], [demand(126)], True),
        ([demand(100)], [demand(100, GPU=1.0)], True),
        ([demand(2)], [demand(3)], True),
        ([demand(10, 100.0)], [demand(10, 110.0)], False),
        ([demand(10, 100.0)], [demand(10, 200.0)], True),
        ([demand(10, 0.1)], [demand(10, 0.9)], False),
    ],
)
def test_demand_differs_by_resources_or_by_a_fifth(
    old: list[dict[str, Any]], new: list[dict[str, Any]], differs: bool
) -> None:
    assert crewcall_preload.demand_differs(old, new) is differs


def test_the_last_word_on_when_a_scheduler_ends_by_itself_counts(cluster: Cluster, connect: Any) -> None:
    arguments = {"idle_timeout": 600.0, "lifetime": 600.0}
    cluster.host.send(cluster.command(cluster.scheduler, "scheduler", arguments))
    cluster.address = cluster.host.event("listening", cluster.scheduler)["address"]
    client = connect(0)

    def limit() -> float:
        return client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.idle_timeout)

    client.sync(client.scheduler.crewcall_belts, idle=3600.0, lifetime=None)
    assert limit() == 3600
    client.sync(client.scheduler.crewcall_belts, idle=None, lifetime=None)
    assert limit() > 10**8
    client.sync(client.scheduler.crewcall_belts, idle=3600.0, lifetime=0.5)
    assert cluster.host.exit_code(cluster.scheduler) == 0


def test_an_idle_timeout_that_is_set_later_holds(cluster: Cluster, connect: Any) -> None:
    arguments = {"idle_timeout": 4.0}
    cluster.host.send(cluster.command(cluster.scheduler, "scheduler", arguments))
    cluster.address = cluster.host.event("listening", cluster.scheduler)["address"]
    client = connect(0)
    client.sync(client.scheduler.crewcall_belts, idle=1.0)
    assert cluster.host.exit_code(cluster.scheduler) == 77
