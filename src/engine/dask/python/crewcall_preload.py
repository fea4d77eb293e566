"""Dask preload: a lossless stop for workers, one status operation for schedulers.

Works as ``--preload`` of a scheduler or of a worker without a nanny, as ``--preload-nanny`` of a worker with
one, and imported by the fork server. Needs nothing but distributed, from 2022.10.2 on.

Worker and nanny: SIGTERM hands all results to other workers, lets running tasks finish, leaves the scheduler
as an expected departure and ends, all within a grace of ``CREWCALL_DRAIN_GRACE`` seconds (25). Exit code 0:
nothing has to be computed again. Exit code 76: something was lost or cut off, because nobody could take it
(the last worker, an actor), the scheduler did not answer, or the grace ended. A task that never releases the
interpreter lock can be ended by SIGKILL only.

Worker and nanny: with ``CREWCALL_AWAIT`` set to the scheduler's address, nothing else begins until something
listens there: for workers that are started side by side with it. Dask's own tries come at ever longer pauses,
and within its death timeout only.

Scheduler: the operation ``crewcall_status(since=None, wait=0, ranking=False)`` answers in plain msgpack
types:

- ``protocol`` (1), ``sequence``: rises with every change below.
- ``idle_since``: seconds since the epoch, or None while there is work.
- ``clients``: connected clients of users; pseudo-clients and clients inside tasks do not count.
- ``workers``: {name: {address, state, held_bytes, held_results, processing, actors, memory_limit}}, where
  state is "starting", "running", "paused" or "retiring", and the limit in bytes is None when there is none.
- ``demand``: [{resources, runnable, unrunnable, occupancy}], largest first: tasks queued or assigned, tasks
  that no worker could run, and their expected run time in seconds on one thread. Estimated from a sample when
  there are more than 10,000 of them. Tasks bound to a worker that has gone are left out: no new worker could
  run them either.
- ``ranking``: names of all workers, those to close first at the beginning, if asked for; else None.
- ``departures``: [{sequence, worker, at, expected, lost_computed, lost_scattered}] later than ``since``; the
  last 1,000 are kept. ``lost_computed``: results that were nowhere else and can be computed again.
- ``unavailable``: what could not be said, as text.

It answers at once if ``sequence`` is not ``since``, else after the next change or after ``wait`` seconds (at
most 60); changes within 0.05 s after the answer before are told together. Changes that wake: a worker came,
left or changed its state; a client came or left; work began or ended; demand changed by its resources or by a
fifth. The last two are looked at five times a second, and only while somebody waits.

Scheduler: the operation ``crewcall_belts(idle=None, lifetime=None)`` sets when it ends by itself: after so
many seconds without work, and so many seconds from now, whatever it does. Until then Dask's own idle timeout
holds, and ``CREWCALL_LIFETIME``, in seconds from its start.

Scheduler: with ``CREWCALL_DASHBOARD_TLS=HOST:PORT`` the dashboard, or without bokeh Dask's plain routes, are
also served there, to clients and controllers that show a certificate of the scheduler's authority. The plain
HTTP server is then closed unless it listens on loopback alone. ``CREWCALL_NANNIES=own`` says that workers
with a Nanny of their own will come.

Scheduler: where the dashboard is served over TLS, the operation ``crewcall_tunnel()`` answers "OK" and makes
its connection a way to that port, and to no other, for whoever reaches no port but the scheduler's. From then
on each message is a piece of bytes of at most 64 KiB; an empty one ends its direction.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ipaddress
import itertools
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from distributed.comm import get_tcp_server_addresses
from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin
from tornado.httpserver import HTTPServer

PROTOCOL = 1
"""Version of the reply of ``crewcall_status``."""

DRAIN_NOT_CLEAN = 76
"""Exit code of a worker that was told to stop and could not hand everything over."""

ENDED_IDLE = 77
"""Exit code of a scheduler that ended by its idle timeout: nobody is to start it again."""

DEFAULT_GRACE = 25.0
"""Seconds from SIGTERM to the end: below the 30 that Kubernetes gives."""

CLOSE_RESERVE = 3.0
"""Seconds of the grace that are kept for closing connections."""

FAREWELL = 1.0
"""Seconds in which a worker that could not hand everything over takes its leave of the scheduler."""

FAREWELL_TO_THE_GONE = 0.25
"""The same where the connection to the scheduler has broken: it can be made again at once or never."""

CONFESSION = 1.0
"""Seconds in which to tell the nanny what was lost."""

NO_RECIPIENT_WAIT = 3.0
"""Seconds to wait for a worker that can take the data."""

WAIT_LIMIT = 60.0
"""Longest long poll in seconds."""

AWAIT_LIMIT = 900.0
"""Longest wait for a scheduler in seconds: it may have an image to pull."""

AWAIT_PAUSE = 0.1
"""Seconds between two looks whether the scheduler listens."""

AWAIT_CONNECT = 3.0
"""Seconds in which a host that is there answers."""

PATIENCE = 15.0
"""Seconds without an arrival until results of a retiring worker are asked for anew; doubled each time."""

PAUSE = 0.05
"""Seconds between two answers to those who wait: a hundred arrivals at once are told in a few."""

TICK = 0.2
"""Seconds between two looks at the demand while somebody waits."""

SCAN_LIMIT = 10_000
"""Tasks looked at to estimate the demand."""

DEPARTURES_KEPT = 1000
"""Departures remembered."""

HANDSHAKE = 30.0
"""Seconds in which a visitor of the dashboard must complete the TLS handshake."""

ROLE_SUFFIX = ".crewcall.internal"
"""End of the DNS name in a certificate that says its holder's role: ``<role>.<uid>.crewcall.internal``."""

