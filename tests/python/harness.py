"""Stands in for the host process: a child subreaper that drives one fork server.

Run as a program it starts a cluster, prints the process ids as one JSON line and waits to be killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "src" / "engine" / "dask" / "python"
FORK_SERVER = SOURCE / "crewcall_fork_server.py"
PRELOAD = SOURCE / "crewcall_preload.py"
BOUND = 60.0
PR_SET_CHILD_SUBREAPER = 36
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def become_subreaper() -> None:
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("cannot become a child subreaper")


def eventually(what: str, condition: Callable[[], Any], bound: float = BOUND) -> Any:
    """Return the first true value of `condition`, or fail after `bound` seconds."""
    end = time.monotonic() + bound
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {bound} s: {what}"
        time.sleep(0.01)


def make_tls() -> dict[str, str]:
    """Return a self-signed certificate that is its own authority."""
    with tempfile.TemporaryDirectory() as directory:
        key, cert = Path(directory, "key"), Path(directory, "cert")
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
        )
        subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
        return {"ca": cert.read_text(), "cert": cert.read_text(), "key": key.read_text()}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Host:
    """One fork server and the nodes it forked."""

    def __init__(self, python: str = sys.executable, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [python, str(FORK_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **SINGLE_THREAD, **(environment or {})},
        )
        self.events: list[dict[str, Any]] = []
        self.pids: dict[str, int] = {}
        self.exits: dict[str, int] = {}
        self._arrived = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            event = json.loads(line)
            with self._arrived:
                self.events.append(event)
                if event["event"] == "forked":
                    self.pids[event["node"]] = event["pid"]
                self._arrived.notify_all()

    def send(self, command: dict[str, Any] | bytes) -> None:
        line = command if isinstance(command, bytes) else json.dumps(command).encode()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def event(self, kind: str, node: str | None = None, bound: float = BOUND) -> dict[str, Any]:
        """Wait for an event of a node, or of the server."""

        def find() -> dict[str, Any] | None:
            matching = (e for e in self.events if e["event"] == kind and e.get("node") == node)
            return next(matching, None)

        with self._arrived:
            arrived = self._arrived.wait_for(lambda: find() is not None, bound)
            assert arrived, f"no event {kind} of {node} within {bound} s; there were {self.events}"
            return find()

    def exit_code(self, node: str, bound: float = BOUND) -> int:
        """Wait for the end of a node."""

        def ended() -> bool:
            if node not in self.exits:
                pid, status = os.waitpid(self.pids[node], os.WNOHANG)
                if pid:
                    self.exits[node] = os.waitstatus_to_exitcode(status)
            return node in self.exits

        eventually(f"the end of {node}", ended, bound)
        return self.exits[node]

    def kill(self, *nodes: str) -> None:
        for node in nodes:
            if node in self.exits or node not in self.pids:
                continue
            os.kill(self.pids[node], signal.SIGKILL)
            self.exit_code(node)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(BOUND)
        self.kill(*self.pids)


class Cluster:
    """A scheduler and workers of one host, the workers named ``<prefix>-w0``, ``<prefix>-w1`` and so on."""

    def __init__(self, host: Host, prefix: str, directory: Path, tls: dict[str, str] | None) -> None:
        self.host, self.prefix, self.directory, self.tls = host, prefix, directory, tls
        self.scheduler = f"{prefix}-scheduler"
        self.address = ""

    def command(self, node: str, role: str, arguments: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return {
            "command": "launch",
            "node": node,
            "role": role,
            "directory": str(self.directory),
            "environment": dict(os.environ),
            "import_path": [""],
            "log": str(self.directory / f"{node}.log"),
            "tls": self.tls,
            "config": {},
            "arguments": arguments,
            **changes,
        }

    def start_scheduler(self, dashboard: str = "none", **changes: Any) -> str:
        arguments = {"dashboard": dashboard, "id": f"{self.prefix}-id"}
        self.host.send(self.command(self.scheduler, "scheduler", arguments, **changes))
        self.address = self.host.event("listening", self.scheduler)["address"]
        return self.address

    def worker(self, number: int) -> str:
        return f"{self.prefix}-w{number}"

    def start_workers(self, *numbers: int, changes: dict[str, Any] | None = None, **arguments: Any) -> None:
        for number in numbers:
            name = self.worker(number)
            base = {
                "scheduler": self.address,
                "name": name,
                "local_directory": str(self.directory),
                "memory_limit": 2**30,
                "death_timeout": 30,
            }
            self.host.send(self.command(name, "worker", {**base, **arguments}, **(changes or {})))

    def terminate(self, number: int) -> None:
        pid = self.host.pids[self.worker(number)]
        os.kill(pid, signal.SIGTERM)

    def exit_code(self, number: int, bound: float = BOUND) -> int:
        return self.host.exit_code(self.worker(number), bound)

    def log(self, number: int) -> str:
        path = self.directory / f"{self.worker(number)}.log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        self.host.kill(*(node for node in self.host.pids if node.startswith(f"{self.prefix}-")))


def main(directory: str) -> None:
    become_subreaper()
    host = Host()
    cluster = Cluster(host, "doomed", Path(directory), make_tls())
    cluster.start_scheduler()
    cluster.start_workers(0, 1)
    for number in (0, 1):
        host.event("forked", cluster.worker(number))
    print(json.dumps({**host.pids, "fork-server": host.process.pid}), flush=True)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
