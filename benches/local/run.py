"""Measures Crewcall against LocalCluster on this machine, in turn, and prints the ratios as a table.

    python benches/local/run.py --build --python /path/to/python --pairs 5

The interpreter needs distributed and, for dashboards, bokeh. Absolute times are those of this
machine and of what else runs on it; only ratios of neighbours mean anything elsewhere.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import elastic
import footprint
import reading
import startup
import steady
from figures import Row, table
from measuring import measured
from session import Session

REPOSITORY = Path(__file__).resolve().parents[2]

MEASUREMENTS: dict[str, Callable[[Session], list[Row]]] = {
    "startup": startup.measure,
    "scale-up": elastic.scale_up,
    "scale-down": elastic.scale_down,
    "restart": elastic.restart,
    "memory": footprint.memory,
    "throughput": steady.measure,
    "verbs": reading.verbs,
    "plan": reading.plan,
    "idle": footprint.idle_clusters,
}
"""By the name that `--only` takes, in the order they are made."""


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="only this; may be repeated")
    parser.add_argument("--pairs", type=int, help="pairs of each comparison (default: 3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one pair: shows that it works")
    parser.add_argument("--python", default=sys.executable, help="of both sides (default: this one)")
    parser.add_argument("--binary", help="the program (default: the release build of this repository)")
    parser.add_argument("--build", action="store_true", help="build the release program first")
    parser.add_argument("--plan-command", default="", help="a command that prints the times of plan()")
    parser.add_argument("--minutes", type=float, help="no pair begins later (default: 20; 4 with --quick)")
    return parser.parse_args()


def build() -> None:
    """Build the release program with the local provider."""
    command = ["cargo", "build", "--release", "--no-default-features", "--features", "local"]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def release_binary() -> str:
    """Return where cargo puts the release program."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    return str(target.resolve() / "release" / "crewcall")


def interpreter(path: str) -> str:
    """Return `path` absolute, not resolved: a virtual environment is known by its link."""
    return os.path.abspath(path)


def machine(session: Session) -> str:
    """Describe the machine and the software in one line."""
    code = "import distributed, platform; print(platform.python_version(), distributed.__version__)"
    versions = subprocess.run(
        [session.python, "-c", code], capture_output=True, text=True, check=True, timeout=60.0
    ).stdout.split()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, Python {versions[0]}, "
        f"distributed {versions[1]}, load before: {load}"
    )


def main() -> int:
    """Measure; return 1 if something could not be measured."""
    options = arguments()
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.build:
        build()
    minutes = options.minutes or (4.0 if options.quick else 20.0)
    session = Session(
        binary=os.path.abspath(options.binary or release_binary()),
        python=interpreter(options.python),
        pairs=options.pairs or (1 if options.quick else 3),
        quick=options.quick,
        end=time.monotonic() + 60.0 * minutes,
        plan_command=options.plan_command,
    )
    if not os.access(session.binary, os.X_OK):
        print(f"there is no program {session.binary}; --build makes it", file=sys.stderr)
        return 2
    description = machine(session)
    begun = time.monotonic()
    rows = [
        row
        for name in options.only or MEASUREMENTS
        for row in measured(name, partial(MEASUREMENTS[name], session))
    ]
    print(f"\n{description}; {time.monotonic() - begun:.0f} s in all\n\n{table(rows)}", flush=True)
    return 1 if any(row.note.startswith("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
