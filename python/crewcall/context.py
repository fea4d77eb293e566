"""Who looks after clusters: this machine's controller, or the operator of a Kubernetes."""

from __future__ import annotations

import os
from pathlib import Path

from crewcall.controller import Controller
from crewcall.transport import GatewayTransport

KUBE = "kube:"


def choose(context: str | None) -> str | None:
    """Find out which context is meant.

    Args:
        context: What the caller says, if anything.

    Returns:
        That, else ``CREWCALL_CONTEXT``, else what the person's ``crewcall/config.yaml`` says; ``None`` where
        nothing does.
    """
    return context or os.environ.get("CREWCALL_CONTEXT") or _of_file()


def is_operator(context: str | None) -> bool:
    """Whether an operator looks after the clusters of a context."""
    return context is not None and context.startswith(KUBE)


def controller_of(context: str | None, namespace: str | None) -> Controller:
    """The way to whoever looks after the clusters of a context.

    Args:
        context: The context.
        namespace: Where the clusters are, if that is known.
    """
    if context is not None and is_operator(context):
        return Controller(GatewayTransport(context, namespace))
    return Controller()


def _of_file() -> str | None:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = Path(base) / "crewcall" / "config.yaml"
    if not path.is_file():
        return None
    # Slow to import, and a dependency of Dask.
    import yaml  # type: ignore[import-untyped, unused-ignore]

    said = yaml.safe_load(path.read_text())
    context = said.get("context") if isinstance(said, dict) else None
    # What is wrong with the file, the program says better.
    return context if isinstance(context, str) else None
