"""Fork server: imports Dask once, then forks a scheduler or a worker on request.

Started as ``python crewcall_fork_server.py`` by a *host* process, which must be a child subreaper
(``PR_SET_CHILD_SUBREAPER``). Importing Dask is nine tenths of the start of a node; a fork has it for nothing.

Commands arrive on stdin, events leave on stdout: one JSON object per line, each event one atomic write of at
most 4096 bytes. Whatever else prints in this process goes to stderr.

Environment at start: ``OMP_NUM_THREADS``, ``OPENBLAS_NUM_THREADS`` and ``MKL_NUM_THREADS`` should be 1, so
that no import starts a thread, and ``MALLOC_TRIM_THRESHOLD_`` as Dask's nanny sets it. ``CREWCALL_PREIMPORT``
may name more modules to import before the first fork, separated by commas.

Events of the fork server:

- ``{"event": "ready", "protocol": 1, "pid": int, "threads": int, "dashboard": bool, "versions": {...}}``
  once. Forking is safe when ``threads`` is 1. ``dashboard``: whether bokeh is installed. ``versions``: of
  python, dask, distributed, msgpack, cloudpickle, tornado, toolz, numpy, pandas, lz4; null for what is not
  installed.
- ``{"event": "unusable", "error": str, "traceback": str}`` in place of ready when Dask cannot be imported;
  the process then exits with 3.
- ``{"event": "refused", "node": str | null, "error": str}`` for a command that makes no sense. Nothing was
  forked.

Commands:

- ``{"command": "exit"}``, or the end of stdin: the fork server ends, the nodes live on.
- ``{"command": "launch", "node": str, "role": "scheduler" | "worker", "directory": str, "environment": {...},
  "import_path": [str], "umask": int | null, "log": str, "tls": {"ca", "cert", "key"} | null, "config": {...},
  "arguments": {...}}``. ``environment`` is the whole environment of the node, not an addition.
  ``import_path`` goes to the front of ``sys.path``, relative entries and ``""`` meant from ``directory``,
  followed by the environment's PYTHONPATH. ``umask`` is the node's file mode creation mask (null: the
  server's). ``log`` receives what the node prints. ``tls`` holds PEM text. ``config`` has dotted Dask
  configuration keys, and goes over Dask's own configuration as one more of its files would: maps are merged.

  Arguments of a scheduler: ``host`` ("127.0.0.1"), ``port`` (0), ``dashboard`` ("attach" | "none"),
  ``idle_timeout`` (seconds | null), ``preload`` ([str]), ``id`` (str | null), ``nannies`` (bool: there are or
  will be workers with a Nanny of their own), ``lifetime`` (seconds until it ends | null).

  Arguments of a worker: ``scheduler`` (address), ``name``, ``threads``, ``memory_limit`` (bytes; 0: none;
  null: Dask's own share of this machine), ``resources``, ``local_directory``, ``preload``, ``death_timeout``
  (seconds to wait for the scheduler), ``drain_grace`` (seconds), ``nanny`` (address | null), ``own_nanny``
  (bool: the node is a Nanny of Dask's, which starts the worker as a process of its own), ``host``
  ("127.0.0.1").

Events of a node:

- ``{"event": "forked", "node", "pid", "start_time"}`` exactly once, before any code of the user runs.
  ``start_time`` is field 22 of ``/proc/<pid>/stat``, in clock ticks since boot.
- ``{"event": "listening", "node", "address", "dashboard_port": int | null}`` of a scheduler.
- ``{"event": "dashboard", "node", "attached": bool, "reason": str | null}`` of a scheduler, if asked to
  attach.
- ``{"event": "memory", "node", "limit": int, "terminate": float, "interval": float}`` of a worker without a
  nanny of its own, unless its configuration forbids: whoever poses as its nanny is to look every ``interval``
  seconds, and to kill it above that part of ``limit`` bytes.
- ``{"event": "registered", "node"}`` of a worker, once its scheduler knows it.
- ``{"event": "failed", "node", "error": str, "traceback": str}`` when it could not start; it then exits with
  1.

A node is a child of the host, leads its own process group, and is killed by the kernel when the host ends. It
exits with 0 when closed or drained, 1 when it could not start, 76 when it was told to stop and could not hand
everything over (see ``crewcall_preload``), and 77 when it is a scheduler that ended by its idle timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import logging
import os
import platform
import signal
import sys
import time
import traceback
import types
from dataclasses import dataclass
from typing import Any

PROTOCOL = 1
"""Rises when a host of an older release could misunderstand this file."""

EXIT_FAILED = 1
"""Exit code of a node that could not start."""

EXIT_IDLE = 77
"""Exit code of a scheduler that ended by its idle timeout: nobody is to start it again."""

EXIT_UNUSABLE = 3
"""Exit code of the fork server when this interpreter cannot run Dask."""

EVENT_LIMIT = 4096
"""Longest event line in bytes: PIPE_BUF of Linux, up to which a write to a pipe is atomic."""

PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``."""

