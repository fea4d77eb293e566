"""Scenario: adaptive sizes, idle timeouts and lifetimes, while the controller is killed at random.

Three clusters at once. One grows from nothing for each burst and shrinks back; one ends each time by its
idle timeout, and one by its maximum lifetime, in the middle of its work. Values are compared throughout; what
has ended must stay ended, and leave nothing.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from mixed import watch
from world import Client, Fault, World, until

MOST = 3
"""Workers of an adaptive group."""

IDLE = 45
"""Seconds without work; long enough for a client to start on a busy machine."""

LIFE = 60
"""Seconds of a cluster's life."""


def killer(world: World, chance: random.Random, kills: int, over: threading.Event) -> None:
    """Kill the controller at random times; a command some time later starts the next one."""
    done = 0
    while done < kills and not over.is_set():
        over.wait(chance.uniform(0.0, 5.0))
        done += world.kill_controller()
        over.wait(chance.choice([0.0, 0.0, chance.uniform(0.0, 2.0)]))
        world.crewcall("list")
    over.set()


def apply(world: World, name: str, spec: dict[str, Any]) -> None:
    """Create a cluster, and wait until its scheduler is there."""
    world.crewcall("create", "-f", world.document(name, spec))
    world.count("clusters created")


def judge(world: World, name: str, report: dict[str, Any]) -> None:
    """Compare a report of a computation with what may be: no process of the cluster was touched."""
    if "error" in report or report["wrong"] or report["missing"] or report["suspicious"]:
        raise Fault(f"{name}: {report}")
    world.count("values compared with this machine's", report["checked"])
    world.count("background tasks begun again", report["rerun"])


def computed(world: World, client: Client, seed: int) -> dict[str, Any]:
    """Start a computation and return its report."""
    answer = client.ask("start", seed)
    return answer if "error" in answer else client.ask("finish")


def bursts(world: World, chance: random.Random, over: threading.Event) -> None:
    """From nothing to several workers and back, again and again, with one client."""
    apply(world, "burst", {"workers": {"min": 0, "max": MOST, "memory": "512MiB"}})
    client = world.client("burst")
    client.connect()
    while True:
        largest, finished = 0, threading.Event()

        def look(finished: threading.Event = finished) -> None:
            nonlocal largest
            while not finished.wait(0.2):
                for group in world.view("burst")["groups"]:
                    if group["ready"] > MOST:
                        raise Fault(f"{group['ready']} workers of at most {MOST}")
                    largest = max(largest, group["ready"])

        looking = threading.Thread(target=look)
        looking.start()
        report = computed(world, client, chance.randrange(10**9))
        finished.set()
        looking.join()
        judge(world, "burst", report)
        if largest < 2:
            raise Fault(f"a burst was answered with {largest} workers")
        until("no workers after a burst", lambda: len(world.view("burst")["nodes"]) == 1)
        world.count("bursts from 0 workers up and back to 0")
        if over.is_set():
            break
    client.close()


def gone(world: World, name: str) -> None:
    """Wait until a cluster has ended by itself, and stays so without a process."""
    until(f"the end of {name}", lambda: not world.view(name))
    if name in world.hosts():
        raise Fault(f"{name} has ended, and its host lives: {world.hosts()}")


def idling(world: World, chance: random.Random, over: threading.Event) -> None:
    """Used once, then forgotten."""
    while not over.is_set():
        spec = {"workers": {"min": 0, "max": 2, "memory": "512MiB"}, "idleTimeout": f"{IDLE}s"}
        apply(world, "idle", spec)
        client = world.client("idle")
        try:
            client.connect()
        except Fault:
            # Python may need longer to start than the cluster waits for work.
            if world.view("idle"):
                raise
            world.count("ends by idle timeout before the client was there")
            continue
        judge(world, "idle", computed(world, client, chance.randrange(10**9)))
        # Connected on purpose, or not: a client alone is not work.
        if chance.random() < 0.5:
            client.close()
        begun = time.monotonic()
        gone(world, "idle")
        if time.monotonic() - begun < IDLE - 5:
            raise Fault(f"idle for {time.monotonic() - begun:.0f} s, and ended")
        client.close()
        world.count("ends by idle timeout")


def limited(world: World, chance: random.Random, over: threading.Event) -> None:
    """Ended in the middle of its work."""
    while not over.is_set():
        begun = time.monotonic()
        apply(world, "life", {"workers": {"min": 1, "max": 2, "memory": "512MiB"}, "maxLifetime": f"{LIFE}s"})
        client = world.client("life")
        try:
            client.connect()
            while True:
                report = computed(world, client, chance.randrange(10**9))
                # Seconds may pass between the request and the time that counts.
                if time.monotonic() - begun > LIFE - 5:
                    break
                judge(world, "life", report)
        except Fault:
            if time.monotonic() - begun < LIFE - 5:
                raise
        gone(world, "life")
        client.close()
        world.count("ends by maximum lifetime")


def play(world: World, seed: int, kills: int) -> list[str]:
    """Run the scenario until the controller was killed so often, and return its faults."""
    faults: list[str] = []
    over, looked = threading.Event(), threading.Event()

    def guarded(part: Callable[..., None], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                part(*arguments)
            except Exception as error:
                faults.append(f"{part.__name__}: {type(error).__name__}: {error}")
                over.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    parts = [
        guarded(part, world, random.Random(seed * 10 + number), over)
        for number, part in enumerate((bursts, idling, limited))
    ]
    parts.append(guarded(killer, world, random.Random(seed * 10 + 9), kills, over))
    watching = guarded(watch, world, looked, faults)
    for thread in parts:
        thread.join()
    looked.set()
    watching.join()
    return faults
