"""What a controller says of a cluster, as far as this package looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# States of nodes that are wanted, and of those that the provider has.
_WANTED = frozenset({"Requested", "Launched", "Registered", "Ready"})
_MADE = frozenset({"Launched", "Registered", "Ready", "Draining"})


class Event(NamedTuple):
    """Something that happened to a cluster.

    Attributes:
        at: When, in UTC (ISO 8601).
        severity: ``Normal`` or ``Warning``.
        kind: What, in one word, such as ``WorkerReady``.
        message: What, for people; may have several lines.
        node: The node that it happened to, if it was one.
    """

    at: str
    severity: str
    kind: str
    message: str
    node: str | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Event:
        """Read the controller's form."""
        return cls(
            at=str(value["at"]),
            severity=str(value["severity"]),
            kind=str(value["kind"]),
            message=str(value["message"]),
            node=value.get("node"),
        )

    def __str__(self) -> str:
        node = f"  {self.node}" if self.node else ""
        return f"{self.at}  {self.kind}{node}  {self.message}"


class Group(NamedTuple):
    """A group of workers.

    Attributes:
        name: ``workers`` is the default one.
        wanted: Workers it should have now.
        ready: Workers that take work.
        starting: Workers on their way.
        draining: Workers that hand their data over before they go.
        minimum: The lower bound of an adaptive group, else ``None``.
        maximum: The upper bound of an adaptive group, else ``None``.
        reason: How an adaptive group came to its size.
    """

    name: str
    wanted: int
    ready: int
    starting: int
    draining: int
    minimum: int | None = None
    maximum: int | None = None
    reason: str | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Group:
        """Read the controller's form."""
        size = value.get("size") or {}
        bounds = size.get("adaptive") or {}
        return cls(
            name=str(value["name"]),
            wanted=int(value["wanted"]),
            ready=int(value["ready"]),
            starting=int(value["starting"]),
            draining=int(value["draining"]),
            minimum=bounds.get("min"),
            maximum=bounds.get("max"),
            reason=value.get("reason"),
        )

    @property
    def is_adaptive(self) -> bool:
        """Whether the controller chooses the size."""
        return self.maximum is not None


class Node(NamedTuple):
    """A scheduler or worker: its name, group, state and, once known, address."""

    name: str
    group: str
    role: str
    state: str
    address: str | None = None

    @property
    def is_worker(self) -> bool:
        """Whether it is a worker."""
        return self.role != "scheduler"


class View(NamedTuple):
    """A cluster as its controller sees it."""

    name: str
    uid: str
    phase: str
    generation: int
    endpoint: str | None
    dashboard: str | None
    client: Mapping[str, str] | None
    groups: tuple[Group, ...] = ()
    nodes: tuple[Node, ...] = ()
    conditions: tuple[Mapping[str, Any], ...] = ()
    namespace: str | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> View:
        """Read the controller's form."""
        return cls(
            name=str(value["name"]),
            uid=str(value["uid"]),
            phase=str(value["phase"]),
            generation=int(value["generation"]),
            endpoint=value.get("endpoint"),
            dashboard=value.get("dashboard"),
            client=value.get("client"),
            groups=tuple(Group.read(group) for group in value.get("groups", ())),
            nodes=tuple(
                Node(
                    name=str(node["name"]),
                    group=str(node["group"]),
                    role=str(node["role"]).lower(),
                    state=str(node["state"]),
                    address=node.get("address"),
                )
                for node in value.get("nodes", ())
            ),
            conditions=tuple(value.get("conditions", ())),
            namespace=((value.get("context") or {}).get("kubernetes") or {}).get("namespace"),
        )

    @property
    def planned(self) -> set[str]:
        """Names of the workers that there should be."""
        return {node.name for node in self.nodes if node.is_worker and node.state in _WANTED}

    @property
    def made(self) -> set[str]:
        """Names of the workers that the provider has."""
        return {node.name for node in self.nodes if node.is_worker and node.state in _MADE}

    @property
    def serving(self) -> frozenset[tuple[str, str | None, str]]:
        """Who takes work: changes with it call for a fresh look at the scheduler."""
        return frozenset((node.name, node.address, node.state) for node in self.nodes)

    def newer(self, other: View) -> View:
        """Of two views the one that knows more of what is wanted; `other` if they know the same."""
        return self if self.generation > other.generation else other

    def summary(self) -> str:
        """Say how far it is, in one line."""
        groups = ", ".join(
            f"{'workers' if len(self.groups) == 1 else group.name} {group.ready} of {group.wanted} ready"
            + (f", {group.draining} draining" if group.draining else "")
            for group in self.groups
        )
        return f"{self.phase}: {groups}" if groups else self.phase
