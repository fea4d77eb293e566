"""Crewcall's side: a private installation, with directories of its own, that leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import processes

MEMORY_LIMIT = 2**30
"""Bytes a worker may use, on both sides."""


class Leftovers(RuntimeError):
    """Processes outlived their installation."""


def plain_environment(python: str) -> dict[str, str]:
    """Return this process's environment without settings of Crewcall, Dask or Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CREWCALL_", "DASK_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_"))
    }
    kept.pop("VIRTUAL_ENV", None)
    kept.pop("CONDA_PREFIX", None)
    return {**kept, "PATH": f"{Path(python).parent}{os.pathsep}{kept.get('PATH', '')}"}


class Installation:
    """A Crewcall of its own in a temporary directory; a context manager.

    Args:
        binary: The program.
        python: The interpreter that clusters and clients run with.
    """

    def __init__(self, binary: str, python: str) -> None:
        self.binary = binary
        self.python = python
        self.home = Path(tempfile.mkdtemp(prefix="crewcall-bench-"))
        self.state = self.home / "state"
        self.environment = {
            **plain_environment(python),
            "HOME": str(self.home),
            "CREWCALL_STATE_DIR": str(self.state),
            "CREWCALL_CACHE_DIR": str(self.home / "cache"),
            "CREWCALL_RUNTIME_DIR": str(self.home / "run"),
        }

    def __enter__(self) -> Installation:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything; raises `Leftovers` if something had to be killed."""
        left = self.end()
        if left and error is None:
            raise Leftovers(f"still there after the end: {', '.join(left)}")

    def verb(self, *arguments: str, bound: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run one command to its end.

        Raises:
            subprocess.CalledProcessError: It failed; what it said is printed.
            subprocess.TimeoutExpired: It took more than `bound` seconds.
        """
        done = subprocess.run(
            [self.binary, *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=bound,
        )
        if done.returncode != 0:
            print(f"crewcall {' '.join(arguments)}: {(done.stderr or done.stdout)[-600:]}", flush=True)
            done.check_returncode()
        return done

    def timed(self, *arguments: str, bound: float = 120.0) -> float:
        """Run one command and return its seconds, from before its process is made to its end."""
        begun = time.monotonic()
        self.verb(*arguments, bound=bound)
        return time.monotonic() - begun

    def document(self, name: str, workers: int) -> str:
        """Write the document of a cluster and return its path."""
        document: dict[str, Any] = {
            "apiVersion": "crewcall.dev/v1alpha1",
            "kind": "ComputeCluster",
            "metadata": {"name": name},
            "spec": {
                "provider": {"local": {}},
                "environment": {"interpreter": self.python},
                "workers": {"replicas": workers, "threads": 1, "memory": f"{MEMORY_LIMIT // 2**20}MiB"},
            },
        }
        path = self.home / f"{name}.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(document))
        return str(path)

    def create(self, name: str, workers: int) -> float:
        """Create a cluster and return the seconds until the command says that it is ready."""
        document = self.document(name, workers)
        return self.timed("-q", "create", "-f", document)

    def copy_certificates(self, name: str, folder: str) -> None:
        """Copy the client's certificate of a cluster, with its key and the authority's, to `folder`."""
        for file in ("authority.pem", "client.pem", "client-key.pem"):
            shutil.copy(self.state / "clusters" / name / "tls" / file, folder)

    def wait_for_spare(self) -> None:
        """Return when a spare host waits with Dask imported: its fork server has come to rest."""
        idle = 0
        seen = -1.0

        def warm() -> bool:
            nonlocal idle, seen
            spent = processes.processor_seconds(processes.tree(self.spares()))
            idle = idle + 1 if spent == seen and spent > 0.2 else 0
            seen = spent
            return idle >= 5

        processes.wait_until("a warm spare host", warm, 60.0, interval=0.1)

    def wait_for_dashboard(self, name: str) -> None:
        """Return when the dashboard answers, or there is none: its import takes up the scheduler."""
        link = json.loads(self.verb("get", name, "-o", "json").stdout)["dashboard"]

        def answers() -> bool:
            with contextlib.suppress(OSError), urllib.request.urlopen(link, timeout=5.0) as reply:
                return bool(reply.status == 200)
            return False

        if link:
            processes.wait_until("the dashboard", answers, 60.0, interval=0.1)

    def hosts(self) -> dict[int, str | None]:
        """Return the living hosts' pids, with their cluster's name; None: a spare."""
        found = {}
        for record in self.state.glob("hosts/*/host.json"):
            with contextlib.suppress(OSError, ValueError):
                host = json.loads(record.read_text())
                claimed = host["claimedBy"]
                found[int(host["process"]["pid"])] = claimed["name"] if claimed else None
        return {pid: name for pid, name in found.items() if os.path.exists(f"/proc/{pid}")}

    def spares(self) -> list[int]:
        """Return the pids of the spare hosts."""
        return [pid for pid, cluster in self.hosts().items() if cluster is None]

    def controller(self) -> int:
        """Return the controller's pid."""
        return int(json.loads(self.verb("controller", "status", "-o", "json").stdout)["status"]["pid"])

    def processes(self) -> list[int]:
        """Return all processes of this installation, the controller's among them."""
        return sorted({*processes.marked(str(self.home)), *processes.tree(self.hosts())})

    def end(self) -> list[str]:
        """Delete all clusters, end the controller, remove the directories; return what had to be killed."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.verb("-q", "delete", "--all", "--timeout", "60s", bound=90.0)
        with contextlib.suppress(subprocess.SubprocessError):
            self.verb("-q", "controller", "stop", bound=30.0)
        with contextlib.suppress(TimeoutError):
            processes.wait_until("the end of all processes", lambda: not self.processes(), 20.0, 0.05)
        left = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                left.append(f"{pid} {name[:120]}")
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)
        return left