REPARENT_BOUND = 10.0
"""Seconds in which the kernel must hand a fork over to the host; it takes far less than one."""

PACKAGES = ("dask", "distributed", "msgpack", "cloudpickle", "tornado", "toolz", "numpy", "pandas", "lz4")
"""What the two ends of a Dask connection compare, beside python."""

TLS_CONTEXTS_KEPT = 8
"""Two for each certificate that is in use."""

IMPORTS = (
    "distributed",
    "distributed.nanny",
    "distributed.scheduler",
    "distributed.worker",
    "distributed.http.health",
    "distributed.http.scheduler.prometheus",
    "distributed.http.statics",
    "distributed.http.worker.prometheus",
    "tornado.platform.asyncio",
)
"""Imported before the first fork."""

logger = logging.getLogger("distributed.crewcall")


class CommandError(ValueError):
    """A command that makes no sense; the message says why."""


class StartError(RuntimeError):
    """A node cannot start for a reason that its message tells in full."""


class Events:
    """The pipe to the host. Writes are atomic, so that any number of processes may share it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._closed = False

    def send(self, event: str, **fields: Any) -> None:
        """Write one event; a host that has gone is no error, for then the kernel ends this process too."""
        if not self._closed:
            with contextlib.suppress(OSError):
                os.write(self.descriptor, encode_event({"event": event, **fields}))

    def close(self) -> None:
        """Send nothing more."""
        if not self._closed:
            self._closed = True
            os.close(self.descriptor)


def encode_event(event: dict[str, Any]) -> bytes:
    """Return `event` as a line of at most `EVENT_LIMIT` bytes; long texts lose their beginning."""
    line = json.dumps(event).encode() + b"\n"
    for field in ("traceback", "error", "reason"):
        excess = len(line) - EVENT_LIMIT
        if excess <= 0:
            break
        text = event.get(field)
        if isinstance(text, str):
            # An escaped character takes up to 12 bytes; cutting one for each byte in excess is always enough.
            event = {**event, field: text[excess + 3 :] if len(text) > excess + 3 else ""}
            line = json.dumps(event).encode() + b"\n"
    return line


@dataclass(frozen=True)
class Tls:
    """PEM texts of one node. The representation never shows them."""

    ca: str
    cert: str
    key: str

    def __repr__(self) -> str:
        return "Tls(...)"


@dataclass(frozen=True)
class Launch:
    """A checked launch command; see the module's text for the meaning of each field."""

    node: str
    role: str
    directory: str
    environment: dict[str, str]
    import_path: list[str]
    umask: int | None
    log: str
    tls: Tls | None
    config: dict[str, Any]
    arguments: dict[str, Any]


_SCHEDULER_ARGUMENTS: dict[str, tuple[tuple[type, ...], Any]] = {
    "host": ((str,), "127.0.0.1"),
    "port": ((int,), 0),
    "dashboard": ((str,), "none"),
    "idle_timeout": ((int, float, type(None)), None),
    "preload": ((list,), ()),
    "id": ((str, type(None)), None),
    "nannies": ((bool,), False),
    "lifetime": ((int, float, type(None)), None),
}

_REQUIRED = object()

_WORKER_ARGUMENTS: dict[str, tuple[tuple[type, ...], Any]] = {
    "scheduler": ((str,), _REQUIRED),
    "name": ((str,), _REQUIRED),
    "threads": ((int,), 1),
    "memory_limit": ((int, type(None)), None),
    "resources": ((dict,), {}),
    "local_directory": ((str, type(None)), None),
    "preload": ((list,), ()),
    "death_timeout": ((int, float, type(None)), None),
    "drain_grace": ((int, float, type(None)), None),
    "nanny": ((str, type(None)), None),
    "own_nanny": ((bool,), False),
    "host": ((str,), "127.0.0.1"),
}


