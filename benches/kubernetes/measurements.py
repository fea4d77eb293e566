"""What is measured, and the rows that it makes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import crewcall_side
import loop
import operator_side
import processes
from api_server import ApiServer, Namespace, Object, PodWatch, calls_in, rate
from crewcall_side import WORKERS, KubernetesInstallation
from figures import Row

CREATE_GOAL, OPERATOR_GOAL, CALLS_GOAL = 0.85, 5.0, 1.2
END_GOAL, MEMORY_GOAL = 3.0, 50.0
BOUND = 300.0
"""Seconds that anything here may take."""


@dataclass
class Session:
    """One run.

    Args:
        server: The API server of all sides.
        binary: Crewcall.
        python: The interpreter of clients.
        operator: An interpreter that has dask-kubernetes; empty: that side is left out.
        image: Of schedulers and workers.
        pairs: How often each comparison is made.
        quick: Whether sizes are cut down; figures are then for errors only.
        end: On the monotonic clock; no pair begins after it.
    """

    server: ApiServer
    binary: str
    python: str
    operator: str
    image: str
    pairs: int
    quick: bool
    end: float

    def rounds(self) -> Iterator[int]:
        """Yield the number of each pair that there is time for."""
        for number in range(self.pairs):
            if number and time.monotonic() > self.end:
                return
            yield number

    def installation(self) -> KubernetesInstallation:
        """Return a new installation, to be entered."""
        return KubernetesInstallation(self.binary, self.python, self.server.kubeconfig, self.image)


def created(session: Session) -> list[Row]:
    """Pods created per second on nodes that kwok plays, from the first pod to the last."""
    rows = []
    for count in (20,) if session.quick else (100, 1000):
        against_loop = Row(
            f"{count} pods created", "a plain loop, 8 connections", CREATE_GOAL, unit="pods/s", at_least=True
        )
        against_operator = Row(
            f"{count} pods created", "dask-kubernetes", OPERATOR_GOAL, unit="pods/s", at_least=True
        )
        calls = Row(f"API calls per worker, {count} workers", "", CALLS_GOAL, unit="calls")
        for _ in session.rounds():
            body, ours, made = _ours(session, count)
            against_loop.ours.append(ours)
            calls.ours.append(made / count)
            against_loop.theirs.append(_plain(session, body, count))
            # It makes 15 to 19 a second: a thousand would take a minute, and say the same.
            if session.operator and count <= 300:
                against_operator.ours.append(ours)
                against_operator.theirs.append(_operators(session, count))
        rows += [against_loop, against_operator, calls]
    return rows


def _ours(session: Session, count: int) -> tuple[Object, float, int]:
    """Crewcall's rate; with the body of one of its pods, and the calls that it made until the last."""
    with Namespace(session.server) as namespace, session.installation() as installation:
        begun = time.time()
        with PodWatch(namespace, WORKERS) as watch:
            installation.create_in(namespace.name, "demo", count, fake=True, wait=False)
            times = watch.wait("created", watch.made, count, BOUND)
        made = calls_in(namespace.name, begun).total()
        pods = session.server.call("GET", f"{namespace.path}/pods?labelSelector={WORKERS}&limit=1")
        body = {"apiVersion": "v1", "kind": "Pod", **pods["items"][0]}
        return loop.body_like(body), rate(times), made


def _plain(session: Session, body: Object, count: int) -> float:
    with Namespace(session.server) as namespace:
        with PodWatch(namespace) as watch:
            loop.create(namespace, body, count)
            times = watch.wait("created", watch.made, count, BOUND)
        namespace.delete_pods()
        return rate(times)


def _operators(session: Session, count: int) -> float:
    with operator_side.running(session.server, session.operator), Namespace(session.server) as namespace:
        with PodWatch(namespace, operator_side.WORKERS) as watch:
            operator_side.create(namespace, "demo", count, session.image, fake=True)
            times = watch.wait("created", watch.made, count, BOUND)
        operator_side.delete(namespace, "demo")
        _gone(namespace)
        return rate(times)


def _gone(namespace: Namespace) -> float:
    """Wait for the end of all pods of a namespace, and return when that was."""
    connection = namespace.server.connect()

    def none() -> bool:
        return not connection.call("GET", f"{namespace.path}/pods?limit=1")["items"]

    processes.wait_until("the end of all pods", none, BOUND, 0.05)
    return time.monotonic()