VISITORS = ("client", "controller")
"""Roles that may look at the dashboard."""

TUNNEL_PIECE = 64 << 10
"""Most bytes in one message of a tunnel."""

TUNNEL_CONNECT = 10.0
"""Seconds in which the dashboard must accept a tunnel's connection."""

TUNNEL_FAREWELL = 5.0
"""Seconds in which whoever made a tunnel must leave it once the dashboard has ended its side."""

CONTROLLER_CLIENT = "crewcall-controller"
"""Prefix of client ids that are no user's."""

logger = logging.getLogger("distributed.crewcall")


async def dask_setup(server: Any) -> None:
    """Install what fits `server`, a Scheduler, Worker or Nanny. Called by Dask."""
    if _is_a(server, "Scheduler"):
        lifetime = os.environ.get("CREWCALL_LIFETIME")
        set_up_scheduler(
            server,
            nannies=os.environ.get("CREWCALL_NANNIES") == "own",
            lifetime=float(lifetime) if lifetime else None,
        )
        mark_idle_end(server)
        if os.environ.get("CREWCALL_DASHBOARD_TLS"):
            try:
                serve_dashboard(server, os.environ["CREWCALL_DASHBOARD_TLS"])
            except Exception:
                # The computation is worth more than its dashboard.
                logger.exception("the dashboard is not served")
    elif _is_a(server, "Nanny") or (_is_a(server, "Worker") and server.nanny is None):
        # A worker under a nanny is stopped by it, and must not outstay that.
        drain_on_sigterm(server)


def set_up_scheduler(scheduler: Any, *, nannies: bool, lifetime: float | None = None) -> None:
    """Install what a scheduler has.

    Args:
        scheduler: Started or not.
        nannies: Whether there are or will be workers with a Nanny of their own.
        lifetime: Seconds from now until it ends, unless it is told otherwise; None: it does not.
    """
    install_status(scheduler)
    install_belts(scheduler, lifetime)
    install_patience()
    if not nannies:
        refuse_plugins_of_nannies(scheduler)


def _is_a(server: Any, kind: str) -> bool:
    # By name, so that a scheduler need not import the worker's module.
    return any(ancestor.__name__ == kind for ancestor in type(server).__mro__)


def leave(code: int) -> None:
    """End the process as an interpreter would, but at once and without waiting for threads."""
    try:
        atexit._run_exitfuncs()
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    finally:
        os._exit(code)


# --- The end of a scheduler that nobody looks after ---------------------------------------------------------

NEVER = 1e9
"""Seconds; before 2023.3 a scheduler that looks at its idleness cannot stop doing so."""


def install_belts(scheduler: Any, lifetime: float | None) -> None:
    """Give `scheduler` the operation ``crewcall_belts``, once, and an end after `lifetime` seconds."""
    if "crewcall_belts" not in scheduler.handlers:
        belts = Belts(scheduler)
        belts.end_after(lifetime)
        scheduler.handlers["crewcall_belts"] = belts.set


