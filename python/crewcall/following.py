"""A thread that follows a cluster and tells an event loop what it hears."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from crewcall.controller import Controller, Watch
from crewcall.errors import ClusterNotFoundError, CrewcallError
from crewcall.views import Event, View

# Seconds until a controller is looked for again after the last one went away.
RECONNECT = 1.0


class Follower:
    """Follows a cluster until it is gone, or until told to stop.

    Args:
        controller: Whom to ask.
        name: The cluster.
        uid: Which of that name; another one counts as its end.
        tell: A bound method that gets each view and event, and ``None`` at the end, on the follower's
            thread. Its object is not kept alive.
    """

    def __init__(
        self, controller: Controller, name: str, uid: str, tell: Callable[[View | Event | None], None]
    ):
        self._controller = controller
        self._name = name
        self._uid = uid
        self._tell = weakref.WeakMethod(tell)
        self._stopped = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"crewcall-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; from any thread. Nothing is told after this, but for what is being told."""
        self._stopped.set()
        watch = self._watch
        if watch is not None:
            watch.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if not self._follow():
                    return
            except ClusterNotFoundError:
                self._say(None)
                return
            except CrewcallError:
                # The cluster lives on without a controller; the next one says how it is.
                pass
            self._stopped.wait(RECONNECT)

    def _follow(self) -> bool:
        self._watch = watch = self._controller.watch(self._name)
        try:
            for news in watch:
                if isinstance(news, View) and news.uid != self._uid:
                    news = None
                if not self._say(news) or news is None:
                    return False
        finally:
            watch.close()
        return True

    def _say(self, news: Any) -> bool:
        tell = self._tell()
        if tell is None or self._stopped.is_set():
            return False
        tell(news)
        return True
