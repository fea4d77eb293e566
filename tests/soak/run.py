"""Soak: what users, administrators and accidents do to clusters, for as long as you like.

    python tests/soak/run.py --python PATH --crewcall PATH                       90 seconds
    python tests/soak/run.py --python PATH --crewcall PATH --seconds 1200        20 minutes
    python tests/soak/run.py --python PATH --crewcall PATH --scenario adaptive --kills 50

Prints what it did. Exit code 1: a value was lost or wrong, something was there twice, or something was left.
Needs nothing but the standard library; PATH of --python is one with Dask and numpy.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import adaptive
import mixed
from world import Fault, World


def main() -> int:
    """Run a scenario and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, type=Path, help="a Python with Dask and numpy")
    parser.add_argument("--crewcall", required=True, type=Path, help="the program under test")
    parser.add_argument("--scenario", choices=["mixed", "adaptive"], default="mixed")
    parser.add_argument("--seconds", type=float, default=90, help="mixed: for how long new episodes begin")
    parser.add_argument("--kills", type=int, default=12, help="adaptive: how often the controller is killed")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()

    print(f"scenario {arguments.scenario}, seed {arguments.seed}", flush=True)
    begun = time.monotonic()
    world = World(arguments.crewcall.absolute(), arguments.python.absolute())
    try:
        if arguments.scenario == "mixed":
            faults = mixed.play(world, arguments.seed, arguments.seconds)
        else:
            faults = adaptive.play(world, arguments.seed, arguments.kills)
        for client in world.clients:
            client.close()
        if faults:
            print(world.describe(), file=sys.stderr)
        try:
            world.crewcall("delete", "--all")
        except Fault as fault:
            faults.append(str(fault))
        left = world.settle()
    finally:
        world.close()

    for what, number in sorted(world.counts.items()):
        print(f"{number:8} {what}")
    for fault in faults:
        print(f"FAULT: {fault}")
    for item in left:
        print(f"LEFT BEHIND: {item}")
    seconds = time.monotonic() - begun
    # A lost or wrong value is a fault that ends its story.
    print(f"{seconds:.0f} s; faults (lost, wrong, doubled, hanging) {len(faults)}; leftovers {len(left)}")
    return 1 if faults or left else 0


if __name__ == "__main__":
    sys.exit(main())
