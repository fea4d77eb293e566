"""What is shown while a cluster starts: in a notebook, at a terminal, or nowhere."""

from __future__ import annotations

import html
import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import dask.config

from crewcall.views import Event, View

logger = logging.getLogger("crewcall")


class Progress:
    """Shows nothing but warnings, which go to the logger ``crewcall``."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clear()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Show a message of ``crewcall create``; from any thread."""
        kind = message.get("type")
        if kind == "progress":
            self.say(str(message["message"]))
        elif kind == "cluster":
            view = View.read(message["cluster"])
            self.say(f"{view.name}: {view.summary()}")
        elif kind == "event":
            event = Event.read(message["event"])
            if event.severity == "Warning":
                logger.warning("%s", event.message)

    def say(self, text: str) -> None:
        """Show one line in place of the last."""

    def clear(self) -> None:
        """Take away what was shown."""


class TerminalProgress(Progress):
    """One line on standard error that changes, and vanishes at the end."""

    WIDTH = 78

    def __init__(self) -> None:
        self._shown = False

    def say(self, text: str) -> None:
        """Show one line in place of the last."""
        self._shown = True
        sys.stderr.write("\r\x1b[K" + text.splitlines()[0][: self.WIDTH])
        sys.stderr.flush()

    def clear(self) -> None:
        """Take away what was shown."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class NotebookProgress(Progress):
    """One line below the cell that changes, and vanishes at the end."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __enter__(self) -> Progress:
        # Here and not with the first line, which is told on another thread, where no cell runs.
        from IPython.display import DisplayHandle

        self._handle = DisplayHandle()
        self._handle.display({"text/html": ""}, raw=True)
        return self

    def say(self, text: str) -> None:
        """Show one line in place of the last."""
        line = html.escape(text.splitlines()[0])
        self._show(f'<div style="color: #888; font-family: monospace">{line}</div>')

    def clear(self) -> None:
        """Take away what was shown."""
        self._show("")

    def _show(self, text: str) -> None:
        if self._handle is not None:
            self._handle.update({"text/html": text}, raw=True)


def choose_progress(quiet: bool | None) -> Progress:
    """Choose what fits the surroundings.

    Args:
        quiet: Whether to show nothing; ``None`` asks ``crewcall.quiet``, and then the surroundings.
    """
    if quiet is None:
        quiet = dask.config.get("crewcall.quiet", None)
    if quiet:
        return Progress()
    if _in_notebook():
        return NotebookProgress()
    if sys.stderr is not None and sys.stderr.isatty():
        return TerminalProgress()
    return Progress()


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and hasattr(shell, "kernel")
