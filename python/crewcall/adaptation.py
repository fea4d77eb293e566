"""The bounds within which the controller chooses a group's size."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Adaptation:
    """What `Cluster.adapt` asked for.

    Attributes:
        minimum: At least so many workers.
        maximum: At most so many.
        group: Of which group.
    """

    minimum: int
    maximum: int
    group: str
    _asked: Any = field(default=None, repr=False, compare=False)

    def __await__(self) -> Generator[Any, None, Adaptation]:
        """Wait until the controller has noted it; returns at once outside of asynchronous use."""
        if self._asked is not None:
            yield from self._asked.__await__()
        return self
