"""Compute clusters for Dask, made and looked after by Crewcall.

from crewcall import Cluster
from dask.distributed import Client

with Cluster(workers=4) as cluster:
client = Client(cluster)
"""

from __future__ import annotations

import dask.config

from crewcall.adaptation import Adaptation
from crewcall.cluster import Cluster
from crewcall.configuration import DEFAULTS
from crewcall.controller import Controller
from crewcall.errors import (
    ClusterNotFoundError,
    ControllerError,
    CrewcallError,
    DocumentError,
    ProgramError,
    ProviderError,
    RefusedError,
    SoftwareError,
    UnknownFieldError,
    WaitTimeoutError,
)
from crewcall.views import Event, Group

__all__ = [
    "Adaptation",
    "Cluster",
    "ClusterNotFoundError",
    "Controller",
    "ControllerError",
    "CrewcallError",
    "DocumentError",
    "Event",
    "Group",
    "ProgramError",
    "ProviderError",
    "RefusedError",
    "SoftwareError",
    "UnknownFieldError",
    "WaitTimeoutError",
    "__version__",
]


def __getattr__(name: str) -> str:
    # Looking it up takes longer than all the rest.
    if name == "__version__":
        from importlib.metadata import version

        return version("crewcall")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


dask.config.update_defaults(DEFAULTS)