def _take(fields: dict[str, Any], key: str, kinds: tuple[type, ...], default: Any = _REQUIRED) -> Any:
    value = fields.get(key, default)
    if value is _REQUIRED:
        raise CommandError(f"{key!r} is missing")
    if key in fields and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise CommandError(f"{key!r} must be {wanted}, not {type(value).__name__}")
    return value


def _texts(what: str, values: Any) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise CommandError(f"{what} must hold texts only, not {type(value).__name__}")
    return list(values)


def parse_launch(command: dict[str, Any]) -> Launch:
    """Check a launch command.

    Raises:
        CommandError: A field is missing, unknown or of the wrong type.
    """
    role = _take(command, "role", (str,))
    known = {"scheduler": _SCHEDULER_ARGUMENTS, "worker": _WORKER_ARGUMENTS}.get(role)
    if known is None:
        raise CommandError(f"'role' must be scheduler or worker, not {role!r}")
    given = _take(command, "arguments", (dict,))
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise CommandError(f"a {role} has no argument {unknown[0]!r}")
    arguments = {key: _take(given, key, kinds, default) for key, (kinds, default) in known.items()}
    arguments["preload"] = _texts("'preload'", arguments["preload"])
    if arguments.get("dashboard", "none") not in ("attach", "none"):
        raise CommandError(f"'dashboard' must be attach or none, not {arguments['dashboard']!r}")
    tls = _take(command, "tls", (dict, type(None)))
    environment = _take(command, "environment", (dict,))
    _texts("'environment'", environment.values())
    return Launch(
        node=_take(command, "node", (str,)),
        role=role,
        directory=_take(command, "directory", (str,)),
        environment=environment,
        import_path=_texts("'import_path'", _take(command, "import_path", (list,), [])),
        umask=_take(command, "umask", (int, type(None)), None),
        log=_take(command, "log", (str,)),
        tls=Tls(*(_take(tls, part, (str,)) for part in ("ca", "cert", "key"))) if tls else None,
        config=_take(command, "config", (dict,), {}),
        arguments=arguments,
    )


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, its parent, ends.

    Raises:
        StartError: `parent` has gone already, or never was the parent.
        OSError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot tie this process to the life of its parent")
    # The parent may have ended before the call: no signal comes for that.
    if os.getppid() != parent:
        raise StartError(f"the host process {parent} has gone, or is no child subreaper")


def start_time(pid: int | None = None) -> int:
    """Return field 22 of ``/proc/<pid>/stat``: when a process started, in clock ticks since boot."""
    with open(f"/proc/{pid or 'self'}/stat", "rb") as stat:
        # The second field is a name in parentheses, which may itself hold spaces and parentheses.
        return int(stat.read().rpartition(b")")[2].split()[19])


def one_line(error: BaseException) -> str:
    """Return an exception as one line of text."""
    if isinstance(error, StartError):
        return str(error)
    return " ".join("".join(traceback.format_exception_only(type(error), error)).split())


# --- The node, after the fork -------------------------------------------------------------------------------


def _become_node(launch: Launch, events: Events) -> None:
    """Turn a fork of the server into a process like one that was started on its own."""
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.environ.clear()
    os.environ.update(launch.environment)
    time.tzset()
    _redirect(launch.log, events)
    if launch.umask is not None:
        os.umask(launch.umask)
    try:
        os.chdir(launch.directory)
    except OSError as error:
        raise StartError(
            f"cannot enter the working directory {launch.directory!r}: {error.strerror}"
        ) from None
    _set_import_path(launch)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # CPython gives each fork a seed of its own, numpy does not.
        numpy_random.seed()


def _redirect(log: str, events: Events) -> None:
    """Point stdin at nothing, stdout and stderr at `log`, and close all other files but the event pipe."""
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise StartError(f"cannot write the log {log!r}: {error.strerror}") from None
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor != events.descriptor:
            # The descriptor of the listing itself is gone by now.
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _set_import_path(launch: Launch) -> None:
    front = launch.import_path + [
        entry for entry in launch.environment.get("PYTHONPATH", "").split(os.pathsep) if entry
    ]
    absolute = [os.path.normpath(os.path.join(launch.directory, entry)) for entry in front]
    sys.path[:] = list(dict.fromkeys(absolute + sys.path))
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    # Nothing of the user may find this file under the name that scripts go by.
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = [launch.node]


