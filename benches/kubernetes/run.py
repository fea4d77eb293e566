"""Measures Crewcall on Kubernetes against a plain loop and the dask-kubernetes operator, in turn, as a table.

    make kubernetes-up && eval "$(python3 tests/kubernetes/cluster.py env)"
    python3 tests/kubernetes/cluster.py kwok 10
    python benches/kubernetes/run.py --build --python PYTHON --operator-python PYTHON_WITH_DASK_KUBERNETES

The cluster is that of CREWCALL_TEST_KUBECONFIG; its audit log, CREWCALL_TEST_AUDIT_LOG, counts calls.
Absolute times are those of this machine and of what else runs on it; only ratios mean anything elsewhere.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(REPOSITORY / "benches" / "local"))

import measurements  # noqa: E402
from api_server import ApiServer  # noqa: E402
from figures import Row, table  # noqa: E402
from measurements import Session  # noqa: E402
from measuring import measured  # noqa: E402

MEASUREMENTS: dict[str, Callable[[Session], list[Row]]] = {
    "create": measurements.created,
    "life": measurements.lived,
    "idle": measurements.rested,
}
"""By the name that `--only` takes."""


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="only this; may be repeated")
    parser.add_argument("--pairs", type=int, help="pairs of each comparison (default: 3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one pair: shows that it works")
    parser.add_argument("--python", default=sys.executable, help="of clients (default: this one)")
    parser.add_argument("--operator-python", default="", help="one that has dask-kubernetes")
    parser.add_argument("--binary", help="the program (default: the release build of this repository)")
    parser.add_argument("--build", action="store_true", help="build the release program first")
    parser.add_argument("--minutes", type=float, default=20.0, help="no pair begins later (default: 20)")
    return parser.parse_args()


def program(options: argparse.Namespace) -> str:
    """Return the program's path, built if that is wanted."""
    if options.build:
        features = ["--no-default-features", "--features", "local,kubernetes"]
        subprocess.run(["cargo", "build", "--release", *features], cwd=REPOSITORY, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    return os.path.abspath(options.binary or target.resolve() / "release" / "crewcall")


def main() -> int:
    """Measure; return 1 if something could not be measured."""
    options = arguments()
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    missing = [
        name
        for name in ("CREWCALL_TEST_KUBECONFIG", "CREWCALL_TEST_KUBECTL", "CREWCALL_TEST_IMAGE")
        if name not in os.environ
    ]
    if missing:
        print(f"not set: {', '.join(missing)}; tests/kubernetes/cluster.py env prints them", file=sys.stderr)
        return 2
    session = Session(
        server=ApiServer(os.environ["CREWCALL_TEST_KUBECONFIG"], os.environ["CREWCALL_TEST_KUBECTL"]),
        binary=program(options),
        python=os.path.abspath(options.python),
        operator=options.operator_python and os.path.abspath(options.operator_python),
        image=os.environ["CREWCALL_TEST_IMAGE"],
        pairs=options.pairs or (1 if options.quick else 3),
        quick=options.quick,
        end=time.monotonic() + 60.0 * options.minutes,
    )
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    rows = [
        row
        for name in options.only or MEASUREMENTS
        for row in measured(name, partial(MEASUREMENTS[name], session))
    ]
    print(f"\n{os.cpu_count()} processors, load before: {load}\n\n{table(rows)}", flush=True)
    return 1 if any(row.note.startswith("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