def lived(session: Session) -> list[Row]:
    """A cluster of three real workers: from the command to all of them, and from the command to no pod."""
    workers = 3
    up = Row(f"{workers} real workers connected", "dask-kubernetes", 1.0)
    down = Row("delete until no pod is left", "", END_GOAL)
    verb = Row("`crewcall delete`, the whole command", "", None)
    down_both = Row("delete until no pod is left", "dask-kubernetes", None)
    for _ in session.rounds():
        with Namespace(session.server) as namespace, session.installation() as installation:
            up.ours.append(installation.create_in(namespace.name, "demo", workers))
            begun = time.monotonic()
            with ThreadPoolExecutor(1) as beside:
                # The command returns when the record is gone, too.
                deleting = beside.submit(installation.verb, "-q", "delete", "demo")
                down.ours.append(_gone(namespace) - begun)
                deleting.result()
            verb.ours.append(time.monotonic() - begun)
        if session.operator:
            with (
                operator_side.running(session.server, session.operator),
                Namespace(session.server) as namespace,
            ):
                begun = time.monotonic()
                operator_side.create(namespace, "demo", workers, session.image)
                operator_side.wait_for_workers(namespace, "demo", workers, session.python, BOUND)
                up.theirs.append(time.monotonic() - begun)
                begun = time.monotonic()
                operator_side.delete(namespace, "demo")
                down_both.theirs.append(_gone(namespace) - begun)
                down_both.ours.append(down.ours[-1])
    return [up, down, verb, down_both]


def rested(session: Session) -> list[Row]:
    """What clusters cost while nothing happens, in both homes: memory, processor time, and calls.

    The pods of many are fake and never answer, so that this must end before their deadline for that; one
    cluster is real.
    """
    clusters, workers = (3, 2) if session.quick else (100, 10)
    size = f"{clusters} clusters of {workers} pods that do not answer"
    rows = _real_at_rest(session)

    with Namespace(session.server) as namespace, session.installation() as installation:
        with PodWatch(namespace, WORKERS) as watch:
            for number in range(clusters):
                installation.create_in(namespace.name, f"idle-{number}", workers, fake=True, wait=False)
            watch.wait("created", watch.made, clusters * workers, BOUND)
        rows += _at_rest(session, f"controller, {size}", installation.controller(), namespace)
    with Namespace(session.server) as namespace, crewcall_side.operator(session.binary, namespace) as pid:
        with PodWatch(namespace, WORKERS) as watch:
            for number in range(clusters):
                crewcall_side.post(namespace, f"idle-{number}", workers, session.image, fake=True)
            watch.wait("created", watch.made, clusters * workers, BOUND)
        return rows + _at_rest(session, f"operator, {size}", pid, namespace)


def _real_at_rest(session: Session) -> list[Row]:
    workers = 3
    size = f"one cluster of {workers} real workers"
    with Namespace(session.server) as namespace, session.installation() as installation:
        installation.create_in(namespace.name, "rest", workers)
        rows = _at_rest(session, f"controller, {size}", installation.controller(), namespace)
    with Namespace(session.server) as namespace, crewcall_side.operator(session.binary, namespace) as pid:
        crewcall_side.post(namespace, "rest", workers, session.image)
        crewcall_side.wait_until_ready(namespace, "rest", BOUND)
        return rows + _at_rest(session, f"operator, {size}", pid, namespace)


def _is_upkeep(call: str) -> bool:
    """Whether a call is a watch, which the API server ends now and then, or keeps the operator's lease."""
    return call.startswith("watch ") or call.endswith(" leases")


def _at_rest(session: Session, what: str, pid: int, namespace: Namespace) -> list[Row]:
    seconds = 10.0 if session.quick else 60.0
    memory = Row(f"{what}: memory", "", MEMORY_GOAL, unit="MB")
    busy = Row(f"{what}: processor time", "", None, unit="% of one")
    calls = Row(f"{what}: API calls but watches and the lease in {seconds:.0f} s", "", 0.0, unit="calls")
    time.sleep(seconds)  # Until what creation has set off is through.
    before, begun = processes.processor_seconds([pid]), time.time()
    time.sleep(seconds)
    busy.ours.append(100 * (processes.processor_seconds([pid]) - before) / seconds)
    made = calls_in(namespace.name, begun)
    calls.ours.append(sum(count for call, count in made.items() if not _is_upkeep(call)))
    calls.note = ", ".join(f"{count} {call}" for call, count in made.most_common(4))
    memory.ours.append(processes.settled_memory(lambda: [pid]))
    return [memory, busy, calls]