def _configure_dask(launch: Launch) -> None:
    """Read Dask's configuration again, with the node's environment, and set up logging by it."""
    import dask

    dask.config.refresh(paths=dask.config._get_paths())
    for key, value in launch.config.items():
        for part in reversed(dask.config.check_deprecations(key).split(".")):
            value = {part: value}
        # Unlike `set`, it keeps what else is in the maps.
        dask.config.update(dask.config.config, value, priority="new")
    if launch.role == "worker":
        # What a nanny sets for its worker; the user's own environment comes first there too.
        for section in ("pre-spawn-environ", "environ"):
            for key, value in (dask.config.get(f"distributed.nanny.{section}", None) or {}).items():
                os.environ.setdefault(key, str(value))
    for name in (
        "distributed",
        "distributed.client",
        "distributed.gc",
        "bokeh",
        "tornado",
        "tornado.application",
    ):
        logging.getLogger(name).handlers.clear()
    # The package's attribute of this name is the configuration itself.
    importlib.import_module("distributed.config").initialize_logging(dask.config.config)


def _security(tls: Tls | None) -> Any:
    if tls is None:
        return None
    from distributed.security import Security

    return Security(**_security_fields(tls))


def _security_fields(tls: Tls) -> dict[str, Any]:
    roles = {
        f"tls_{role}_{part}": getattr(tls, part)
        for role in ("client", "scheduler", "worker")
        for part in ("cert", "key")
    }
    return {"require_encryption": True, "tls_ca_file": tls.ca, **roles}


_tls_contexts: dict[Any, Any] = {}
"""What keys and certificates become, by all that goes into it: made once, inherited by every node."""


def _shared_security(tls: Tls) -> Any:
    """Return what `_security` does, with contexts that were made before the fork where they fit.

    It cannot be sent to another process.
    """
    from distributed.security import Security

    class SharedSecurity(Security):  # type: ignore[misc]
        def _get_tls_context(self, tls: dict[str, Any], purpose: Any) -> Any:
            limits = (self.tls_min_version, self.tls_max_version)
            key = (purpose.name, limits, tuple(sorted((name, str(value)) for name, value in tls.items())))
            if key not in _tls_contexts:
                _tls_contexts[key] = super()._get_tls_context(tls, purpose)
            return _tls_contexts[key]

    return SharedSecurity(**_security_fields(tls))


def _make_tls_contexts(launch: Launch) -> None:
    """Make the contexts of a worker here, which takes it a third of its start."""
    if launch.role != "worker" or launch.tls is None or launch.arguments["own_nanny"]:
        return
    if len(_tls_contexts) > TLS_CONTEXTS_KEPT:
        _tls_contexts.clear()
    # A broken certificate is the node's to report.
    with contextlib.suppress(Exception):
        security = _shared_security(launch.tls)
        security.get_connection_args("worker")
        security.get_listen_args("worker")


