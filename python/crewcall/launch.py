"""One ``crewcall create``, in a process that stays as long as what it made is this process's to end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from crewcall import caller, program
from crewcall.controller import Controller
from crewcall.document import Source
from crewcall.errors import CrewcallError, ProgramError, from_exit
from crewcall.views import View

logger = logging.getLogger("crewcall")

# Seconds that the end of this process may wait until the deletion is on record.
RELEASE_BOUND = 10.0

# The same after a Ctrl-C. While software is installed it takes longer; the process that waits for it goes on.
INTERRUPT_BOUND = 3.0


class Launched(NamedTuple):
    """What became of a create: the cluster, and ``created``, ``updated``, ``unchanged`` or ``replaced``."""

    view: View
    outcome: str

    @property
    def is_new(self) -> bool:
        """Whether the create made it."""
        return self.outcome in ("created", "replaced")


class Launch:
    """Runs ``crewcall create`` and reads what it says.

    Args:
        source: The document.
        owned: Whether the cluster ends with this process, should this create make it.
        options: More words for the command.
    """

    def __init__(self, source: Source, *, owned: bool, options: list[str]):
        words = ["create", "-f", source.file or "-", "-o", "json", *caller.arguments(), *options]
        if source.file is not None and source.text:
            words += ["--merge", "-"]
        if owned:
            words += ["--owner", str(os.getpid())]
        command = [program.find_program(), *words]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C is for Python, which tells this process what follows from it.
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramError(f"cannot run {command[0]}: {error}") from error
        self._text = source.text.encode()
        self._interrupted = threading.Event()

    def run(self, tell: Callable[[Mapping[str, Any]], None]) -> Launched:
        """Follow it until the cluster is ready. Blocks.

        Args:
            tell: Gets every message of the command.

        Raises:
            CrewcallError: It failed.
        """
        process = self.process
        assert process.stdin and process.stdout and process.stderr
        said: list[str] = []
        talk = threading.Thread(target=_collect, args=(process.stderr, said), daemon=True)
        talk.start()
        # It may have refused its arguments without reading.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(self._text)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        failure: CrewcallError | None = None
        with process.stdout:
            for line in process.stdout:
                message = json.loads(line)
                kind = message.get("type")
                if kind == "ready":
                    return Launched(View.read(message["cluster"]), str(message["outcome"]))
                if kind == "error":
                    failure = from_exit(message["error"])
                else:
                    tell(message)
        code = process.wait()
        talk.join(timeout=5)
        raise failure or program.failure("".join(said), f"`crewcall create` ended with code {code}")

    def interrupt(self) -> None:
        """Have what it made deleted. Deleting goes on when this returns."""
        if not self._interrupted.is_set():
            self._interrupted.set()
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def let_go(self) -> None:
        """End it, and leave the cluster as it is."""
        self.process.terminate()


class Ownership:
    """A cluster that is to end with this process.

    Objects for the same cluster share it: the last of them to be forgotten, ``close`` of any, or the
    end of the interpreter has the cluster deleted. In a fork nothing does.
    """

    def __init__(self, name: str, uid: str, controller: Controller, launch: Launch | None):
        self.uid = uid
        self._launch = launch
        self._end = weakref.finalize(self, _delete, os.getpid(), name, uid, controller, launch)

    @property
    def is_over(self) -> bool:
        """Whether this process has had the cluster deleted, or has left it to itself."""
        return not self._end.alive

    def end(self) -> None:
        """Have the cluster deleted; once."""
        self._end()

    def give_up(self) -> None:
        """Leave the cluster as it is."""
        self._end.detach()
        if self._launch is not None:
            self._launch.let_go()


_owned: weakref.WeakValueDictionary[str, Ownership] = weakref.WeakValueDictionary()
_owned_lock = threading.Lock()


def own(name: str, uid: str, controller: Controller, launch: Launch | None) -> Ownership:
    """Take the cluster over, together with whoever in this process has it already."""
    with _owned_lock:
        known = _owned.get(uid)
        if known is None:
            known = _owned[uid] = Ownership(name, uid, controller, launch)
        return known


def owned(uid: str) -> Ownership | None:
    """The ownership that this process has of a cluster."""
    with _owned_lock:
        return _owned.get(uid)


def _delete(process: int, name: str, uid: str, controller: Controller, launch: Launch | None) -> None:
    if os.getpid() != process:
        return
    if launch is not None and launch.process.poll() is None:
        launch.interrupt()
        if launch.wait(RELEASE_BOUND):
            return
    # Nobody is left to hear of a failure at the end of a program.
    with contextlib.suppress(CrewcallError):
        controller.delete(name, uid)


def _collect(stream: Any, lines: list[str]) -> None:
    with stream:
        for line in stream:
            text = line.decode(errors="replace")
            lines.append(text)
            if text.startswith("warning: "):
                logger.warning(text.removeprefix("warning: ").rstrip())
