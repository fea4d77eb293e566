"""Figures and their table: pairs, ratios, spread. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some values."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of `values`, of which there is one at least."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def text(self, unit: str = "") -> str:
        """Return it for people: ``0.25 (0.22-0.31)``."""
        return f"{number(self.median)}{unit} ({number(self.low)}-{number(self.high)})"


@dataclass
class Row:
    """One line of the table.

    Args:
        what: What was measured.
        against: What it is a ratio to; empty for a figure that stands alone.
        goal: What it should be at most, or at least if `at_least`; None: no goal.
        ours: Values of Crewcall, in `unit`.
        theirs: Values of the other side, pair by pair; empty for a figure that stands alone.
        unit: Of the values: ``s``, ``MB``, ``ms``, ``tasks/s``.
        at_least: Whether more is better.
        note: What else is to be said.
    """

    what: str
    against: str
    goal: float | None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    unit: str = "s"
    at_least: bool = False
    note: str = ""

    def values(self) -> list[float]:
        """Return what the goal is about: the ratio of each pair, or the values themselves."""
        if self.against:
            return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=False)]
        return self.ours

    def verdict(self) -> str:
        """Return whether the median meets the goal."""
        values = self.values()
        if not values:
            return "skipped"
        if self.goal is None:
            return ""
        median = statistics.median(values)
        met = median >= self.goal if self.at_least else median <= self.goal
        return "met" if met else "**missed**"

    def cells(self) -> list[str]:
        """Return the cells of the table's line."""
        values = self.values()
        measured = "" if not values else Spread.of(values).text("" if self.against else f" {self.unit}")
        medians = ""
        if values and self.against:
            ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
            medians = f"{number(ours)} / {number(theirs)} {self.unit}"
        goal = ""
        if self.goal is not None:
            unit = "" if self.against else f" {self.unit}"
            goal = f"{'≥' if self.at_least else '≤'} {number(self.goal)}{unit}"
        count = str(len(values)) if values else ""
        return [self.what, self.against, measured, goal, self.verdict(), medians, count, self.note]


HEADER = ["what", "against", "ratio or figure (min-max)", "goal", "", "medians, ours / theirs", "n", "note"]


def table(rows: Sequence[Row]) -> str:
    """Return `rows` as a Markdown table."""
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def number(value: float) -> str:
    """Return `value` with as many digits as it deserves."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