class Belts:
    """When one scheduler ends by itself: what a controller said last, for the time when none lives."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.end: asyncio.TimerHandle | None = None
        self._closing: asyncio.Future[Any] | None = None

    async def set(self, idle: float | None = None, lifetime: float | None = None, **_unknown: Any) -> None:
        """Answer ``crewcall_belts``.

        Args:
            idle: Seconds without work; None: for ever.
            lifetime: Seconds from now; None: for ever.
        """
        if idle or self.scheduler.idle_timeout:
            self.scheduler.idle_timeout = idle or NEVER
        self.end_after(lifetime)

    def end_after(self, lifetime: float | None) -> None:
        """End the scheduler in `lifetime` seconds and at no other time; None: not at all."""
        if self.end is not None:
            self.end.cancel()
        self.end = None
        if lifetime is not None:
            self.end = asyncio.get_running_loop().call_later(max(0.0, lifetime), self._close)

    def _close(self) -> None:
        logger.warning("the scheduler ends: its cluster's maxLifetime is over, and no controller came")
        self._closing = asyncio.ensure_future(self.scheduler.close())


def mark_idle_end(scheduler: Any) -> None:
    """Have the process exit when `scheduler` has closed, with `ENDED_IDLE` if that was its idle timeout.

    Dask's own command exits with 0 then, as it does when it is told to stop: nobody could tell whether to
    start the scheduler again. The interpreter's own end takes about a second on a busy machine, for nothing.
    """
    atexit.register(_exit_closed, scheduler)


def ended_idle(scheduler: Any) -> bool:
    """Return whether a scheduler that closed by itself was idle for its timeout."""
    limit, since = scheduler.idle_timeout, scheduler.idle_since
    return bool(limit and since and time.time() > since + limit)


def _exit_closed(scheduler: Any) -> None:
    # Set where an exception ends the program, whose exit code is not 0.
    if scheduler.status is not Status.closed or getattr(sys, "last_value", None) is not None:
        return
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(ENDED_IDLE if ended_idle(scheduler) else 0)


# --- Lossless stop ------------------------------------------------------------------------------------------


class Retirement(Enum):
    """What the scheduler said to a request to retire."""

    DONE = "done"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    GONE = "gone"


def drain_on_sigterm(server: Any, grace: float | None = None) -> None:
    """Make SIGTERM drain `server`, a Worker or a Nanny; to be called on its event loop.

    Args:
        server: A Worker or a Nanny, started or not.
        grace: Seconds from the signal to the end; None: ``CREWCALL_DRAIN_GRACE`` or 25.
    """
    if getattr(server, "_crewcall_drain", None) is not None:
        return
    if threading.current_thread() is not threading.main_thread():
        logger.warning("no drain on SIGTERM: Dask does not run in the main thread")
        return
    if grace is None:
        grace = _grace_of_environment()
    drain = (NannyDrain if _is_a(server, "Nanny") else WorkerDrain)(server, grace)
    server._crewcall_drain = drain
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drain.begin)


def _grace_of_environment() -> float:
    text = os.environ.get("CREWCALL_DRAIN_GRACE", "")
    try:
        return max(1.0, float(text)) if text else DEFAULT_GRACE
    except ValueError:
        logger.warning("CREWCALL_DRAIN_GRACE is no number: %r; taking %s s", text, DEFAULT_GRACE)
        return DEFAULT_GRACE


class Drain:
    """One stop of one server, bounded by its grace."""

    def __init__(self, server: Any, grace: float) -> None:
        self.server = server
        self.grace = grace
        self._task: asyncio.Future[None] | None = None
        self._begun = 0.0

    def begin(self) -> None:
        """Start; a second signal changes nothing."""
        if self._task is None:
            self._begun = time.monotonic()
            # The last resort when the event loop is blocked.
            last_resort = threading.Timer(self.grace, os._exit, (DRAIN_NOT_CLEAN,))
            last_resort.daemon = True
            last_resort.start()
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        clean = await self._drained()
        if not clean:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self.confess(), CONFESSION)
        closing = asyncio.ensure_future(self.close())
        try:
            # Dask may wait here for threads that never end, or for a scheduler that never was.
            await asyncio.wait([closing], timeout=min(CLOSE_RESERVE, self.grace / 2))
            if not closing.done():
                logger.warning("the connections were not closed in time; leaving all the same")
            elif closing.exception() is not None:
                logger.warning("the connections could not be closed: %s", closing.exception())
        finally:
            # Whoever waits for the server's end would cancel this and exit with 0 whatever was lost.
            leave(0 if clean else DRAIN_NOT_CLEAN)

    async def _drained(self) -> bool:
        """Drain and return whether nothing is lost."""
        address = self.address()
        if address is None:
            # Nothing ran here yet, or nothing does any more.
            return True
        logger.info("draining %s within %.0f s", address, self.grace)
        try:
            clean = await self._hand_over(address) or self.holds_nothing()
        except Exception:
            logger.exception("the drain failed")
            return False
        outcome = "nothing lost" if clean else "not everything could be handed over"
        logger.info("drained %s in %.2f s: %s", address, time.monotonic() - self._begun, outcome)
        return clean

    def _left(self) -> float:
        """Seconds until closing must begin."""
        reserve = min(CLOSE_RESERVE, self.grace / 2)
        return self.grace - reserve - (time.monotonic() - self._begun)

    async def _hand_over(self, address: str) -> bool:
        """Move the data away, let tasks finish, leave the scheduler. True: nothing is lost."""
        recipient_bound = self._left() - min(self._left() / 2, NO_RECIPIENT_WAIT)
        farewell = FAREWELL
        while self._left() > 0:
            # The worker stays registered and takes no new tasks; those that run go on.
            answer = await self._retire(address, self._left(), remove=False)
            if answer is Retirement.GONE:
                farewell = FAREWELL_TO_THE_GONE
            if answer in (Retirement.GONE, Retirement.UNANSWERED):
                break
            if answer is Retirement.REFUSED:
                if self._left() <= recipient_bound:
                    logger.warning("nobody can take what %s holds", address)
                    break
                await asyncio.sleep(0.25)
            elif await self.busy():
                # Tasks that end may leave new results here: then once more from the start.
                await self.finish_tasks()
            else:
                answer = await self._retire(address, max(self._left(), 1.0), remove=True)
                return answer is Retirement.DONE
        # An expected departure all the same, so that tasks cut off are not blamed for it.
        await self._retire(address, farewell, remove=True)
        return False

    async def _retire(self, address: str, timeout: float, *, remove: bool) -> Retirement:
        call = asyncio.ensure_future(
            self.server.scheduler.retire_workers(
                workers=[address],
                close_workers=False,
                remove=remove,
                stimulus_id=f"crewcall-drain-{time.time()}",
            )
        )
        cut_off = asyncio.ensure_future(self.cut_off())
        try:
            await asyncio.wait([call, cut_off], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if cut_off.done() and not call.done():
                # The answer to the last request and the end of the connection come together.
                await asyncio.wait([call], timeout=FAREWELL_TO_THE_GONE)
            if not call.done() and not cut_off.done():
                logger.warning("the data did not leave %s within %.1f s", address, timeout)
                return Retirement.UNANSWERED
            if not call.done() or call.cancelled():
                logger.warning("the scheduler that was to retire %s has gone", address)
                return Retirement.GONE
            retired = call.result()
        except OSError as error:
            logger.warning("the scheduler that was to retire %s has gone: %s", address, error)
            return Retirement.GONE
        except Exception as error:
            logger.warning("the scheduler did not retire %s: %s", address, error)
            return Retirement.UNANSWERED
        finally:
            call.cancel()
            cut_off.cancel()
        return Retirement.DONE if address in retired else Retirement.REFUSED

    async def cut_off(self) -> None:
        """Return when the connection to the scheduler has broken, where that is seen."""
        await asyncio.Event().wait()

    def address(self) -> str | None:
        """Return the address of the worker to drain; None if there is none."""
        raise NotImplementedError

    def holds_nothing(self) -> bool:
        """Return whether it is known that nothing can be lost."""
        raise NotImplementedError

    async def confess(self) -> None:
        """Tell whoever can be told what is still here."""

    async def busy(self) -> bool:
        """Return whether tasks run."""
        raise NotImplementedError

    async def finish_tasks(self) -> None:
        """Wait until no task runs and the scheduler knows their results, or the time is up."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the server."""
        raise NotImplementedError


