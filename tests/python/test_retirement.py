"""Workers that retire: each result is asked for once."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from distributed import wait
from distributed.active_memory_manager import RetireWorker
from harness import BOUND, SOURCE, Cluster

sys.path.insert(0, str(SOURCE))
import crewcall_preload


class Thing:
    """Something with attributes, equal to nothing but itself."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class World:
    """What a retirement sees of a scheduler, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, results: int) -> None:
        self.now = 100.0
        monkeypatch.setattr(crewcall_preload.time, "monotonic", lambda: self.now)
        self.retiring = Thing(actors=set(), has_what=[])
        self.first, self.second = object(), object()
        self.retiring.has_what = [
            Thing(key=number, actor=False, who_has={self.retiring}, waiters=set())
            for number in range(results)
        ]
        self.scheduler = Thing(workers={"a": self.retiring}, running={self.first, self.second})
        self.policy = crewcall_preload.patient(RetireWorker)("a")
        self.policy.manager = Thing(scheduler=self.scheduler, policies={self.policy}, pending={})

    def look(self, recipient: Any) -> list[int]:
        """Have the policy look once, and return the keys it asks `recipient` for."""
        asked = []
        suggestions = self.policy.run()
        answer = None
        while True:
            try:
                suggestion = suggestions.send(answer)
            except StopIteration:
                return asked
            answer = None
            if suggestion[0] == "replicate":
                asked.append(suggestion[1].key)
                answer = recipient
            else:
                answer = self.retiring

    def arrive(self, number: int) -> None:
        """Let a result arrive at the first worker."""
        self.retiring.has_what[number].who_has.add(self.first)


def test_a_result_on_its_way_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, results=3)
    assert world.look(world.first) == [0, 1, 2]
    world.now += 2
    assert world.look(world.second) == []
    world.arrive(1)
    world.now += 2
    assert world.look(world.second) == []
    assert world.policy in world.policy.manager.policies and not world.policy.no_recipients
    world.arrive(0)
    world.arrive(2)
    assert world.look(world.second) == []
    assert world.policy not in world.policy.manager.policies and not world.policy.no_recipients


def test_a_recipient_that_is_gone_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, results=2)
    assert world.look(world.first) == [0, 1]
    world.scheduler.running.discard(world.first)
    assert world.look(world.second) == [0, 1]


def test_without_progress_it_is_asked_again_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, results=1)
    times = []
    for _ in range(60):
        if world.look(world.first):
            times.append(world.now - 100)
        world.now += 1
    assert times == [0, 16, 47]


def test_without_any_recipient_the_worker_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, results=1)
    assert world.look(None) == [0]
    assert world.policy.no_recipients


def test_the_scheduler_retires_patiently(cluster: Cluster, connect: Any) -> None:
    cluster.start_scheduler()
    cluster.start_workers(0, 1, 2)
    client = connect(3)
    futures = client.map(lambda number: bytes(1000), range(30), pure=False)
    wait(futures, timeout=BOUND)
    patient = client.run_on_scheduler(
        lambda: __import__("distributed.scheduler").scheduler.RetireWorker.crewcall_patient
    )
    assert patient
    address = next(iter(client.has_what()))
    retired = client.sync(client.scheduler.retire_workers, workers=[address], close_workers=True)
    assert list(retired) == [address]
    assert [len(data) for data in client.gather(futures)] == [1000] * 30
