"""The controller's interface, as this package uses it. Every method may be called from any thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from crewcall.errors import ClusterNotFoundError
from crewcall.transport import GatewayTransport, Stream, Transport, UnixTransport
from crewcall.views import Event, View


class Controller:
    """Asks a controller, by whatever transport reaches it.

    Args:
        transport: How; this machine's controller unless given.
    """

    def __init__(self, transport: Transport | None = None):
        self._transport: Transport = transport if transport is not None else UnixTransport()

    def settle(self, view: View) -> None:
        """Look for clusters where this one is, from now on."""
        if isinstance(self._transport, GatewayTransport) and view.namespace:
            self._transport.namespace = view.namespace

    def get(self, name: str) -> View:
        """Look at a cluster; raises ClusterNotFoundError."""
        return View.read(self._transport.request("GET", _path(name)))

    def clusters(self) -> list[View]:
        """Look at all clusters whose records can be used."""
        listed = self._transport.request("GET", "/v1/clusters")
        return [View.read(entry["cluster"]) for entry in listed if "cluster" in entry]

    def resize(self, name: str, group: str, size: dict[str, Any], *, force: bool) -> View:
        """Change what a group's size is to be: ``{"fixed": N}`` or ``{"adaptive": {"min": N, "max": N}}``.

        Args:
            name: The cluster.
            group: The group of workers.
            size: The new size.
            force: Whether results that nobody can take are lost; else their workers are kept.
        """
        body = {"group": group, "size": size, "unplaced": "lose" if force else "keep"}
        return View.read(self._transport.request("POST", _path(name, "scale"), body))

    def delete(self, name: str, uid: str) -> bool:
        """Have a cluster deleted. Deleting goes on when this returns.

        Returns:
            Whether it was there: neither gone, nor another one of its name.
        """
        try:
            if self.get(name).uid != uid:
                return False
            self._transport.request("DELETE", _path(name))
        except ClusterNotFoundError:
            return False
        return True

    def events(self, name: str, limit: int) -> list[Event]:
        """The newest events, oldest first."""
        listed = self._transport.request("GET", _path(name, "events") + f"?limit={int(limit)}")
        return [Event.read(event) for event in listed]

    def logged_nodes(self, name: str) -> list[str]:
        """Names of the nodes that have a log, dead ones too, newest last."""
        return [str(node) for node in self._transport.request("GET", _path(name, "logs"))]

    def log(self, name: str, node: str) -> str:
        """All that a node has logged and that was not rotated away."""
        return self._transport.read(_path(name, "logs", node)).decode(errors="replace")

    def watch(self, name: str) -> Watch:
        """Follow a cluster. Never starts a controller."""
        return Watch(self._transport.stream(_path(name, "watch")))


class Watch:
    """The story of a cluster: views and events as they come; ends with the cluster."""

    def __init__(self, stream: Stream):
        self._stream = stream

    def __iter__(self) -> Iterator[View | Event | None]:
        """Yield what comes; ``None`` once the cluster is gone, and nothing after it."""
        for message in self._stream:
            if message == "gone":
                yield None
                return
            if "cluster" in message:
                yield View.read(message["cluster"])
            elif "event" in message:
                yield Event.read(message["event"])

    def close(self) -> None:
        """End it, from any thread."""
        self._stream.close()


def _path(*parts: str) -> str:
    return "/v1/clusters/" + "/".join(quote(part, safe="") for part in parts)