class WorkerDrain(Drain):
    """The drain of a worker in its own process."""

    def address(self) -> str | None:
        """Return the worker's address while it is in service."""
        in_service = (Status.running, Status.paused, Status.closing_gracefully)
        return self.server.address if self.server.status in in_service else None

    async def cut_off(self) -> None:
        """Return when Dask closes the worker, as it does when its scheduler has gone."""
        while self.address() is not None:
            await asyncio.sleep(0.02)

    def holds_nothing(self) -> bool:
        """Return whether there is no result, no actor and no running task."""
        state = self.server.state
        return not self.server.data and not state.actors and not state.all_running_tasks

    async def confess(self) -> None:
        """Log what is still here, and tell the nanny: a host that poses as one has it shown as an event."""
        text = f"told to stop, it could not hand everything over: {self.left_over()}"
        logger.warning("%s", text)
        if self.server.nanny:
            await self.server.rpc(self.server.nanny).crewcall_drained(lost=text)

    def left_over(self) -> str:
        """Return what is still here, whether others have it too or not."""
        state = self.server.state
        counts = (
            (len(self.server.data), "result"),
            (len(state.actors), "actor"),
            (len(state.all_running_tasks), "running task"),
        )
        held = [f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts if count]
        return "it still had " + ", ".join(held) if held else "its scheduler did not answer"

    async def busy(self) -> bool:
        """Return whether a thread is occupied, by seceded tasks too."""
        return bool(self.server.state.all_running_tasks)

    async def finish_tasks(self) -> None:
        """Wait for the running tasks, then for the scheduler to have heard of each."""
        keys = set()
        while self._left() > 0:
            running = {task.key for task in self.server.state.all_running_tasks}
            if not running:
                break
            keys |= running
            await asyncio.sleep(0.02)
        # Results travel on another connection than the request to retire, which must not overtake them.
        bound = min(1.0, self._left())
        with contextlib.suppress(asyncio.TimeoutError, OSError):
            await asyncio.wait_for(self._results_known(keys), max(bound, 0.05))

    async def _results_known(self, keys: Iterable[Any]) -> None:
        while True:
            held = [key for key in keys if key in self.server.data]
            known = await self.server.scheduler.who_has(keys=held) if held else {}
            if all(self.server.address in known.get(key, ()) for key in held):
                return
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Close the worker without waiting for threads that go on."""
        await self.server.close(timeout=2, executor_wait=False, reason="crewcall-drain")


class NannyDrain(Drain):
    """The drain of a worker in a process of its nanny's."""

    def address(self) -> str | None:
        """Return the address of the nanny's worker."""
        in_service = self.server.status in (Status.running, Status.closing_gracefully)
        return self.server.worker_address if in_service else None

    def holds_nothing(self) -> bool:
        """Return False: the nanny does not know."""
        return False

    async def busy(self) -> bool:
        """Return whether the worker has a call stack."""
        try:
            stacks = await asyncio.wait_for(
                self.server.rpc(self.server.worker_address).call_stack(keys=None), 2
            )
        except Exception:
            return False
        return bool(stacks)

    async def finish_tasks(self) -> None:
        """Wait for the running tasks."""
        while self._left() > 0 and await self.busy():
            await asyncio.sleep(0.1)
        # The worker tells the scheduler within milliseconds; the nanny cannot see it.
        await asyncio.sleep(min(0.2, max(0.0, self._left())))

    async def close(self) -> None:
        """Close the nanny and with it the worker."""
        await self.server.close(timeout=max(1.0, CLOSE_RESERVE - 1.0), reason="crewcall-drain")


# --- Status -------------------------------------------------------------------------------------------------


_STATES = {Status.init: "starting", Status.running: "running", Status.paused: "paused"}


def install_status(scheduler: Any) -> None:
    """Give `scheduler` the operation ``crewcall_status``, once."""
    if "crewcall_status" not in scheduler.handlers:
        reporter = StatusReporter(scheduler)
        scheduler.add_plugin(reporter, name=reporter.name)
        scheduler.handlers["crewcall_status"] = reporter.status


