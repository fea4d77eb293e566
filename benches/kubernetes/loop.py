"""A plain loop that creates pods: what the API server takes when nothing is decided."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator

from api_server import Namespace, Object

CONNECTIONS = 8

FAKE = {
    "nodeSelector": {"type": "kwok"},
    "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}],
}
"""What brings a pod to a node that kwok plays."""

SET_BY_SERVER = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "ownerReferences",
    "generation",
)


def body_like(pod: Object) -> Object:
    """Return what creates such a pod, from what the API server made of one."""
    body = copy.deepcopy(pod)
    body.pop("status", None)
    body["spec"].pop("nodeName", None)
    for field in SET_BY_SERVER:
        body["metadata"].pop(field, None)
    return body


def create(namespace: Namespace, body: Object, count: int) -> None:
    """Create `count` pods, each connection one after the other.

    Raises:
        RuntimeError: Some were refused; the first refusal is the cause.
    """
    numbers = iter(range(count))
    lock = threading.Lock()
    failures: list[BaseException] = []

    def taken() -> Iterator[int]:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            yield number

    def work() -> None:
        connection = namespace.server.connect()
        try:
            for number in taken():
                pod = copy.deepcopy(body)
                pod["metadata"]["name"] = f"loop-{number}"
                pod["metadata"]["namespace"] = namespace.name
                connection.call("POST", f"{namespace.path}/pods", pod)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"the loop ended early: {failures[0]}") from failures[0]