def _raise_file_limit() -> None:
    """Allow half of what the system allows, as Dask's own command does: each connection is a file."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard // 2), hard))


async def _serve_scheduler(launch: Launch, events: Events) -> int:
    import crewcall_preload
    from distributed import Scheduler

    arguments = launch.arguments
    attach = arguments["dashboard"] == "attach"
    scheduler = Scheduler(
        host=arguments["host"],
        port=arguments["port"],
        protocol="tls" if launch.tls else "tcp",
        security=_security(launch.tls),
        dashboard=False,
        dashboard_address="127.0.0.1:0",
        idle_timeout=arguments["idle_timeout"],
        preload=arguments["preload"] or None,
    )
    if arguments["id"]:
        scheduler.id = arguments["id"]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    crewcall_preload.set_up_scheduler(scheduler, nannies=arguments["nannies"], lifetime=arguments["lifetime"])
    await scheduler
    port = scheduler.http_server.port if attach else None
    events.send("listening", node=launch.node, address=scheduler.address, dashboard_port=port)
    dashboard = asyncio.ensure_future(_attach_dashboard(scheduler, launch, events))
    finished = asyncio.ensure_future(scheduler.finished())
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([finished, stopped], return_when=asyncio.FIRST_COMPLETED)
    dashboard.cancel()
    if not finished.done():
        await scheduler.close()
        return 0
    return EXIT_IDLE if crewcall_preload.ended_idle(scheduler) else 0


async def _attach_dashboard(scheduler: Any, launch: Launch, events: Events) -> None:
    """Import bokeh once the cluster has come up, for that takes longer than the whole start."""
    if launch.arguments["dashboard"] == "attach":
        await _registrations_settled(scheduler)
        reason = None
        try:
            module = await asyncio.get_running_loop().run_in_executor(
                None, importlib.import_module, "distributed.dashboard.scheduler"
            )
            module.connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="/")
        except ImportError as error:
            reason = f"bokeh cannot be imported: {one_line(error)}"
        except Exception as error:
            logger.exception("the dashboard could not be attached")
            reason = one_line(error)
        events.send("dashboard", node=launch.node, attached=reason is None, reason=reason)
    events.close()


async def _registrations_settled(scheduler: Any) -> None:
    """Wait until workers have come and none has for 0.3 s: at least 0.5 s, 2 s if none comes, at most 5 s."""
    known, last_change, waited = 0, 0.0, 0.0
    while waited < 5.0:
        if len(scheduler.workers) != known:
            known, last_change = len(scheduler.workers), waited
        if waited >= (0.5 if known else 2.0) and waited - last_change >= 0.3:
            return
        await asyncio.sleep(0.1)
        waited += 0.1


async def _serve_worker(launch: Launch, events: Events) -> int:
    import crewcall_preload
    from distributed import Worker

    security = None if launch.tls is None else _shared_security(launch.tls)
    worker = Worker(nanny=launch.arguments["nanny"], security=security, **_options(launch))
    # SIGTERM must mean a drain from the first moment on.
    crewcall_preload.drain_on_sigterm(worker, grace=launch.arguments["drain_grace"])
    budget = _memory_budget(worker)
    if budget is not None:
        events.send("memory", node=launch.node, **budget)
    return await _serve_until_the_end(worker, launch, events)


async def _serve_nanny(launch: Launch, events: Events) -> int:
    """Be a real nanny, with its worker in a process below this one."""
    import crewcall_preload
    from distributed import Nanny

    nanny = Nanny(security=_security(launch.tls), **_options(launch))
    crewcall_preload.drain_on_sigterm(nanny, grace=launch.arguments["drain_grace"])
    return await _serve_until_the_end(nanny, launch, events)


def _options(launch: Launch) -> dict[str, Any]:
    """Return what a Worker and a Nanny are both made with."""
    arguments = launch.arguments
    memory_limit = arguments["memory_limit"]
    return {
        "scheduler_ip": arguments["scheduler"],
        "name": arguments["name"],
        "nthreads": arguments["threads"],
        "memory_limit": "auto" if memory_limit is None else memory_limit,
        "resources": arguments["resources"] or None,
        "local_directory": arguments["local_directory"],
        "preload": arguments["preload"] or None,
        "death_timeout": arguments["death_timeout"],
        "host": arguments["host"],
        "protocol": "tls" if launch.tls else "tcp",
        "dashboard": False,
    }


async def _serve_until_the_end(server: Any, launch: Launch, events: Events) -> int:
    await server
    events.send("registered", node=launch.node)
    events.close()
    await server.finished()
    return 0


def _memory_budget(worker: Any) -> dict[str, Any] | None:
    """Return what Dask's own nanny would watch `worker` by; None: it would not."""
    import dask
    from dask.utils import parse_timedelta

    limit = getattr(worker.memory_manager, "memory_limit", None)
    terminate = dask.config.get("distributed.worker.memory.terminate", False)
    if not limit or isinstance(terminate, bool) or not isinstance(terminate, (int, float)) or terminate <= 0:
        return None
    interval = dask.config.get("distributed.worker.memory.monitor-interval", "200ms")
    return {
        "limit": int(limit),
        "terminate": float(terminate),
        "interval": float(parse_timedelta(interval, default="ms") or 0.2),
    }


def _run(main: Any) -> int:
    try:
        from distributed.compatibility import asyncio_run
        from distributed.config import get_loop_factory
    except ImportError:
        return asyncio.run(main)
    return asyncio_run(main, loop_factory=get_loop_factory())