class StatusReporter(SchedulerPlugin):
    """Watches one scheduler and answers ``crewcall_status``. Changes nothing in it."""

    name = "crewcall-status"

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        # Starting anywhere but at 0 keeps a number of an earlier scheduler from meaning anything to this one.
        self._sequence = int(time.time() * 1000)
        self._changed = asyncio.Event()
        self._departures: deque[dict[str, Any]] = deque(maxlen=DEPARTURES_KEPT)
        self._demand: list[dict[str, Any]] = []
        self._reported_demand: list[dict[str, Any]] = []
        self._observed_at = -1.0
        self._answered_at = -1.0
        self._fingerprint: Any = None
        self._idle_since: float | None = time.time()
        self._transitions = getattr(scheduler, "transition_counter", 0)
        self._broken: dict[str, str] = {}
        self._names: dict[str, str] = {}

    async def status(
        self, since: Any = None, wait: Any = 0, ranking: Any = False, **_unknown: Any
    ) -> dict[str, Any]:
        """Answer ``crewcall_status``; see the module's text."""
        self._observe()
        if isinstance(since, int) and not isinstance(since, bool):
            seconds = float(wait) if isinstance(wait, (int, float)) else 0.0
            bound = time.monotonic() + max(0.0, min(seconds, WAIT_LIMIT))
            while self._sequence == since and self._open() and time.monotonic() < bound:
                changed = self._changed
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), min(TICK, max(0.0, bound - time.monotonic())))
                self._observe()
            pause = min(self._answered_at + PAUSE, bound) - time.monotonic()
            if pause > 0 and self._open():
                await asyncio.sleep(pause)
                self._observe()
            self._answered_at = time.monotonic()
        else:
            since = None
        return self._reply(since, bool(ranking))

    # The scheduler calls these.

    def add_worker(self, scheduler: Any = None, worker: Any = None, **_later: Any) -> None:
        """Note an arrival."""
        if scheduler is not None and worker in scheduler.workers:
            # Newer versions tell of a departure when the name is no longer in the books.
            self._names[worker] = str(scheduler.workers[worker].name)
        self._change()

    def remove_worker(self, scheduler: Any = None, worker: Any = None, **_later: Any) -> None:
        """Note that a departure is complete."""
        self._names.pop(worker, None)
        self._change()

    def add_client(self, scheduler: Any = None, client: Any = None, **_later: Any) -> None:
        """Note a client."""
        self._change()

    def remove_client(self, scheduler: Any = None, client: Any = None, **_later: Any) -> None:
        """Note that a client has gone."""
        self._change()

    async def before_close(self) -> None:
        """Let go of those who wait, so that they do not hold up the scheduler's end."""
        self._change()

    def log_event(self, topic: Any, msg: Any) -> None:
        """Note departures and changes of a worker's state, which no other hook tells."""
        action = msg.get("action") if isinstance(msg, dict) else None
        if action == "worker-status-change":
            self._change()
        elif action == "remove-worker" and topic == "all":
            try:
                self._depart(msg)
            except Exception as error:
                self._note("departures", error)

    def _depart(self, event: dict[str, Any]) -> None:
        address = event["worker"]
        worker = self.scheduler.workers.get(address)
        if "lost-computed-tasks" in event:
            computed, scattered = len(event["lost-computed-tasks"]), len(event["lost-scattered-tasks"])
        else:
            # Before 2024.8 the event comes first, so that the worker's books are still complete.
            alone = [task for task in worker.has_what if len(task.who_has) == 1]
            computed = sum(task.run_spec is not None for task in alone)
            scattered = len(alone) - computed
        expected = event.get("expected")
        if expected is None and worker is not None:
            expected = worker.status is Status.closing_gracefully
        self._change()
        self._departures.append(
            {
                "sequence": self._sequence,
                "worker": self._name_of(address, worker),
                "at": time.time(),
                "expected": expected,
                "lost_computed": computed,
                "lost_scattered": scattered,
            }
        )

    def _name_of(self, address: str, worker: Any) -> str:
        return str(worker.name) if worker is not None else self._names.get(address, address)

    def _open(self) -> bool:
        return self.scheduler.status not in (Status.closing, Status.closed)

    def _change(self) -> None:
        self._sequence += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _note(self, part: str, error: Exception) -> None:
        """Remember what could not be said, instead of raising it into the scheduler."""
        if part not in self._broken:
            logger.exception("crewcall_status cannot tell: %s", part)
        self._broken[part] = f"{part}: {type(error).__name__}: {error}"

    def _part(self, part: str, produce: Callable[[], Any], default: Any) -> Any:
        try:
            value = produce()
        except Exception as error:
            self._note(part, error)
            return default
        self._broken.pop(part, None)
        return value

    # What is looked at when somebody asks.

    def _observe(self) -> None:
        """Look at idleness and demand, at most once a tick, and only if tasks have moved since."""
        now = time.monotonic()
        if now - self._observed_at < TICK / 2:
            return
        self._observed_at = now
        idle_since = self._part("idle_since", self._find_idle, None)
        if (idle_since is None) != (self._idle_since is None):
            self._change()
        self._idle_since = idle_since
        scheduler = self.scheduler
        fingerprint = (
            getattr(scheduler, "transition_counter", None),
            len(scheduler.workers),
            len(scheduler.unrunnable),
        )
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._demand = self._part("demand", lambda: find_demand(scheduler), [])
            if demand_differs(self._reported_demand, self._demand):
                self._reported_demand = self._demand
                self._change()

    def _find_idle(self) -> float | None:
        scheduler = self.scheduler
        moved = scheduler.transition_counter != self._transitions
        self._transitions = scheduler.transition_counter
        if _has_work(scheduler):
            return None
        if "idle-timeout" in scheduler.periodic_callbacks:
            return scheduler.idle_since
        # Before 2023.3 the scheduler looks at its idleness only if it has an idle timeout.
        return time.time() if moved or self._idle_since is None else self._idle_since

    def _reply(self, since: int | None, ranking: bool) -> dict[str, Any]:
        departures = [
            departure
            for departure in self._departures
            if since is None or since > self._sequence or departure["sequence"] > since
        ]
        reply = {
            "protocol": PROTOCOL,
            "sequence": self._sequence,
            "idle_since": self._idle_since,
            "clients": self._part("clients", lambda: count_clients(self.scheduler), 0),
            "workers": self._part("workers", lambda: describe_workers(self.scheduler), {}),
            "demand": self._demand,
            "ranking": self._part("ranking", lambda: rank_workers(self.scheduler), None) if ranking else None,
            "departures": departures,
        }
        return {**reply, "unavailable": sorted(self._broken.values())}


