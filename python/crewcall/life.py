"""The life of a cluster object: starting, following the controller, ending."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, TypeVar

import dask.config
from distributed.core import Status, rpc
from distributed.deploy.cluster import Cluster as DaskCluster
from distributed.objects import SchedulerInfo
from distributed.security import Security
from distributed.utils import NoOpAwaitable

from crewcall import document as documents
from crewcall import launch
from crewcall.controller import Controller
from crewcall.errors import ClusterNotFoundError, RefusedError, WaitTimeoutError
from crewcall.following import Follower
from crewcall.progress import Progress, choose_progress
from crewcall.views import Event, View

logger = logging.getLogger("crewcall")

Result = TypeVar("Result")
Object = TypeVar("Object", bound="ClusterObject")

# Seconds within which a cluster that exists already has to show its scheduler.
ATTACH_BOUND = 60.0

# Seconds that `close` waits for the end of a cluster unless told otherwise.
CLOSE_BOUND = 60.0

# Seconds between looks at something that is waited for.
LOOK = 0.1


class ClusterObject(DaskCluster):  # type: ignore[misc, unused-ignore]
    """An object for a cluster that a controller looks after.

    Its state follows the controller's story of the cluster, not the scheduler's stream of workers, which
    has room for one listener only.
    """

    def _setup(
        self,
        begin: Callable[[Progress], Awaitable[None]],
        name: str,
        *,
        shutdown_on_close: bool | None,
        asynchronous: bool,
        loop: Any,
        quiet: bool | None,
        controller: Controller | None,
    ) -> None:
        self._begin: Callable[[Progress], Awaitable[None]] | None = begin
        if shutdown_on_close is None:
            shutdown_on_close = dask.config.get("crewcall.shutdown-on-close", None)
        self._shutdown_on_close = shutdown_on_close
        self._controller = controller if controller is not None else Controller()
        self._view: View | None = None
        self._follower: Follower | None = None
        self._ownership: launch.Ownership | None = None
        self._launch: launch.Launch | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._resizing: asyncio.Lock | None = None
        self._starting: asyncio.Future[None] | None = None
        self._process = os.getpid()
        self.security: Security | None = None
        self.scheduler_comm: Any
        self._progress: Progress = choose_progress(quiet)
        super().__init__(asynchronous=asynchronous, loop=loop, quiet=True, name=name)
        self._asynchronous = asynchronous
        if not asynchronous:
            self._loop_runner.start()
            try:
                with self._progress:
                    self.sync(self._start)
            except BaseException:
                self._abandon()
                self._loop_runner.stop()
                raise

    def __await__(self: Object) -> Generator[Any, None, Object]:
        async def started() -> Object:
            if self.status == Status.created:
                if self._starting is None:
                    self._starting = asyncio.ensure_future(self._start())
                with self._progress:
                    await self._starting
            return self

        return started().__await__()

    # Starting

    async def _start(self) -> None:
        try:
            assert self._begin is not None
            await self._begin(self._progress)
        except BaseException:
            self._abandon()
            raise
        finally:
            # It refers to this object, which is to end when nobody else does.
            self._begin = None
        self.status = Status.running
        assert self._view is not None
        self._follower = Follower(self._controller, self._view.name, self._view.uid, self._hear)

    async def _create(
        self, source: documents.Source, progress: Progress, *, replace: bool, context: str | None
    ) -> None:
        options = ["--replace"] if replace else []
        if context is not None:
            options += ["--context", context]
        starting = launch.Launch(source, owned=self._shutdown_on_close is not False, options=options)
        self._launch = starting
        launched = await on_daemon(partial(starting.run, progress.tell))
        view = launched.view
        self._controller.settle(view)
        known = launch.owned(view.uid)
        if launched.is_new and self._shutdown_on_close is not False:
            self._ownership = launch.own(view.name, view.uid, self._controller, starting)
        elif known is not None and self._shutdown_on_close is not False:
            self._ownership = known
        elif self._shutdown_on_close:
            self._ownership = launch.own(view.name, view.uid, self._controller, None)
        self._launch = None
        await self._take(view)

    async def _attach(self, name: str, progress: Progress) -> None:
        view = await offload(self._controller.get, name)
        deadline = asyncio.get_running_loop().time() + ATTACH_BOUND
        while view.endpoint is None:
            if view.phase in ("Deleting", "Lost", "Elsewhere"):
                raise RefusedError(
                    f"cluster {name} cannot be used: its phase is {view.phase}",
                    hint=f"`crewcall describe {name}` says more",
                )
            if asyncio.get_running_loop().time() > deadline:
                raise WaitTimeoutError(
                    f"the scheduler of cluster {name} did not come within {ATTACH_BOUND:.0f} s; "
                    f"last seen: {view.summary()}",
                    hint=f"`crewcall describe {name}` shows how far it is",
                )
            progress.say(view.summary())
            await asyncio.sleep(LOOK)
            view = await offload(self._controller.get, name)
        await self._take(view)
        if self._shutdown_on_close:
            self._ownership = launch.own(view.name, view.uid, self._controller, None)

    def _abandon(self) -> None:
        """Undo what was begun, as far as this object is to end it."""
        self.status = Status.closed
        starting, self._launch = self._launch, None
        if starting is None:
            pass
        elif self._shutdown_on_close is not False:
            starting.interrupt()
            starting.wait(launch.INTERRUPT_BOUND)
        else:
            starting.let_go()
        if self._ownership is not None:
            self._ownership.end()

    # Following

    def _hear(self, news: View | Event | None) -> None:
        """Take news on the follower's thread."""
        if isinstance(news, Event):
            if news.severity == "Warning":
                logger.warning("cluster %s: %s", self.name, news.message)
            return
        reference = weakref.ref(self)

        def tell() -> None:
            cluster = reference()
            if cluster is None or cluster.status != Status.running:
                return
            if news is None:
                cluster._ended()
            else:
                cluster._refresh(news)

        with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile.
            self.loop.add_callback(tell)

    def _refresh(self, view: View) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.ensure_future(self._take(view))
        else:
            before = self._refreshing

            async def after() -> None:
                await asyncio.wait([before])
                await self._take(view)

            self._refreshing = asyncio.ensure_future(after())

    async def _take(self, view: View) -> None:
        """Make this object show what the controller says."""
        last = self._view
        # What was asked for meanwhile may have been answered before this was on its way.
        self._view = view = view if last is None else last.newer(view)
        self._cluster_info["name"] = view.name
        if view.endpoint is None:
            return
        if self.scheduler_comm is None or self.scheduler_comm.address != view.endpoint:
            self.security = security_of(view)
            arguments = self.security.get_connection_args("client") if self.security else {}
            self.scheduler_comm = rpc(view.endpoint, connection_args=arguments)
            await self.scheduler_comm.set_metadata(keys=["cluster-manager-info"], value=self._cluster_info)
        elif last is not None and last.serving == view.serving:
            return
        try:
            self.scheduler_info = SchedulerInfo(await self.scheduler_comm.identity())
        except (OSError, asyncio.TimeoutError) as error:
            logger.info("the scheduler of cluster %s does not answer: %s", view.name, error)

    def _ended(self) -> None:
        if self._ownership is None or not self._ownership.is_over:
            logger.warning("cluster %s has ended", self.name)
        if self._ownership is not None:
            self._ownership.give_up()
            self._ownership = None
        self._ending = asyncio.ensure_future(self._let_go())

    # Ending

    async def _close(self, *, bound: float = CLOSE_BOUND) -> None:
        if self.status in (Status.closed, Status.closing):
            return
        if self.status == Status.created:
            self.status = Status.closed
            return
        view, ownership, self._ownership = self._view, self._ownership, None
        await self._let_go(closing=ownership is not None)
        if ownership is not None and view is not None:
            await offload(ownership.end)
            await self._until_gone(view, bound)
        self.status = Status.closed

    async def _until_gone(self, view: View, bound: float) -> None:
        deadline = asyncio.get_running_loop().time() + bound
        while True:
            try:
                seen = await offload(self._controller.get, view.name)
            except ClusterNotFoundError:
                return
            if seen.uid != view.uid:
                return
            if asyncio.get_running_loop().time() > deadline:
                self.status = Status.closed
                raise WaitTimeoutError(
                    f"the end of cluster {view.name} did not come within {bound:.0f} s; "
                    f"last seen: {seen.summary()}",
                    hint=f"it goes on: `crewcall describe {view.name}` shows what is left",
                )
            await asyncio.sleep(LOOK / 2)

    def __exit__(self, *error: object) -> None:
        # Older versions of Dask's go through the loop, which does not run in a fork.
        self.close()

    async def _let_go(self, closing: bool = False) -> None:
        """Stop following and talking; the cluster itself is left as it is."""
        self.status = Status.closing
        if self._follower is not None:
            self._follower.stop()
        if self._refreshing is not None and not self._refreshing.done():
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        if self.scheduler_comm is not None:
            await self.scheduler_comm.close_rpc()
        for callback in self.periodic_callbacks.values():
            callback.stop()
        if not closing:
            self.status = Status.closed

    def close(self, timeout: float | None = None) -> Any:
        """End the cluster if it is this object's to end (``shutdown_on_close``), and let go of it.

        Args:
            timeout: Seconds to wait for its end; 60 unless given. What is left ends without being waited
                for.

        Raises:
            WaitTimeoutError: It did not end in time.
        """
        if self.status == Status.closed:
            return NoOpAwaitable() if self.asynchronous else None
        bound = CLOSE_BOUND if timeout is None else float(timeout)
        if os.getpid() != self._process:
            return None
        try:
            closed = self.sync(self._close, bound=bound)
        except RuntimeError:
            # The loop is closed: the interpreter ends. What is owned ends with it.
            return None
        if not self.asynchronous:
            self._loop_runner.stop()
        return closed

    @property
    def shutdown_on_close(self) -> bool:
        """Whether the cluster ends with this object and this process. May be set."""
        return self._ownership is not None

    @shutdown_on_close.setter
    def shutdown_on_close(self, wanted: bool) -> None:
        if wanted and self._ownership is None and self._view is not None:
            self._ownership = launch.own(self._view.name, self._view.uid, self._controller, None)
        elif not wanted and self._ownership is not None:
            self._ownership.give_up()
            self._ownership = None

    def __del__(self) -> None:
        super().__del__()
        if getattr(self, "status", Status.closed) != Status.running or os.getpid() != self._process:
            return
        if self._follower is not None:
            self._follower.stop()
        with contextlib.suppress(RuntimeError):
            self.loop.add_callback(self.scheduler_comm.close_rpc)


def security_of(view: View) -> Security | None:
    """What a client shows and checks; ``None`` for a cluster without TLS."""
    if view.client is None:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=view.client["ca"],
        tls_client_cert=view.client["cert"],
        tls_client_key=view.client["key"],
    )


async def offload(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run on a thread, so that the loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments))


async def on_daemon(work: Callable[[], Result]) -> Result:
    """Run on a thread that does not keep the interpreter from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not done.done():
            set_outcome(outcome)

    def run() -> None:
        try:
            told = partial(settle, done.set_result, work())
        except Exception as error:
            told = partial(settle, done.set_exception, error)
        with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile.
            loop.call_soon_threadsafe(told)

    threading.Thread(target=run, name="crewcall-create", daemon=True).start()
    return await done
