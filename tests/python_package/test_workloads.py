"""Every program in ``examples/workloads`` runs unchanged on a cluster made by Crewcall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crewcall import Cluster
from support import run_workload, workloads


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    big = {"replicas": 1, "resources": {"BIG": 1}}
    with Cluster(workers=2, worker_groups={"big": big}) as cluster:
        yield cluster


@pytest.mark.parametrize("path", workloads(), ids=lambda path: path.stem)
def test_a_workload_gives_what_one_machine_gives(path: Path, cluster: Cluster) -> None:
    run_workload(path, cluster.name)


def test_there_is_a_workload_for_each_part_of_an_introduction() -> None:
    assert len(workloads()) >= 15