def _has_work(scheduler: Any) -> bool:
    return bool(
        getattr(scheduler, "queued", None)
        or scheduler.unrunnable
        or any(worker.processing for worker in scheduler.workers.values())
    )


def count_clients(scheduler: Any) -> int:
    """Return how many clients of users are connected."""
    others = ("fire-and-forget", "Client-worker-", CONTROLLER_CLIENT)
    return sum(not str(client).startswith(others) for client in scheduler.clients)


def describe_workers(scheduler: Any) -> dict[str, dict[str, Any]]:
    """Return the reply's ``workers``."""
    return {
        str(worker.name): {
            "address": worker.address,
            "state": _STATES.get(worker.status, "retiring"),
            "held_bytes": int(worker.nbytes),
            "held_results": len(worker.has_what),
            "processing": len(worker.processing),
            "actors": len(worker.actors),
            "memory_limit": int(worker.memory_limit or 0) or None,
        }
        for worker in scheduler.workers.values()
    }


def rank_workers(scheduler: Any) -> list[str]:
    """Return the names of all workers, those to close first at the beginning."""
    workers = scheduler.workers.values()
    retiring = [
        str(worker.name) for worker in workers if _STATES.get(worker.status, "retiring") == "retiring"
    ]
    ranked = [str(name) for name in scheduler.workers_to_close(n=len(workers), attribute="name")]
    # Newer versions leave out workers with tasks that launch tasks; those should go last.
    rest = [str(worker.name) for worker in workers]
    return list(dict.fromkeys([*retiring, *ranked, *rest]))