def _node(launch: Launch, events: Events) -> int:
    """Be the node until it ends; return its exit code."""
    try:
        events.send("forked", node=launch.node, pid=os.getpid(), start_time=start_time())
        _become_node(launch, events)
        _configure_dask(launch)
        _raise_file_limit()
        serve = _serve_scheduler
        if launch.role == "worker":
            serve = _serve_nanny if launch.arguments["own_nanny"] else _serve_worker
        return _run(serve(launch, events))
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code in (0, None):
            return 0
        traceback.print_exc()
        text = traceback.format_exc()
        events.send("failed", node=launch.node, error=one_line(error), traceback=text)
        return EXIT_FAILED


# --- The server ---------------------------------------------------------------------------------------------


class ForkServer:
    """Reads commands and forks; holds no state between two commands."""

    def __init__(self, events: Events, host: int) -> None:
        self.events = events
        self.host = host

    def serve(self, commands: int) -> None:
        """Obey what comes on the descriptor `commands` until it ends or says exit."""
        with os.fdopen(commands, "rb", closefd=False) as lines:
            for line in lines:
                if not self._obey(line):
                    return

    def _obey(self, line: bytes) -> bool:
        node = None
        try:
            try:
                command = json.loads(line)
            except ValueError as error:
                raise CommandError(f"not a JSON line: {error}") from None
            if not isinstance(command, dict):
                raise CommandError("a command is a JSON object")
            node = command.get("node") if isinstance(command.get("node"), str) else None
            kind = command.get("command")
            if kind == "exit":
                return False
            if kind != "launch":
                raise CommandError(f"unknown command {kind!r}")
            launch = parse_launch(command)
            _make_tls_contexts(launch)
            self._launch(launch)
        except CommandError as error:
            self.events.send("refused", node=node, error=str(error))
        except OSError as error:
            self.events.send("refused", node=node, error=f"cannot fork: {error.strerror}")
        return True

    def _launch(self, launch: Launch) -> None:
        """Fork twice, so that the host adopts the node."""
        middle = os.fork()
        if middle == 0:
            code = EXIT_FAILED
            try:
                self._middle(launch)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(middle, 0)
        if status != 0:
            raise CommandError("the second fork failed; is the limit of processes reached?")

    def _middle(self, launch: Launch) -> None:
        middle = os.getpid()
        if os.fork() != 0:
            return
        code = EXIT_FAILED
        try:
            bound = time.monotonic() + REPARENT_BOUND
            while os.getppid() == middle and time.monotonic() < bound:
                time.sleep(0.0002)
            die_with_parent(self.host)
            code = _node(launch, self.events)
        except (OSError, RuntimeError) as error:
            self.events.send("failed", node=launch.node, error=str(error), traceback="")
        finally:
            importlib.import_module("crewcall_preload").leave(code)


def _import_everything() -> dict[str, str | None]:
    """Import what nodes need and return the versions; raises whatever a broken installation raises."""
    for name in IMPORTS:
        importlib.import_module(name)
    for name in os.environ.get("CREWCALL_PREIMPORT", "").split(","):
        if name.strip():
            try:
                importlib.import_module(name.strip())
            except ImportError:
                print(f"cannot import {name.strip()}", file=sys.stderr)
    from distributed.versions import get_versions

    # Older versions import pandas here, which would otherwise happen in every node, on its event loop.
    packages = get_versions()["packages"]
    versions = {name: packages.get(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions}


def main() -> int:
    """Serve until told to exit; return the exit code."""
    host = os.getppid()
    die_with_parent(host)
    events = Events(os.dup(1))
    # A stray print of an imported module must not end up between two events.
    os.dup2(2, 1)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    gc.disable()
    try:
        versions = _import_everything()
        importlib.import_module("crewcall_preload")
    except BaseException as error:
        events.send("unusable", error=one_line(error), traceback=traceback.format_exc())
        return EXIT_UNUSABLE
    # The directory of this file is ours, not the user's.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != here]
    gc.enable()
    gc.freeze()
    events.send(
        "ready",
        protocol=PROTOCOL,
        pid=os.getpid(),
        threads=len(os.listdir("/proc/self/task")),
        dashboard=importlib.util.find_spec("bokeh") is not None,
        versions=versions,
    )
    ForkServer(events, host).serve(0)
    return 0


if __name__ == "__main__":
    code = main()
    # Nothing here is worth the time of taking apart what was imported.
    sys.stderr.flush()
    os._exit(code)
