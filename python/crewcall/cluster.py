"""``Cluster``: a cluster that the controller looks after, as Dask's cluster classes look to their users."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import dask.config
import dask.utils
from distributed.core import Status
from distributed.objects import SchedulerInfo
from distributed.utils import Log, Logs

from crewcall import context as contexts
from crewcall import document as documents
from crewcall.adaptation import Adaptation
from crewcall.controller import Controller
from crewcall.errors import DocumentError, UnknownFieldError, WaitTimeoutError
from crewcall.life import LOOK, ClusterObject, offload
from crewcall.views import Group
from crewcall.widget import scaling_rows, scaling_status


class Cluster(ClusterObject):
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
        context: Who looks after it: ``"kube:NAME"`` is the operator of that context of the kubeconfig,
            ``"kube:"`` that of the current one, ``"local"`` this machine's controller, and any other name the
            same with that context for clusters on Kubernetes. Default: ``CREWCALL_CONTEXT``, else the file
            ``~/.config/crewcall/config.yaml``, else this machine's controller.
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
        context: str | None = None,
        controller: Controller | None = None,
        **unknown: Any,
    ):
        context = contexts.choose(context)
        if contexts.is_operator(context) and document is None and provider is None:
            provider = "kubernetes"
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
        documents.refuse_unknown(list(unknown), [*fields, "shutdown_on_close", "replace", "quiet", "context"])
        source = documents.source(document, fields)
        self._setup(
            partial(self._create, source, replace=replace, context=context),
            name or "",
            shutdown_on_close=shutdown_on_close,
            asynchronous=asynchronous,
            loop=loop,
            quiet=quiet,
            controller=controller or contexts.controller_of(context, namespace),
        )

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        namespace: str | None = None,
        shutdown_on_close: bool = False,
        asynchronous: bool = False,
        loop: Any = None,
        quiet: bool | None = None,
        context: str | None = None,
        controller: Controller | None = None,
    ) -> Cluster:
        """Connect to a cluster that exists.

        Args:
            name: Its name.
            namespace: Where it is, if an operator looks after it; else as the context says.
            shutdown_on_close: Whether it ends with ``close``, this object, or this process.
            asynchronous: Whether the object is for use with ``await``.
            loop: The event loop to use.
            quiet: Whether to show no progress.
            context: Who looks after it, as for :class:`Cluster`.
            controller: Another way to a controller.

        Raises:
            ClusterNotFoundError: There is none of that name.
        """
        self = cls.__new__(cls)
        self._setup(
            partial(self._attach, name),
            name,
            shutdown_on_close=shutdown_on_close,
            asynchronous=asynchronous,
            loop=loop,
            quiet=quiet,
            controller=controller or contexts.controller_of(contexts.choose(context), namespace),
        )
        return self

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

    def adapt(
        self, *, minimum: int = 0, maximum: int | None = None, group: str = "workers", **unknown: Any
    ) -> Adaptation:
        """Let the controller choose the number of workers. That goes on when this process has ended.

        Args:
            minimum: At least so many workers.
            maximum: At most so many; left out, an adaptive group keeps its own.
            group: Of which group.
            **unknown: Refused.

        Returns:
            The bounds; in asynchronous use they may be awaited.

        Raises:
            UnknownFieldError: For the settings of Dask's own adaptive scaling, which has no part in this.
            DocumentError: Without a maximum, where the group has none yet.
        """
        if unknown:
            raise UnknownFieldError(
                f"adapt() has no argument `{next(iter(unknown))}`",
                hint="the controller decides, and hears of changes as they happen; there are minimum, "
                "maximum and group",
            )
        if maximum is None:
            here = self.groups.get(group)
            maximum = here.maximum if here else None
        if maximum is None:
            raise DocumentError(
                f"adapt() of group {group} needs a maximum: the group has a fixed size, so no bound is known",
                hint="say how far it may grow, as in adapt(minimum=0, maximum=20)",
            )
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
            view = await offload(partial(self._controller.resize, self.name, group, size, force=force))
            # What has been heard meanwhile knows what came of it; this reply does not.
            self._view = view if self._view is None else view.newer(self._view)

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
        return self.sync(offload, self._controller.events, self.name, limit)

    async def _get_logs(
        self, cluster: bool = True, scheduler: bool = True, workers: bool | Iterable[str] = True
    ) -> Logs:
        logs = Logs()
        view = await offload(self._controller.get, self.name)
        if cluster:
            events = await offload(self._controller.events, self.name, 1000)
            logs["Cluster"] = Log("\n".join(str(event) for event in events))
        chosen = None if isinstance(workers, bool) else set(workers)
        addresses = {node.name: node.address for node in view.nodes}
        for node in await offload(self._controller.logged_nodes, self.name):
            is_scheduler = node.startswith(f"{view.name}-scheduler-")
            wanted = scheduler if is_scheduler else bool(workers)
            if not is_scheduler and chosen is not None:
                wanted = node in chosen or addresses.get(node) in chosen
            if wanted:
                text = await offload(self._controller.log, self.name, node)
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
        status = scaling_rows(self._view) if cluster_status is None else cluster_status
        return str(super()._repr_html_(cluster_status=status))
