"""What all measurements share: the two sides' programs, how often, until when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from installation import Installation


@dataclass
class Session:
    """One run of the benchmark.

    Args:
        binary: Crewcall.
        python: The interpreter of both sides.
        pairs: How often each comparison is made.
        quick: Whether sizes and times are cut down; figures are then for errors only.
        end: On the monotonic clock; no pair begins after it.
        plan_command: Prints ``plan for 10,000 workers, …: TIME`` lines; empty: none.
    """

    binary: str
    python: str
    pairs: int
    quick: bool
    end: float
    plan_command: str = ""

    def rounds(self, what: str) -> Iterator[int]:
        """Yield the number of each pair there is time for, one in any case if any time is left."""
        for number in range(self.pairs):
            if time.monotonic() > self.end:
                print(f"  {what}: stopped after {number} pairs, time is up", flush=True)
                return
            yield number

    def installation(self) -> Installation:
        """Return a new installation, to be entered."""
        return Installation(self.binary, self.python)
