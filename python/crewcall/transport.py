"""How requests reach whoever looks after clusters: HTTP and JSON, here over a Unix socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Protocol

from crewcall import program
from crewcall.errors import ControllerError, CrewcallError, ProgramError, from_code

# Seconds that an answer may take; the same as the command line's.
ANSWER_BOUND = 30.0

# Seconds without a sign of life after which a stream counts as broken. A controller shows one every 10 s.
SILENCE_BOUND = 60.0


# Whatever the default is.
_HERE = ("--context", "local")


class Stream(Protocol):
    """JSON values that arrive one by one."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the values until the stream ends; raises CrewcallError when it breaks."""

    def close(self) -> None:
        """End it, from any thread."""


class Transport(Protocol):
    """The way to a controller. Safe to use from several threads, and after a fork."""

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Ask, and return the answer; raises CrewcallError."""

    def read(self, path: str) -> bytes:
        """Ask for content that is no JSON; raises CrewcallError."""

    def stream(self, path: str) -> Stream:
        """Ask for a stream. Never starts a controller; raises ControllerError when there is none."""


class UnixTransport:
    """The controller of this machine, started when a request needs one.

    Each request has a connection of its own, so that threads and forks share none.
    """

    def __init__(self) -> None:
        self._socket: str | None = None

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Ask, and return the answer; a controller that went away is started again, once."""
        return json.loads(self._whole(method, path, body))

    def read(self, path: str) -> bytes:
        """Ask for content that is no JSON."""
        return self._whole("GET", path, None)

    def stream(self, path: str) -> Stream:
        """Ask for a stream of the controller that runs."""
        answer = program.ask(*_HERE, "controller", "status", "-o", "json")
        if not answer.get("running"):
            raise ControllerError("no controller runs", hint="the next request starts one")
        return _LineStream(_Connection(answer["status"]["socket"], SILENCE_BOUND), path)

    def _whole(self, method: str, path: str, body: object) -> bytes:
        known = self._socket
        if known is not None:
            try:
                return _fetch(known, method, path, body)
            except ControllerError:
                # It ended, or was replaced, since the last request. All requests may be repeated.
                self._socket = None
        self._socket = program.ask(*_HERE, "controller", "start", "-o", "json")["status"]["socket"]
        return _fetch(self._socket, method, path, body)


class GatewayTransport:
    """The operator of a Kubernetes, by way of a process of this one's that speaks with its API server.

    The process is started when a request needs it, and ends with this object, with this process, or when
    nothing was asked for 10 s. A fork starts its own.

    Args:
        context: ``kube:NAME``, NAME being a context of the kubeconfig; ``kube:`` is the current one.
        namespace: Where the clusters are; else as the context says.
    """

    def __init__(self, context: str, namespace: str | None = None):
        self._context = context
        self.namespace = namespace
        self._starting = threading.Lock()
        self._socket: str | None = None
        self._owner = 0
        self._end: weakref.finalize[..., Any] | None = None

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Ask, and return the answer; a process that went away is started again, once."""
        return json.loads(self._whole(method, path, body))

    def read(self, path: str) -> bytes:
        """Ask for content that is no JSON."""
        return self._whole("GET", path, None)

    def stream(self, path: str) -> Stream:
        """Ask for a stream."""
        known = self._known()
        try:
            return _LineStream(_Connection(known, SILENCE_BOUND), path)
        except ControllerError:
            return _LineStream(_Connection(self._known(but=known), SILENCE_BOUND), path)

    def _whole(self, method: str, path: str, body: object) -> bytes:
        known = self._known()
        try:
            return _fetch(known, method, path, body)
        except ControllerError:
            # It ended since the last request, as it does when there is none for a while.
            return _fetch(self._known(but=known), method, path, body)

    def _known(self, but: str | None = None) -> str:
        """The socket of the process, which is started if there is none but the one that failed."""
        with self._starting:
            if self._socket is None or self._owner != os.getpid() or self._socket == but:
                self._start()
            assert self._socket is not None
            return self._socket

    def _start(self) -> None:
        if self._end is not None and self._owner == os.getpid():
            self._end()
        words = ["--context", self._context, *(["-n", self.namespace] if self.namespace else [])]
        command = [program.find_program(), "__gateway", "--owner", str(os.getpid()), *words]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # Ctrl-C is for Python.
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramError(f"cannot run {command[0]}: {error}") from error
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        if not line:
            said = process.stderr.read()
            code = process.wait()
            raise program.failure(said, f"`crewcall __gateway` ended with code {code}")
        self._socket = str(json.loads(line)["socket"])
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _end, process, os.getpid())


def _end(process: subprocess.Popen[str], owner: int) -> None:
    if os.getpid() != owner:
        return
    # As Ctrl-C: it takes its folder along.
    process.send_signal(signal.SIGINT)
    process.communicate()


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket of the same user."""

    def __init__(self, path: str, timeout: float):
        super().__init__("controller", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self.path)
            self._check_peer(self.sock)
        except BaseException:
            self.sock.close()
            raise

    def _check_peer(self, connected: socket.socket) -> None:
        option = getattr(socket, "SO_PEERCRED", None)
        if option is None:
            return
        _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, option, 12))
        if user != os.geteuid():
            raise ControllerError(f"the socket {self.path} belongs to the user with id {user}, not to you")


def _fetch(path: str, method: str, target: str, body: object) -> bytes:
    connection = _Connection(path, ANSWER_BOUND)
    try:
        return _answer(connection, method, target, body).read()
    except TimeoutError as error:
        raise ControllerError(
            f"the controller did not answer {method} {target} within {ANSWER_BOUND:.0f} s",
            hint="`crewcall controller logs` shows its log",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, CrewcallError):
            raise
        raise ControllerError(f"the controller at {path} cannot be reached: {error}") from error
    finally:
        connection.close()


def _answer(connection: _Connection, method: str, target: str, body: object) -> http.client.HTTPResponse:
    content = None if body is None else json.dumps(body)
    connection.request(method, target, content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status < 400:
        return response
    content = response.read().decode(errors="replace")
    try:
        error = json.loads(content)
        raise from_code(error)
    except (ValueError, KeyError, TypeError) as unreadable:
        if isinstance(unreadable, CrewcallError):
            raise
        message = f"the controller answered {method} {target} with {response.status}"
        raise CrewcallError(message) from unreadable


class _LineStream:
    """A streamed answer: one JSON value a line, and empty lines as signs of life."""

    def __init__(self, connection: _Connection, target: str):
        self._connection = connection
        self._closed = threading.Event()
        try:
            self._response = _answer(connection, "GET", target, None)
            # The response owns the connection's socket from now on, and hides it.
            self._socket = connection.sock
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if isinstance(error, CrewcallError):
                raise
            raise ControllerError(f"the controller cannot be reached: {error}") from error

    def __iter__(self) -> Iterator[Any]:
        try:
            while line := self._response.readline():
                if line.strip():
                    message = json.loads(line)
                    if isinstance(message, dict) and "error" in message:
                        raise from_code(message["error"])
                    yield message
        except (OSError, ValueError, http.client.HTTPException, AttributeError) as error:
            if isinstance(error, CrewcallError):
                raise
            if not self._closed.is_set():
                raise ControllerError(f"the controller went away: {error}") from error
        finally:
            self._connection.close()

    def close(self) -> None:
        self._closed.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            # It has ended by itself.
            return
