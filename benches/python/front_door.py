"""From `Cluster(...)` to a ready Client, against LocalCluster; and the import time beyond distributed's.

``python benches/python/front_door.py [--workers N] [--rounds N]`` in a Python that has crewcall (or with
PYTHONPATH and ``DASK_CREWCALL__PROGRAM`` set). Both sides run in turn, each in a process of its own, so
that a busy machine is as busy for both; medians and their ratio are printed. The first Crewcall round
starts the controller and a fork server; a second cluster, made while the first lives, finds a warm one.
The import is measured in the processor's time, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

LOCAL = """
import json, sys, time
from distributed import Client, LocalCluster
if __name__ == "__main__":
    began = time.perf_counter()
    with LocalCluster(n_workers=WORKERS, threads_per_worker=1) as cluster, Client(cluster) as client:
        client.wait_for_workers(WORKERS)
        print(json.dumps({"ready": time.perf_counter() - began}))
"""

CREWCALL = """
import json, time
from distributed import Client
from crewcall import Cluster
def ready():
    began = time.perf_counter()
    cluster = Cluster(workers=WORKERS)
    client = Client(cluster)
    client.wait_for_workers(WORKERS)
    return cluster, client, time.perf_counter() - began
first, client, seconds = ready()
second, other, again = ready()
for thing in (other, second, client, first):
    thing.close()
print(json.dumps({"ready": seconds, "second": again}))
"""

IMPORT = """
import time
import distributed, distributed.deploy.cluster, yaml
began = time.process_time()
import crewcall
print(time.process_time() - began)
"""


def run(program: str) -> str:
    """Run a program in a fresh Python; the last line that it prints."""
    words = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    # As pip would have done; not every Python may write beside its sources.
    words = (
        sys.executable,
        "-c",
        "import compileall, crewcall; compileall.compile_dir(crewcall.__path__[0], quiet=1)",
    )
    subprocess.run(words, check=True)
    times: dict[str, list[float]] = {"LocalCluster": [], "Cluster": [], "second Cluster": [], "import": []}
    for _ in range(options.rounds):
        local = json.loads(run(LOCAL.replace("WORKERS", str(options.workers))))
        ours = json.loads(run(CREWCALL.replace("WORKERS", str(options.workers))))
        times["LocalCluster"].append(local["ready"])
        times["Cluster"].append(ours["ready"])
        times["second Cluster"].append(ours["second"])
        times["import"].append(float(run(IMPORT)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name in ("LocalCluster", "Cluster", "second Cluster"):
        ratio = medians[name] / medians["LocalCluster"]
        print(f"{name:<15} {medians[name]:6.2f} s   {ratio:4.2f} of LocalCluster's")
    print(f"import crewcall {medians['import'] * 1000:6.1f} ms beyond distributed's")


if __name__ == "__main__":
    main()
