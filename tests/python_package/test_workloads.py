"""Every program in ``examples/workloads`` runs unchanged on a cluster made by Crewcall."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from crewcall import Cluster
from crewcall.program import find_program
from support import BOUND

WORKLOADS = sorted((Path(__file__).parents[2] / "examples" / "workloads").glob("*.py"))

# What a program needs beyond Dask itself.
NEEDS = {
    "arrays": ["numpy"],
    "dataframes": ["pandas", "pyarrow"],
    "machine_learning": ["dask_ml", "sklearn"],
    "gradient_boosting": ["xgboost"],
    "report": ["numpy", "bokeh"],
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    big = {"replicas": 1, "resources": {"BIG": 1}}
    with Cluster(workers=2, worker_groups={"big": big}) as cluster:
        yield cluster


@pytest.mark.parametrize("path", WORKLOADS, ids=lambda path: path.stem)
def test_a_workload_gives_what_one_machine_gives(path: Path, cluster: Cluster) -> None:
    missing = [module for module in NEEDS.get(path.stem, ()) if importlib.util.find_spec(module) is None]
    if missing:
        assert "CREWCALL_TEST_WORKLOADS" not in os.environ, f"{missing} must be installed"
        pytest.skip(f"SKIPPED: {path.name} needs {', '.join(missing)}")
    command = [find_program(), "run", cluster.name, "--", sys.executable, "-W", "ignore", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "it says what it found"


def test_there_is_a_workload_for_each_part_of_an_introduction() -> None:
    assert len(WORKLOADS) >= 15
