"""Measures Crewcall on the test double of EC2 against dask-cloudprovider, in turn, as tables.

    tests/ec2/run up && eval "$(tests/ec2/run env)"     # as root: hosts that boot
    python benches/ec2/run.py --binary PROGRAM --python PYTHON --peer-python PYTHON_WITH_DASK_CLOUDPROVIDER

The program needs the feature `ec2`, and the peer's Python `dask-cloudprovider[aws]` and `cryptography`.
Without CREWCALL_TEST_EC2 only `called` is measured, whose instances are imagined.
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
from account import Account  # noqa: E402
from figures import Row, table  # noqa: E402
from measurements import Session  # noqa: E402
from measuring import measured  # noqa: E402

MEASUREMENTS: dict[str, Callable[[Session], list[Row]]] = {
    "called": measurements.called,
    "connected": measurements.connected,
    "prepared": measurements.prepared,
}
"""By the name that `--only` takes."""

IMAGE = "ghcr.io/dask/dask:2026.8.0"
"""What the double's registry has; clients need the same Dask."""


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="only this; may be repeated")
    parser.add_argument("--pairs", type=int, help="pairs of each comparison (default: 3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one pair: shows that it works")
    parser.add_argument(
        "--workers", type=int, action="append", help="on booted hosts; may be repeated (default: 2, 5)"
    )
    parser.add_argument(
        "--share",
        type=float,
        help="processors that each host of `connected` may have, like 0.15 (default: as many as there are)",
    )
    parser.add_argument("--python", default=sys.executable, help="of clients (default: this one)")
    parser.add_argument("--peer-python", default="", help="one that has dask-cloudprovider[aws]")
    parser.add_argument("--binary", help="the program (default: the release build of this repository)")
    parser.add_argument(
        "--double", type=Path, help="ec2-double (default: the debug build of this repository)"
    )
    parser.add_argument("--build", action="store_true", help="build both programs first")
    parser.add_argument("--minutes", type=float, default=20.0, help="no pair begins later (default: 20)")
    return parser.parse_args()


def programs(options: argparse.Namespace) -> tuple[str, Path]:
    """Return the paths of the program and of the double, built if that is wanted."""
    if options.build:
        features = ["--no-default-features", "--features", "local,ec2"]
        subprocess.run(["cargo", "build", "--release", *features], cwd=REPOSITORY, check=True)
        subprocess.run(["cargo", "build", "--package", "ec2-double"], cwd=REPOSITORY, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target").resolve()
    double: Path = options.double or target / "debug" / "ec2-double"
    return os.path.abspath(options.binary or target / "release" / "crewcall"), double.absolute()


def main() -> int:
    """Measure; return 1 if something could not be measured."""
    options = arguments()
    # So that what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    binary, double = programs(options)
    booted = os.environ.get("CREWCALL_TEST_EC2")
    session = Session(
        double=double,
        booted=Account(booted) if booted else None,
        binary=binary,
        python=os.path.abspath(options.python),
        peer=options.peer_python and os.path.abspath(options.peer_python),
        image=IMAGE,
        sizes=[1, 10] if options.quick else [1, 10, 100, 1000],
        state=Path(os.environ["CREWCALL_TEST_EC2_STATE"]) if booted else None,
        share=options.share,
        hosts=options.workers or ([2] if options.quick else [2, 5]),
        pairs=options.pairs or (1 if options.quick else 3),
        end=time.monotonic() + 60.0 * options.minutes,
    )
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    rows = [
        row
        for name in options.only or MEASUREMENTS
        for row in measured(name, partial(MEASUREMENTS[name], session))
    ]
    print(f"\n{os.cpu_count()} processors, load before: {load}\n\n{table(rows)}", flush=True)
    print("\n".join(session.tables), flush=True)
    return 1 if any(row.note.startswith("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
