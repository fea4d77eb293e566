"""How a cluster looks in a notebook, beyond what Dask shows of any cluster."""

from __future__ import annotations

import html

from crewcall.views import Group, View


def scaling_status(view: View | None) -> str:
    """Describe sizes as an HTML table: mode, and counts of each group."""
    if view is None:
        return ""
    rows = "".join(_row(group, only=len(view.groups) == 1) for group in view.groups)
    return f"<table>{rows}</table>"


def _row(group: Group, *, only: bool) -> str:
    label = "Workers" if only else html.escape(group.name)
    count = str(group.ready) if group.ready == group.wanted else f"{group.ready} / {group.wanted}"
    if group.draining:
        count += f", {group.draining} leaving"
    mode = "Adaptive" if group.is_adaptive else "Manual"
    if group.is_adaptive:
        mode += f", {group.minimum} to {group.maximum}"
    title = f' title="{html.escape(group.reason)}"' if group.reason else ""
    cell = 'style="text-align: left;"'
    return f"<tr><td {cell}>{label}: {count}</td><td {cell}{title}>Scaling mode: {mode}</td></tr>"