def find_demand(scheduler: Any) -> list[dict[str, Any]]:
    """Return the reply's ``demand``, looking at `SCAN_LIMIT` tasks of each kind at most."""
    groups: dict[tuple[tuple[str, float], ...], dict[str, Any]] = {}

    def count(tasks: Any, limit: int, kind: str) -> None:
        total = len(tasks)
        seen = list(itertools.islice(tasks, limit))
        weight = total / len(seen) if seen else 0.0
        for task in seen:
            if kind == "unrunnable" and task.worker_restrictions and not task.loose_restrictions:
                continue
            resources = task.resource_restrictions or {}
            key = tuple(sorted((str(name), float(amount)) for name, amount in resources.items()))
            group = groups.setdefault(key, {"runnable": 0.0, "unrunnable": 0.0, "occupancy": 0.0})
            group[kind] += weight
            group["occupancy"] += weight * expected_duration(scheduler, task)

    count(scheduler.unrunnable, SCAN_LIMIT, "unrunnable")
    count(getattr(scheduler, "queued", ()), SCAN_LIMIT, "runnable")
    busy = [worker for worker in scheduler.workers.values() if worker.processing]
    for worker in busy:
        count(worker.processing, max(1, SCAN_LIMIT // len(busy)), "runnable")
    demand = [
        {
            "resources": dict(key),
            "runnable": round(group["runnable"]),
            "unrunnable": round(group["unrunnable"]),
            "occupancy": group["occupancy"],
        }
        for key, group in groups.items()
    ]
    return sorted(demand, key=lambda group: (-group["occupancy"], sorted(group["resources"].items())))


def expected_duration(scheduler: Any, task: Any) -> float:
    """Return how long `task` should take in seconds, as the scheduler itself guesses."""
    duration = task.prefix.duration_average
    if duration >= 0:
        return duration
    longest = getattr(task.prefix, "max_exec_time", -1)
    return 2 * longest if longest > 0 else scheduler.UNKNOWN_TASK_DURATION


def demand_differs(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """Return whether the resources asked for differ, or an amount by a fifth or more."""
    before = {tuple(sorted(group["resources"].items())): group for group in old}
    after = {tuple(sorted(group["resources"].items())): group for group in new}
    if before.keys() != after.keys():
        return True
    return any(
        abs(before[key][amount] - after[key][amount])
        >= max(least, 0.2 * max(before[key][amount], after[key][amount]))
        for key in before
        for amount, least in (("runnable", 1), ("unrunnable", 1), ("occupancy", 1.0))
    )


# --- Plugins of nannies -------------------------------------------------------------------------------------


def refuse_plugins_of_nannies(scheduler: Any) -> None:
    """Have `scheduler` refuse a NannyPlugin that it would keep for nannies that never come.

    Where there are workers, whoever poses as their nanny refuses.
    """
    stock = scheduler.handlers.get("register_nanny_plugin")
    if stock is None:
        logger.warning("this version of Dask registers plugins of nannies in an unknown way")
        return

    async def register_nanny_plugin(comm: Any, **fields: Any) -> Any:
        name = fields.get("name")
        known = name in scheduler.nanny_plugins
        answers = await stock(comm, **fields)
        if answers or known:
            return answers
        scheduler.nanny_plugins.pop(name, None)
        raise RuntimeError(
            "no worker of this cluster has a Nanny process that could run a NannyPlugin; give a group"
            " `nanny: true` in the cluster's document, and register the plugin once its workers are there,"
            " or use a WorkerPlugin"
        )

    scheduler.handlers["register_nanny_plugin"] = register_nanny_plugin


# --- Retirement ---------------------------------------------------------------------------------------------


def install_patience() -> None:
    """Have the scheduler of this process retire workers patiently, once."""
    module = sys.modules.get("distributed.scheduler")
    stock = getattr(module, "RetireWorker", None)
    if stock is None:
        logger.warning("this version of Dask retires workers in an unknown way; it is left as it is")
    elif not getattr(stock, "crewcall_patient", False):
        module.RetireWorker = patient(stock)


def patient(stock: Any) -> Any:
    """Return `stock`, Dask's ``RetireWorker``, changed to ask for each result of a worker once.

    Dask's own looks every two seconds for results that have not arrived, and asks the worker that is the
    emptiest by then for each. Where moving takes longer, which encryption or a busy machine is enough for,
    results travel to several workers at once, each of which slows the others down, and workers close in the
    middle of transfers that nobody needs: up to twice the bytes were seen.
    """

    class PatientRetireWorker(stock):  # type: ignore[misc]
        crewcall_patient = True

        def __init__(self, address: str) -> None:
            super().__init__(address)
            # Who was asked to fetch a result, by the result's key.
            self._asked: dict[Any, Any] = {}
            self._left = -1
            self._progress_at = time.monotonic()
            self._patience = PATIENCE

        def run(self) -> Any:
            """Pass Dask's suggestions on, but none for a result that is on its way."""
            scheduler = self.manager.scheduler
            self._look_for_progress(scheduler.workers.get(self.address))
            suggestions = super().run()
            answer = None
            while True:
                try:
                    suggestion = suggestions.send(answer)
                except StopIteration:
                    return
                operation, task = suggestion[0], suggestion[1]
                if operation != "replicate":
                    # It has arrived, and would have to be asked for anew if it got lost again.
                    self._asked.pop(task.key, None)
                    answer = yield suggestion
                    continue
                answer = self._asked.get(task.key)
                if answer is None or answer not in scheduler.running:
                    answer = yield suggestion
                    self._asked[task.key] = answer

        def _look_for_progress(self, worker: Any) -> None:
            """Forget who was asked when nothing has arrived for a while, each time a longer one."""
            held = worker.has_what if worker is not None else ()
            left = sum(len(task.who_has or ()) < 2 for task in held)
            now = time.monotonic()
            if left != self._left:
                self._left, self._progress_at = left, now
            elif now - self._progress_at > self._patience:
                self._asked.clear()
                self._progress_at = now
                self._patience *= 2

    return PatientRetireWorker


# --- Dashboard ----------------------------------------------------------------------------------------------


def serve_dashboard(scheduler: Any, place: str) -> DashboardServer:
    """Serve the dashboard of `scheduler` at `place` over TLS, to those who show a certificate.

    Args:
        scheduler: A started Scheduler whose security has certificate, key and authority.
        place: ``HOST:PORT``; no host: all addresses; port 0: any free one.

    Raises:
        ValueError: `place` is not of this form, or the scheduler has no certificate.
        OSError: The port cannot be listened on.
    """
    host, _, port = place.rpartition(":")
    if not port.isdecimal():
        raise ValueError(f"CREWCALL_DASHBOARD_TLS is {place!r}, which is not HOST:PORT")
    close_unless_local(scheduler.http_server)
    context = scheduler.security.get_listen_args("scheduler").get("ssl_context")
    if context is None:
        raise ValueError("CREWCALL_DASHBOARD_TLS is set, but this scheduler has no certificate")
    allow_local_pages(scheduler.http_application)
    server = DashboardServer(scheduler.http_application, ssl_options=context)
    server.listen(int(port), host.strip("[]"))
    server.port = get_tcp_server_addresses(server)[0][1]
    # Dask stops its services with the scheduler.
    scheduler.services["crewcall-dashboard"] = server
    scheduler.handlers["crewcall_tunnel"] = Tunnels(server).carry
    logger.info("dashboard over TLS at port %d", server.port)
    return server


def close_unless_local(server: Any) -> None:
    """Stop `server`, an HTTP server, if others than processes of this machine, or pod, could reach it."""
    addresses = [address[0] for address in get_tcp_server_addresses(server)]
    if not all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses):
        logger.warning("the dashboard without TLS is closed: it listened beyond loopback")
        server.stop()


def allow_local_pages(application: Any) -> None:
    """Let pages that a browser has from a local port speak to the web sockets of bokeh."""
    for part in application.applications:
        origins = getattr(part, "websocket_origins", None)
        if isinstance(origins, set):
            origins.update(("127.0.0.1:*", "localhost:*"))


def role_in(certificate: Any) -> str | None:
    """Return the role that `certificate`, as `ssl.SSLSocket.getpeercert` gives it, names; None: none."""
    for kind, name in (certificate or {}).get("subjectAltName", ()):
        if kind == "DNS" and name.endswith(ROLE_SUFFIX):
            return name.partition(".")[0]
    return None


class DashboardServer(HTTPServer):
    """Serves those whose certificate says that they may look, or says nothing of roles."""

    port = 0

    async def handle_stream(self, stream: Any, address: Any) -> None:
        """Look at the certificate before the first request. Called for each connection."""
        try:
            await asyncio.wait_for(stream.wait_for_handshake(), HANDSHAKE)
            certificate = stream.socket.getpeercert()
        except Exception:
            # Nobody with a certificate, a probe of the port, or somebody who went away.
            stream.close()
            return
        role = role_in(certificate)
        if role is not None and role not in VISITORS:
            logger.warning("refused the dashboard to the certificate of a %s at %s", role, address[0])
            await self._refuse(stream, f"a {role}'s certificate does not open the dashboard\n")
            return
        super().handle_stream(stream, address)

    async def _refuse(self, stream: Any, text: str) -> None:
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(Exception):
            await asyncio.wait_for(stream.write((head + text).encode()), HANDSHAKE)
        stream.close()


class Tunnels:
    """Ways through the scheduler's own port to its dashboard, which asks for the certificate itself."""

    def __init__(self, server: DashboardServer) -> None:
        host = get_tcp_server_addresses(server)[0][0]
        everywhere = ipaddress.ip_address(host.partition("%")[0]).is_unspecified
        loopback = "::1" if ":" in host else "127.0.0.1"
        self.place = (loopback if everywhere else host, server.port)

    async def carry(self, comm: Any, **_unknown: Any) -> Status:
        """Answer ``crewcall_tunnel``: carry bytes between `comm` and the dashboard until either has gone.

        Raises:
            OSError: The dashboard does not take the connection.
        """
        connecting = asyncio.open_connection(*self.place, limit=TUNNEL_PIECE)
        try:
            reader, writer = await asyncio.wait_for(connecting, TUNNEL_CONNECT)
        except asyncio.TimeoutError:
            raise OSError(f"the dashboard took no connection within {TUNNEL_CONNECT:.0f} s") from None
        pumps: list[asyncio.Future[None]] = []
        try:
            await comm.write("OK")
            pumps = [
                asyncio.ensure_future(_to_dashboard(comm, writer)),
                asyncio.ensure_future(_from_dashboard(reader, comm)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if not pumps[0].done() and pumps[1].exception() is None:
                # What was told last is on its way; aborting now could overtake it.
                await asyncio.wait(pumps[:1], timeout=TUNNEL_FAREWELL)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.transport.abort()
            # Dask would go on to read requests from a connection that is open.
            comm.abort()
            for outcome in await asyncio.gather(*pumps, return_exceptions=True):
                if isinstance(outcome, Exception):
                    logger.debug("a tunnel to the dashboard ended: %s", outcome)
        return Status.dont_reply


async def _to_dashboard(comm: Any, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes from `comm` until that is closed, which is told by an exception."""
    while True:
        piece = await comm.read()
        if not isinstance(piece, bytes) or len(piece) > TUNNEL_PIECE:
            raise ValueError("what came through a tunnel was no piece of bytes")
        if piece:
            writer.write(piece)
            await writer.drain()
        elif writer.can_write_eof():
            # Read on: only so does it show when the other side goes.
            writer.write_eof()


async def _from_dashboard(reader: asyncio.StreamReader, comm: Any) -> None:
    """Pass on what comes from the dashboard, its end included."""
    while True:
        try:
            piece = await reader.read(TUNNEL_PIECE)
        except ConnectionError:
            # What is carried is TLS, which tells a cut from an end by itself.
            piece = b""
        await comm.write(piece)
        # Dask itself writes without waiting for the other side to read.
        await comm.stream.write(b"")
        if not piece:
            return


# --- A worker that is started before its scheduler ----------------------------------------------------------


def await_scheduler(address: str, limit: float = AWAIT_LIMIT) -> None:
    """Return once something listens at `address`; end the process after `limit` seconds, or at SIGTERM.

    Args:
        address: Such as ``tls://10.0.0.5:8786``.
        limit: Seconds.
    """
    logger.info("waiting for the scheduler at %s", address)
    host, _, port = address.rpartition("://")[2].rpartition(":")
    end = time.monotonic() + limit
    # The first process of a container would not heed the signal.
    before = signal.signal(signal.SIGTERM, lambda *_: leave(0))
    try:
        while True:
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=AWAIT_CONNECT).close()
                return
            except OSError as error:
                if time.monotonic() >= end:
                    logger.error("nothing listens at %s after %g s: %s", address, limit, error)
                    leave(1)
            time.sleep(AWAIT_PAUSE)
    finally:
        signal.signal(signal.SIGTERM, before)


if os.environ.get("CREWCALL_AWAIT"):
    await_scheduler(os.environ["CREWCALL_AWAIT"])
