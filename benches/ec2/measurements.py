"""What is measured, and the rows that it makes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import processes
from account import Account, Calls, imagined
from cloudprovider_side import CloudProvider, remove_group
from crewcall_side import Ec2Installation
from figures import Row
from plain_hosts import BOUND, has_image, held_to, none_left, plain_hosts
from user_data import private_keys

TIME_GOAL, SIZE_GOAL, CALLS_GOAL = 0.8, 8_000.0, 1.0
PEER = "dask-cloudprovider"
LOOKS = ("Describe", "Get")
"""How calls begin that change nothing; who polls makes them by the clock."""

LOOKED = 12.0
"""Seconds over which processor time is taken: a few looks."""

PEERS_MOST = 100
"""It has a client of its own for each worker: a thousand take minutes and gigabytes, and say the same."""


@dataclass
class Session:
    """One run.

    Args:
        double: The program of the double.
        booted: The double whose instances boot; None: what needs it is left out.
        binary: Crewcall.
        python: The interpreter of clients.
        peer: An interpreter that has dask-cloudprovider; empty: that side is left out.
        image: Of schedulers and workers.
        sizes: How many workers, where instances are imagined.
        share: Processors that each host that boots may have; None for all there are.
        hosts: How many workers, where they boot.
        state: Where the double keeps what its hosts have; None with `booted`.
        pairs: How often each comparison on booted hosts is made.
        end: On the monotonic clock; no pair begins after it.
        tables: Further tables, as Markdown, in the order in which they were made.
    """

    double: Path
    booted: Account | None
    binary: str
    python: str
    peer: str
    image: str
    sizes: list[int]
    share: float | None
    hosts: list[int]
    state: Path | None
    pairs: int
    end: float
    tables: list[str] = field(default_factory=list)

    def rounds(self) -> Iterator[int]:
        """Yield the number of each pair that there is time for."""
        for number in range(self.pairs):
            if number and time.monotonic() > self.end:
                return
            yield number

    def installation(self, account: Account) -> Ec2Installation:
        """Return a new installation, to be entered."""
        return Ec2Installation(self.binary, self.python, account, self.image)


@dataclass
class Called:
    """What a cluster took.

    Args:
        up: Calls until all its instances ran.
        down: Calls until it was gone.
        user_data: Of one instance of each kind.
        memory: Of the controller while all ran, in megabytes; 0 for who has none.
        busy: The controller's processor time then, in percent of one; 0 for who has none.
        seconds_down: Of its removal.
    """

    up: Calls
    down: Calls
    user_data: list[bytes]
    memory: float
    busy: float
    seconds_down: float


def called(session: Session) -> list[Row]:
    """Calls, user data and memory, by the number of workers; instances only pretend to run."""
    ours = {size: _ours(session, size) for size in session.sizes}
    theirs = {}
    if session.peer:
        theirs = {size: _theirs(session, size) for size in session.sizes if size <= PEERS_MOST}
    rows = []
    for size in session.sizes:
        for part in ("up", "down"):
            what = f"API calls, {_workers(size)} {part}"
            row = Row(what, PEER if size in theirs else "", None, unit="calls")
            row.ours.append(float(sum(getattr(ours[size], part).values())))
            if size in theirs:
                row.theirs.append(float(sum(getattr(theirs[size], part).values())))
            rows.append(row)
    session.tables += [_by_action("Crewcall", ours), *([_by_action(PEER, theirs)] if theirs else [])]
    least, most = min(ours), max(ours)
    for part in ("up", "down"):
        row = Row(f"calls {part} that change something, {most:,} workers less {least}", "", CALLS_GOAL)
        row.unit = "calls"
        row.ours.append(float(_changing(getattr(ours[most], part)) - _changing(getattr(ours[least], part))))
        rows.append(row)
    rows += _told(list(ours.values()), list(theirs.values()))
    memory = Row(f"controller, {most:,} workers: resident memory", "", None, unit="MB")
    memory.ours.append(ours[most].memory)
    busy = Row(f"controller, {most:,} workers that boot: processor time", "", None, unit="% of one")
    busy.ours.append(ours[most].busy)
    gone = Row(f"delete, {_workers(most)} whose instances end in 2 s", "", None)
    gone.ours.append(ours[most].seconds_down)
    return [*rows, memory, busy, gone]


def _told(ours: list[Called], theirs: list[Called]) -> list[Row]:
    """What user data is like: the largest of each side."""
    size = Row("user data, the largest", PEER if theirs else "", None, unit="bytes")
    bound = Row("user data, the largest", "", SIZE_GOAL, unit="bytes")
    keys = Row("private keys in user data", "", 0.0, unit="keys")
    size.ours.append(float(max(len(data) for one in ours for data in one.user_data)))
    bound.ours = list(size.ours)
    keys.ours.append(float(sum(private_keys(data) for one in ours for data in one.user_data)))
    rows = [size, bound, keys]
    if theirs:
        size.theirs.append(float(max(len(data) for one in theirs for data in one.user_data)))
        row = Row(f"private keys in one machine's user data, {PEER}", "", None, unit="keys")
        row.ours.append(float(max(private_keys(data) for one in theirs for data in one.user_data)))
        rows.append(row)
    return rows


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count:,} workers"


def _changing(calls: Calls) -> int:
    return sum(count for action, count in calls.items() if not action.startswith(LOOKS))


def _by_action(side: str, called: dict[int, Called]) -> str:
    """Return a table of calls by action and number of workers, as ``up + down``."""
    actions = sorted({action for one in called.values() for action in (*one.up, *one.down)})
    header = [f"{side}: calls up + down", *(_workers(size) for size in called)]
    lines = [header, ["---"] * len(header)]
    for action in actions:
        cells = (f"{one.up.get(action, 0)} + {one.down.get(action, 0)}" for one in called.values())
        lines.append([action, *cells])
    sums = (f"{sum(one.up.values())} + {sum(one.down.values())}" for one in called.values())
    lines.append(["all", *sums])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _ours(session: Session, workers: int) -> Called:
    with imagined(session.double) as account, session.installation(account) as installation:
        installation.create_in_account("bench", workers, wait=False)
        _all_run(account, workers + 1)
        up = account.calls()
        pid = installation.controller()
        before = processes.processor_seconds([pid])
        time.sleep(LOOKED)
        busy = 100 * (processes.processor_seconds([pid]) - before) / LOOKED
        memory = installation.memory()
        told = [account.user_data(name) for name in _one_of_each(account)]
        account.forget_calls()
        seconds = installation.timed("-q", "delete", "bench", bound=BOUND)
        down = account.calls()
        if left := account.asked("leftovers"):
            raise RuntimeError(f"left in the account: {left}")
        return Called(up, down, told, memory, busy, seconds)


def _theirs(session: Session, workers: int) -> Called:
    with (
        imagined(session.double) as account,
        CloudProvider(session.peer, account, workers, session.image, imagined=True) as peer,
    ):
        peer.up()
        up = account.calls()
        told = [account.user_data(name) for name in account.instances("pending", "running")[:2]]
        account.forget_calls()
        seconds = peer.down()
        return Called(up, account.calls(), told, 0.0, 0.0, seconds)


def _all_run(account: Account, count: int) -> None:
    processes.wait_until(
        f"{count} instances that run", lambda: len(account.instances("running")) >= count, BOUND, 0.1
    )


def _one_of_each(account: Account) -> list[str]:
    """One instance of each group of ours."""
    report = account.asked("report")["instances"]
    return list({instance["tags"]["crewcall:group"]: name for name, instance in report.items()}.values())


def connected(session: Session) -> list[Row]:
    """Until all workers have connected on hosts that boot, in turn; and hosts that do nothing else."""
    if session.state is None:
        return _connected(session, "on booted hosts")
    where = "on booted hosts" + (f" of {session.share:g} processors" if session.share else "")
    with held_to(session.share, session.state):
        return _connected(session, where)


def prepared(session: Session) -> list[Row]:
    """The same where the machine image has the container's image already."""
    what = "on hosts that have the image"
    if session.booted is None or session.state is None:
        return _connected(session, what)
    with has_image(session.booted, session.state, session.image):
        return _connected(session, what)


