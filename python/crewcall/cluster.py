"""``Cluster``: a cluster that the controller looks after, as Dask's cluster classes look to their users."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dask.config
import dask.utils
from distributed.core import Status, rpc
from distributed.deploy.cluster import Cluster as DaskCluster
from distributed.objects import SchedulerInfo
from distributed.security import Security
from distributed.utils import Log, Logs, NoOpAwaitable

from crewcall import document as documents
from crewcall import launch
from crewcall.adaptation import Adaptation
from crewcall.controller import Controller
from crewcall.errors import (
    ClusterNotFoundError,
    RefusedError,
    WaitTimeoutError,
)
from crewcall.following import Follower
from crewcall.progress import Progress, choose_progress
from crewcall.views import Event, Group, View
from crewcall.widget import scaling_status

logger = logging.getLogger("crewcall")

Result = TypeVar("Result")

# Seconds within which a cluster that exists already has to show its scheduler.
ATTACH_BOUND = 60.0

# Seconds that `close` waits for the end of a cluster unless told otherwise.
CLOSE_BOUND = 60.0

# Seconds between looks at something that is waited for.
LOOK = 0.1


class Cluster(DaskCluster):  # type: ignore[misc, unused-ignore]
    """A Dask cluster made, or found, by Crewcall.

    Everything but ``document`` is optional and given by keyword. The arguments from ``name`` to
    ``drain_timeout`` are the fields of a document, go over those of ``document``, and are checked by
    ``crewcall`` itself. ``crewcall.defaults`` in Dask's configuration has values for those that are not
    given, where there is no ``document``.

    Args:
        document: The path of a YAML file, or a mapping with the same content.
        name: Up to 40 lower-case letters, digits and dashes. A cluster of that name is used, and brought
            up to date, if there is one. Default: a new name.
        namespace: Kubernetes only.
        labels: Free labels.
        provider: Where it runs: ``"local"``, or a mapping such as ``{"local": {}}``.
        engine: What runs in it; ``{"dask": {"config": {...}, "workerPreload": [...]}}``.
        environment: Its software: ``{"packages": [...]}``, ``{"interpreter": path}`` or ``{"image": ...}``.
            Default: the Python that runs this.
        tls: Whether every connection is mutually authenticated. Default: true.
        env: Environment variables of scheduler and workers.
        secret_env: Environment variables by the name of the caller's variable that has the value.
        scheduler: The scheduler's ``cpu``, ``memory``, ``env``.
        workers: The default group: a number of workers, or a mapping with ``replicas``, or ``min`` and
            ``max``; ``threads`` (default 1), ``memory`` (such as ``"2GiB"``), ``resources``, ``env``.
        worker_groups: More groups, by name (up to 10 characters), each as ``workers``.
        wait_for: What to wait for: ``workers`` (default: all fixed ones), ``timeout`` (default ``"10m"``).
        idle_timeout: Torn down after so long without work, such as ``"20m"``, or ``"never"``. Default on
            this machine: never.
        max_lifetime: Torn down so long after its creation. Default on this machine: never.
        drain_grace: How long a worker that has to go may take to hand its data over. Default: ``"25s"``.
        drain_timeout: How long a scale-down looks for takers of a worker's data. Default: ``"10m"``.
        shutdown_on_close: Whether the cluster ends with ``close``, with the last object for it, and with
            this process, however that ends. Default: only if this made it.
        replace: Delete and make anew a cluster of this name that cannot be changed as the document asks.
        asynchronous: Whether this is for use with ``await``.
        loop: The event loop to use.
        quiet: Whether to show no progress. Default: shown in notebooks and terminals.
        controller: Another way to a controller.

    Raises:
        CrewcallError: It cannot be had; the kind of exception, its message and its hint say why. What was
            made is deleted, unless ``shutdown_on_close`` is false.
    """

    def __init__(
        self,
        document: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        provider: str | Mapping[str, Any] | None = None,
        engine: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        tls: bool | None = None,
        env: Mapping[str, str] | None = None,
        secret_env: Mapping[str, str] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        workers: int | Mapping[str, Any] | None = None,
        worker_groups: Mapping[str, int | Mapping[str, Any]] | None = None,
        wait_for: Mapping[str, Any] | None = None,
        idle_timeout: str | timedelta | None = None,
        max_lifetime: str | timedelta | None = None,
        drain_grace: str | timedelta | None = None,
        drain_timeout: str | timedelta | None = None,
        shutdown_on_close: bool | None = None,
        replace: bool = False,
        asynchronous: bool = False,
        loop: Any = None,
        quiet: bool | None = None,
        controller: Controller | None = None,
        **unknown: Any,
    ):
        fields = {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "provider": provider,
            "engine": engine,
            "environment": environment,
            "tls": tls,
            "env": env,
            "secret_env": secret_env,
            "scheduler": scheduler,
            "workers": workers,
            "worker_groups": worker_groups,
            "wait_for": wait_for,
            "idle_timeout": idle_timeout,
            "max_lifetime": max_lifetime,
            "drain_grace": drain_grace,
            "drain_timeout": drain_timeout,
        }
        documents.refuse_unknown(list(unknown), [*fields, "shutdown_on_close", "replace", "quiet"])
        self._begin: Callable[[Progress], Awaitable[None]] | None = partial(
            self._create, documents.source(document, fields), replace=replace
        )
        self._setup(
            name or "",
            shutdown_on_close=shutdown_on_close,
            asynchronous=asynchronous,
            loop=loop,
            quiet=quiet,
            controller=controller,
        )

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        shutdown_on_close: bool = False,
        asynchronous: bool = False,
        loop: Any = None,
        quiet: bool | None = None,
        controller: Controller | None = None,
    ) -> Cluster:
        """Connect to a cluster that exists.

        Args:
            name: Its name.
            shutdown_on_close: Whether it ends with ``close``, this object, or this process.
            asynchronous: Whether the object is for use with ``await``.
            loop: The event loop to use.
            quiet: Whether to show no progress.
            controller: Another way to a controller.

        Raises:
            ClusterNotFoundError: There is none of that name.
        """
        self = cls.__new__(cls)
        self._begin = partial(self._attach, name)
        self._setup(
            name,
            shutdown_on_close=shutdown_on_close,
            asynchronous=asynchronous,
            loop=loop,
            quiet=quiet,
            controller=controller,
        )
        return self

    def _setup(
        self,
        name: str,
        *,
        shutdown_on_close: bool | None,
        asynchronous: bool,
        loop: Any,
        quiet: bool | None,
        controller: Controller | None,
    ) -> None:
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

    def __await__(self) -> Generator[Any, None, Cluster]:
        async def started() -> Cluster:
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

    async def _create(self, source: documents.Source, progress: Progress, *, replace: bool) -> None:
        options = ["--replace"] if replace else []
        starting = launch.Launch(source, owned=self._shutdown_on_close is not False, options=options)
        self._launch = starting
        launched = await _offload(starting.run, progress.tell)
        view = launched.view
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
        view = await _offload(self._controller.get, name)
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
            view = await _offload(self._controller.get, name)
        if self._shutdown_on_close:
            self._ownership = launch.own(view.name, view.uid, self._controller, None)
        await self._take(view)

    def _abandon(self) -> None:
        """Undo what was begun, as far as this object is to end it."""
        self.status = Status.closed
        starting, self._launch = self._launch, None
        if starting is None:
            pass
        elif self._shutdown_on_close is not False:
            starting.interrupt()
            starting.wait(launch.RELEASE_BOUND)
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
            self.security = _security(view)
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
            await _offload(ownership.end)
            await self._until_gone(view, bound)
        self.status = Status.closed

    async def _until_gone(self, view: View, bound: float) -> None:
        deadline = asyncio.get_running_loop().time() + bound
        while True:
            try:
                seen = await _offload(self._controller.get, view.name)
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

    # Sizes

    def scale(self, n: int, group: str = "workers", *, force: bool = False) -> Any:
        """Ask for a number of workers. Does not wait until they are there.

        A worker that goes hands its results over first; where nobody can take them, it stays.

        Args:
            n: How many workers.
            group: Of which group.
            force: Whether workers whose results nobody can take go too; the results are lost.

        Returns:
            ``None``; in asynchronous use something that may be awaited.
        """
        return self._resize(group, {"fixed": n}, force=force)

    def adapt(self, *, minimum: int = 0, maximum: int, group: str = "workers") -> Adaptation:
        """Let the controller choose the number of workers. That goes on when this process has ended.

        Args:
            minimum: At least so many workers.
            maximum: At most so many.
            group: Of which group.

        Returns:
            The bounds; in asynchronous use they may be awaited.
        """
        asked = self._resize(group, {"adaptive": {"min": minimum, "max": maximum}}, force=False)
        return Adaptation(minimum, maximum, group, asked)

    def _resize(self, group: str, size: dict[str, Any], *, force: bool) -> Any:
        asked = self.sync(self._asked_for, group, size, force)
        # Nobody needs to await it.
        return asyncio.ensure_future(asked) if self.asynchronous else asked

    async def _asked_for(self, group: str, size: dict[str, Any], force: bool) -> None:
        if self.status == Status.created:
            await self
        if self._resizing is None:
            self._resizing = asyncio.Lock()
        async with self._resizing:
            view = await _offload(partial(self._controller.resize, self.name, group, size, force=force))
            self._view = view if self._view is None else self._view.newer(view)

    # Looking

    @property
    def groups(self) -> dict[str, Group]:
        """The groups of workers, by name, as they are now."""
        return {group.name: group for group in self._view.groups} if self._view else {}

    @property
    def plan(self) -> set[str]:
        """Names of the workers that there should be."""
        return self._view.planned if self._view else set()

    @property
    def requested(self) -> set[str]:
        """Names of the workers that have been started."""
        return self._view.made if self._view else set()

    @property
    def observed(self) -> set[str]:
        """Names of the workers that the scheduler sees."""
        return {str(worker["name"]) for worker in self.scheduler_info["workers"].values()}

    @property
    def dashboard_link(self) -> str:
        """The dashboard's address, by the template ``distributed.dashboard.link``; "" if there is none."""
        if self._view is None or self._view.dashboard is None:
            return ""
        link = urlsplit(self._view.dashboard)
        template = str(dask.config.get("distributed.dashboard.link"))
        values = {**os.environ, "scheme": link.scheme, "host": link.hostname, "port": link.port}
        return template.format(**values)

    def events(self, limit: int = 100) -> Any:
        """What happened to the cluster.

        Args:
            limit: At most so many, the newest.

        Returns:
            A list of `Event`, oldest first; in asynchronous use something to await.
        """
        return self.sync(_offload, self._controller.events, self.name, limit)

    async def _get_logs(
        self, cluster: bool = True, scheduler: bool = True, workers: bool | Iterable[str] = True
    ) -> Logs:
        logs = Logs()
        view = await _offload(self._controller.get, self.name)
        if cluster:
            events = await _offload(self._controller.events, self.name, 1000)
            logs["Cluster"] = Log("\n".join(str(event) for event in events))
        chosen = None if isinstance(workers, bool) else set(workers)
        addresses = {node.name: node.address for node in view.nodes}
        for node in await _offload(self._controller.logged_nodes, self.name):
            is_scheduler = node.startswith(f"{view.name}-scheduler-")
            wanted = scheduler if is_scheduler else bool(workers)
            if not is_scheduler and chosen is not None:
                wanted = node in chosen or addresses.get(node) in chosen
            if wanted:
                text = await _offload(self._controller.log, self.name, node)
                logs["Scheduler" if is_scheduler else node] = Log(text)
        return logs

    def get_logs(
        self, cluster: bool = True, scheduler: bool = True, workers: bool | Iterable[str] = True
    ) -> Any:
        """What cluster, scheduler and workers have said; also workers that have ended.

        Args:
            cluster: Whether to include what happened to the cluster.
            scheduler: Whether to include the scheduler's log.
            workers: Whether to include the workers' logs, or the names or addresses of those wanted.

        Returns:
            Texts by "Cluster", "Scheduler" and the workers' names; in asynchronous use something to await.
        """
        return self.sync(self._get_logs, cluster=cluster, scheduler=scheduler, workers=workers)

    def wait_for_workers(self, n_workers: int, timeout: float | str | None = None) -> Any:
        """Wait until so many workers take work.

        Args:
            n_workers: How many; at least 1.
            timeout: Seconds, or a text such as ``"30s"``; without it, for ever.

        Raises:
            WaitTimeoutError: They did not come in time.
        """
        if not isinstance(n_workers, int) or n_workers < 1:
            raise ValueError(f"`n_workers` must be a positive integer. Instead got {n_workers}.")
        return self.sync(self._wait_for_workers, n_workers, timeout=timeout)

    async def _wait_for_workers(self, n_workers: int = 0, timeout: float | str | None = None) -> None:
        bound = dask.utils.parse_timedelta(timeout) if timeout else None
        began = asyncio.get_running_loop().time()
        while True:
            self.scheduler_info = SchedulerInfo(await self.scheduler_comm.identity())
            workers = self.scheduler_info["workers"].values()
            running = sum(worker["status"] == Status.running.name for worker in workers)
            if running >= n_workers:
                return
            if bound is not None and asyncio.get_running_loop().time() - began > bound:
                seen = self._view.summary() if self._view else "nothing"
                raise WaitTimeoutError(
                    f"only {running} of {n_workers} workers of cluster {self.name} came within {bound:g} s; "
                    f"last seen: {seen}",
                    hint=f"`crewcall describe {self.name}` shows what is missing",
                )
            await asyncio.sleep(LOOK)

    def _scaling_status(self) -> str:
        return scaling_status(self._view)

    def _repr_html_(self, cluster_status: str | None = None) -> str:
        status = self._scaling_status() if cluster_status is None else cluster_status
        return str(super()._repr_html_(cluster_status=status))


def _security(view: View) -> Security | None:
    if view.client is None:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=view.client["ca"],
        tls_client_cert=view.client["cert"],
        tls_client_key=view.client["key"],
    )


async def _offload(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run on a thread, so that the loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments))
