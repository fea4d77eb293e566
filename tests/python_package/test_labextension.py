"""The sidebar of dask-labextension makes, shows, resizes and ends clusters."""

from __future__ import annotations

import asyncio
import os

import dask
import pytest
from support import names

if "CREWCALL_TEST_LABEXTENSION" not in os.environ:
    pytest.importorskip("dask_labextension", reason="SKIPPED: dask-labextension is not installed")

# As docs/python.md has it.
SETTINGS = {
    "labextension.factory": {"module": "crewcall", "class": "Cluster", "args": [], "kwargs": {}},
    "labextension.default": {"workers": None, "adapt": {"minimum": 0, "maximum": 2}},
}


def test_the_sidebar_works_with_the_documented_settings() -> None:
    async def use() -> None:
        from dask_labextension.manager import DaskClusterManager

        manager = DaskClusterManager()
        before = set(names())
        made = await manager.start_cluster()
        assert made["adapt"] == {"minimum": 0, "maximum": 2}
        assert made["scheduler_address"].startswith("tls://")
        (name,) = set(names()) - before
        resized = await manager.scale_cluster(made["id"], 2)
        assert "adapt" not in resized
        assert manager.adapt_cluster(made["id"], 1, 3)["adapt"] == {"minimum": 1, "maximum": 3}
        await manager.close_cluster(made["id"])
        assert manager.list_clusters() == []
        assert name not in names()

    with dask.config.set(SETTINGS):
        asyncio.run(use())
