"""A world of its own for a soak: directories, the program under test, and what /proc says of both.

Nothing here asks the program what it left behind; it looks for itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BOUND = 240.0
"""Seconds that anything may take on a machine that does much else."""

MAY_STAY = re.compile(
    r"controller\.log|store\.lock|clusters(/\.since)?|hosts|past(/.*)?|machine-id|controller-[0-9a-z-]+\.lock"
)
"""What the state directory keeps when the last cluster has gone."""


class Fault(Exception):
    """Something that must not happen has happened."""


def until(what: str, look: Callable[[], Any], bound: float = BOUND) -> Any:
    """Wait until `look` returns something true, and return that.

    Raises:
        Fault: it did not within `bound` seconds.
    """
    deadline = time.monotonic() + bound
    while not (found := look()):
        if time.monotonic() > deadline:
            raise Fault(f"{what}: not within {bound:.0f} s")
        time.sleep(0.05)
    return found


class World:
    """Directories of one soak, and the program in them.

    Args:
        program: The `crewcall` binary.
        python: A Python with Dask, for clusters and clients.
    """

    def __init__(self, program: Path, python: Path) -> None:
        # Short, because a socket's path must be.
        self.root = Path(tempfile.mkdtemp(prefix="cw-soak-", dir="/tmp"))
        self.program, self.python = program, python
        for name in ("home", "run", "state", "cache", "tmp", "work"):
            (self.root / name).mkdir(mode=0o700)
        self.counts: Counter[str] = Counter()
        self.controller_deaths = 0
        self.killings = 0
        self.clients: list[Client] = []
        self._lock = threading.Lock()

    def count(self, what: str, number: int = 1) -> None:
        """Add to the tally that is printed at the end."""
        with self._lock:
            self.counts[what] += number

    # --- The program ----------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Return the whole environment of what is started here."""
        return {
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "LANG": "C.UTF-8",
            "CREWCALL_STATE_DIR": str(self.root / "state"),
            "CREWCALL_RUNTIME_DIR": str(self.root / "run"),
            "CREWCALL_CACHE_DIR": str(self.root / "cache"),
            "CREWCALL_CONTROLLER_LINGER": "1",
            # Processors are shared with a dozen Pythons.
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s",
        }

    def start(self, *arguments: str, **pipes: Any) -> subprocess.Popen[str]:
        """Start the program under test."""
        return subprocess.Popen(
            [self.program, *arguments],
            cwd=self.root / "work",
            env=self.environment(),
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes},
        )

    def crewcall(self, *arguments: str, accept: tuple[int, ...] = (0,), bound: float = BOUND) -> str:
        """Run the program until it succeeds and return what it printed.

        A command whose controller was killed meanwhile may fail, and is typed again, as a person would.

        Raises:
            Fault: it failed although nothing was killed under it.
        """
        for _ in range(20):
            deaths, killing = self.controller_deaths, self.killings
            process = self.start(*arguments)
            try:
                printed, said = process.communicate(timeout=bound)
            except subprocess.TimeoutExpired:
                process.kill()
                printed, said = process.communicate()
                raise Fault(f"crewcall {' '.join(arguments)} hangs: {printed}{said}") from None
            self.count("commands")
            if process.returncode in accept:
                return printed
            if self.controller_deaths == deaths and not killing:
                raise Fault(f"crewcall {' '.join(arguments)}: code {process.returncode}: {printed}{said}")
            self.count("commands repeated because their controller was killed")
        raise Fault(f"crewcall {' '.join(arguments)} did not succeed in 20 tries: {said}")

    def view(self, cluster: str) -> dict[str, Any]:
        """Return what the program shows of a cluster; empty when there is none."""
        return json.loads(self.crewcall("get", cluster, "-o", "json", accept=(0, 4)) or "{}")

    def client(self, cluster: str) -> Client:
        """Return a client of a cluster, not yet connected, that ends with this world at the latest."""
        client = Client(self, cluster)
        self.clients.append(client)
        return client

    def document(self, name: str, spec: dict[str, Any]) -> str:
        """Write the document of a cluster and return its path."""
        path = self.root / "work" / f"{name}.yaml"
        document = {
            "apiVersion": "crewcall.dev/v1alpha1",
            "kind": "ComputeCluster",
            "metadata": {"name": name},
            "spec": {"provider": {"local": {}}, **spec},
        }
        path.write_text(json.dumps(document))
        return str(path)

    # --- What /proc says ------------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """Return the live processes of this world and their command lines."""
        mark, found = str(self.root).encode(), {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                command = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if command and (mark in command or mark in environment):
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        found.pop(os.getpid(), None)
        return found

    def controllers(self) -> list[int]:
        """Return the processes of controllers."""
        return [pid for pid, command in self.processes().items() if " __controller" in command]

    def hosts(self) -> dict[str, list[int]]:
        """Return the live processes of claimed hosts by their cluster."""
        claimed: dict[str, list[int]] = {}
        live = {pid for pid, command in self.processes().items() if " __host " in command}
        for record in (self.root / "state" / "hosts").glob("*/host.json"):
            with contextlib.suppress(OSError, ValueError):
                host = json.loads(record.read_text())
                pid, cluster = host["process"]["pid"], (host.get("claimedBy") or {}).get("name")
                if cluster and pid in live:
                    claimed.setdefault(cluster, []).append(pid)
        return claimed

    def node(self, address: str) -> int | None:
        """Return the process that listens at a node's address, if it is of this world and no host."""
        port = int(address.rsplit(":", 1)[1])
        inodes = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
        for pid, command in self.processes().items():
            if "crewcall_fork_server" not in command:
                continue
            with contextlib.suppress(OSError):
                for descriptor in os.scandir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(descriptor.path) in inodes:
                            return pid
        return None

    def kill(self, pid: int, what: str, number: int = signal.SIGKILL) -> bool:
        """Signal a process of this world; False if it has gone meanwhile."""
        if pid not in self.processes():
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        self.count(what)
        return True

    @contextlib.contextmanager
    def ending_controller(self) -> Iterator[None]:
        """Around what ends the controller: commands that are typed meanwhile may fail by it."""
        with self._lock:
            self.killings += 1
            self.controller_deaths += 1
        try:
            yield
        finally:
            with self._lock:
                self.killings -= 1

    def kill_controller(self) -> bool:
        """Kill the controller, if there is one."""
        with self.ending_controller():
            killed = [self.kill(pid, "kill -9 controller") for pid in self.controllers()]
        return any(killed)

    # --- What is left ---------------------------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """Return processes and files that should not be there when no cluster is."""
        left = [f"process {pid}: {command}" for pid, command in self.processes().items()]
        for directory in ("run", "tmp", "state"):
            base = self.root / directory
            for path in base.rglob("*"):
                name = str(path.relative_to(base))
                if directory != "state" or not MAY_STAY.fullmatch(name):
                    left.append(f"{directory}/{name}")
        return left

    def settle(self) -> list[str]:
        """Wait until nothing is left, at most a minute, and return what is."""
        deadline = time.monotonic() + 60
        while (left := self.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left

    def describe(self) -> str:
        """Return all that may explain a fault: processes, and the ends of logs and histories."""
        lines = [f"process {pid}: {command}" for pid, command in self.processes().items()]
        interesting = [path for kind in ("log", "jsonl") for path in self.root.rglob(f"*.{kind}")]
        for path in sorted(interesting):
            with contextlib.suppress(OSError):
                lines += [f"---- {path}", *path.read_text(errors="replace").splitlines()[-40:]]
        return "\n".join(lines)

    def close(self) -> None:
        """End every process of this world and remove its directories."""
        for _ in range(5):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        shutil.rmtree(self.root, ignore_errors=True)


class Client:
    """A `workload.py` on a cluster; started anew when its cluster was lost."""

    def __init__(self, world: World, cluster: str) -> None:
        self.world, self.cluster = world, cluster
        self.counts = world.root / "work" / f"{cluster}.runs"
        self.log = world.root / "work" / f"{cluster}.client.log"
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()

    def connect(self) -> None:
        """Start it, once more when the controller was killed meanwhile.

        Raises:
            Fault: it could not connect.
        """
        self.close()
        for _ in range(20):
            deaths, killing = self.world.controller_deaths, self.world.killings
            with self.log.open("ab") as log:
                self._process = self.world.start(
                    "run",
                    self.cluster,
                    "--",
                    str(self.world.python),
                    str(Path(__file__).parent / "workload.py"),
                    str(self.counts),
                    stdin=subprocess.PIPE,
                    stderr=log,
                )
            self._answers = queue.Queue()
            threading.Thread(target=self._read, args=(self._process, self._answers), daemon=True).start()
            if self._answer():
                self.world.count("clients")
                return
            self.close()
            if self.world.controller_deaths == deaths and not killing:
                raise Fault(f"no client of {self.cluster}: {self.log.read_text()[-2000:]}")
        raise Fault(f"no client of {self.cluster} in 20 tries")

    @staticmethod
    def _read(process: subprocess.Popen[str], answers: queue.Queue[str | None]) -> None:
        for line in process.stdout:
            answers.put(line)
        answers.put(None)

    def _answer(self) -> dict[str, Any] | None:
        try:
            line = self._answers.get(timeout=BOUND)
        except queue.Empty:
            raise Fault(f"the client of {self.cluster} does not answer") from None
        return json.loads(line) if line else None

    def ask(self, *words: Any) -> dict[str, Any]:
        """Send a command and return its answer; ``error`` in it when the client has ended."""
        try:
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()
        except OSError:
            return {"error": "the client has ended"}
        answer = self._answer()
        return {"error": "the client has ended"} if answer is None else answer

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
