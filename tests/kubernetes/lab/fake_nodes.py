"""Nodes that kwok plays: pods that tolerate them become Running without a process."""

from __future__ import annotations

import sys
import time

from . import api

READY_BOUND = 60.0
"""Seconds until all are ready."""

_NAME = "kwok.x-k8s.io/node"


def have(count: int) -> None:
    """Makes fake nodes until there are `count`, removes those beyond, and waits until all are ready.

    They carry the label `type=kwok` and the taint `kwok.x-k8s.io/node=fake:NoSchedule`. Each takes 1000 pods.
    """
    names = [f"fake-{number}" for number in range(count)]
    present = {node["metadata"]["name"] for node in _nodes()}
    for name in sorted(present - set(names)):
        api.call("DELETE", f"/api/v1/nodes/{name}")
    for name in names:
        if name not in present:
            api.create("/api/v1/nodes", _node(name))
    deadline = time.monotonic() + READY_BOUND
    while (ready := sum(_is_ready(node) for node in _nodes())) < count:
        if time.monotonic() > deadline:
            sys.exit(f"error: waited {READY_BOUND:.0f} s for {count} fake nodes; {ready} are ready")
        time.sleep(0.1)


def _nodes() -> list[dict]:
    return api.call("GET", "/api/v1/nodes?labelSelector=type%3Dkwok")["items"]


def _is_ready(node: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))


def _node(name: str) -> dict:
    room = {"cpu": "256", "memory": "1Ti", "pods": "1000"}
    labels = {"type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    annotations = {_NAME: "fake", "node.alpha.kubernetes.io/ttl": "0"}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"taints": [{"key": _NAME, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }
