"""This package's part of Dask's configuration."""

from __future__ import annotations

from typing import Any

# Not a YAML file, because reading one takes longer than all the rest of the import.
DEFAULTS: dict[str, Any] = {
    "crewcall": {
        # The program; None: the one installed with the package, else the one on the PATH.
        "program": None,
        # Whether a cluster ends with its object; None: if that made it.
        "shutdown-on-close": None,
        # Whether no progress is shown; None: where nobody would see it.
        "quiet": None,
        # Arguments of Cluster() that hold where neither a document nor the call has them.
        "defaults": {"provider": "local"},
    }
}