def _connected(session: Session, where: str) -> list[Row]:
    account = session.booted
    if account is None:
        return [Row(f"workers connected {where}", "", None, note="CREWCALL_TEST_EC2 is not set")]
    rows = []
    for workers in session.hosts:
        what = f"{workers} workers connected {where}"
        inside = Row(what, PEER, TIME_GOAL, note="theirs from the call of EC2Cluster")
        shell = Row(what, f"{PEER}, from the shell", None)
        boot = Row(what, f"{workers + 1} hosts' own boot", None, note="theirs start no container")
        of_machines = Row(f"{workers} workers: calls of the machines themselves", "", None, unit="calls")
        for _ in session.rounds():
            account.forget_calls()
            with session.installation(account) as installation:
                seconds = installation.create_in_account("bench", workers, wait=True)
                of_machines.ours.append(float(sum(account.calls_of_machines().values())))
                installation.verb("-q", "delete", "bench", bound=BOUND)
            boot.ours.append(seconds)
            boot.theirs.append(_plain(account, workers + 1))
            if session.peer:
                from_call, from_shell = _connected_theirs(session, account, workers)
                inside.ours.append(seconds)
                inside.theirs.append(from_call)
                shell.ours.append(seconds)
                shell.theirs.append(from_shell)
        rows += [inside, shell, boot, of_machines]
    return rows


def _connected_theirs(session: Session, account: Account, workers: int) -> tuple[float, float]:
    with CloudProvider(session.peer, account, workers, session.image, imagined=False) as peer:
        times = peer.up()
        peer.down()
    none_left(account)
    remove_group(account)
    return times


def _plain(account: Account, count: int) -> float:
    """Seconds until so many hosts have booted side by side and have run their user data."""
    with plain_hosts(account, count, "true") as seconds:
        return seconds
