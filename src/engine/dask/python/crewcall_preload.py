"""Dask preload: a lossless stop for workers, one status operation for schedulers."""

from __future__ import annotations

from typing import Any


async def dask_setup(server: Any) -> None:
    """Install what fits the kind of `server`."""


def drain_on_sigterm(server: Any, grace: float | None = None) -> None:
    """Turn SIGTERM into a drain."""
