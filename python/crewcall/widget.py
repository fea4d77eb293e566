"""How a cluster's sizes look in a notebook; the rest is as Dask shows any cluster."""

from __future__ import annotations

import html

from crewcall.views import Group, View


def scaling_status(view: View | None) -> str:
    """Describe sizes as an HTML table: mode, and counts of each group."""
    return f"<table>{scaling_rows(view)}</table>"


def scaling_rows(view: View | None) -> str:
    """Describe sizes as rows of an HTML table with two columns."""
    groups = view.groups if view is not None else ()
    return "".join(_row(group, only=len(groups) == 1) for group in groups)


def _row(group: Group, *, only: bool) -> str:
    label = "Workers" if only else f"Group {html.escape(group.name)}"
    count = str(group.ready) if group.ready == group.wanted else f"{group.ready} / {group.wanted}"
    if group.draining:
        count += f", {group.draining} leaving"
    mode = f"Adaptive, {group.minimum} to {group.maximum}" if group.is_adaptive else "Manual"
    title = f' title="{html.escape(group.reason)}"' if group.reason else ""
    cell = 'style="text-align: left;"'
    return (
        f"<tr><td {cell}><strong>{label}:</strong> {count}</td>"
        f"<td {cell}{title}><strong>Scaling mode:</strong> {mode}</td></tr>"
    )
