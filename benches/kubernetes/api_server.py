"""The API server, as all sides of a comparison are measured by it: requests, and the pods it tells of."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

AGENT = "crewcall-bench"
"""Our own calls, which are nobody's cost."""

Object = dict[str, Any]


class Refused(RuntimeError):
    """The API server answered with an error."""


class ApiServer:
    """What a kubeconfig leads to.

    Args:
        kubeconfig: Its path; the current context counts.
        kubectl: Reads it.
    """

    def __init__(self, kubeconfig: str, kubectl: str) -> None:
        self.kubeconfig = kubeconfig
        self.kubectl = kubectl
        view = ["config", "view", "--raw", "--minify", "--flatten", "--output=json"]
        shown = subprocess.run(
            [kubectl, f"--kubeconfig={kubeconfig}", *view], capture_output=True, check=True
        )
        config = json.loads(shown.stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.address = urlsplit(cluster["server"]).netloc
        self.headers = {"Content-Type": "application/json", "User-Agent": AGENT}
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.context = ssl.create_default_context(cadata=authority)
        if "client-certificate-data" in user:
            with tempfile.TemporaryDirectory() as folder:
                pair = Path(folder, "pair.pem")
                parts = (user["client-certificate-data"], user["client-key-data"])
                pair.write_bytes(b"\n".join(base64.b64decode(part) for part in parts))
                self.context.load_cert_chain(pair)

    def connect(self, timeout: float = 60.0) -> Connection:
        """Return a connection that is kept."""
        return Connection(self, timeout)

    def call(self, method: str, path: str, body: Object | None = None) -> Object:
        """Make one call on a connection of its own."""
        return self.connect().call(method, path, body)

    def apply(self, path: str) -> None:
        """Apply manifests with kubectl."""
        command = [
            self.kubectl,
            f"--kubeconfig={self.kubeconfig}",
            "apply",
            "--server-side",
            "--filename",
            path,
        ]
        subprocess.run(command, check=True, capture_output=True)


class Connection:
    """A kept connection.

    Args:
        server: Where to.
        timeout: Seconds without a byte.
    """

    def __init__(self, server: ApiServer, timeout: float) -> None:
        self.server = server
        self.http = http.client.HTTPSConnection(server.address, context=server.context, timeout=timeout)

    def call(self, method: str, path: str, body: Object | None = None) -> Object:
        """Make a call and return the document that answers.

        Raises:
            Refused: It was an error.
        """
        self.http.request(method, path, None if body is None else json.dumps(body), self.server.headers)
        reply = self.http.getresponse()
        text = reply.read()
        if reply.status >= 400:
            raise Refused(f"{method} {path}: {reply.status}: {text[:300]!r}")
        document: Object = json.loads(text)
        return document


class Namespace:
    """A namespace of its own, gone when it is left; a context manager.

    Args:
        server: Where.
    """

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.name = f"bench-{os.getpid()}-{time.monotonic_ns() % 10**9}"
        self.path = f"/api/v1/namespaces/{self.name}"

    def __enter__(self) -> Namespace:
        """Make it, with the account that pods need."""
        self.server.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.name}})
        connection = self.server.connect()
        end = time.monotonic() + 30
        while True:
            try:
                connection.call("GET", f"{self.path}/serviceaccounts/default")
                return self
            except Refused:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete it, without waiting for its end."""
        self.server.call("DELETE", self.path)

    def delete_pods(self) -> None:
        """Delete all pods at once, and wait until none is left."""
        now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        connection = self.server.connect(timeout=120.0)
        connection.call("DELETE", f"{self.path}/pods", now)
        end = time.monotonic() + 120
        while connection.call("GET", f"{self.path}/pods?limit=1")["items"]:
            if time.monotonic() > end:
                raise TimeoutError(f"pods of {self.name} are still there after 120 s")
            time.sleep(0.1)


class PodWatch:
    """When pods of a namespace were made and ran, on the monotonic clock; a context manager.

    Args:
        namespace: Which.
        selector: Of labels; empty: all.
    """

    def __init__(self, namespace: Namespace, selector: str = "") -> None:
        self.namespace = namespace
        self.query = f"labelSelector={quote(selector)}" if selector else ""
        self.made: dict[str, float] = {}
        self.running: dict[str, float] = {}
        self.connection = namespace.server.connect(timeout=600.0)
        self.changed = threading.Condition()
        self.ended = ""

    def __enter__(self) -> PodWatch:
        """Begin to watch."""
        listed = self.connection.call("GET", f"{self.namespace.path}/pods?limit=1&{self.query}")
        version = listed["metadata"]["resourceVersion"]
        path = f"{self.namespace.path}/pods?watch=1&resourceVersion={version}&{self.query}"
        self.connection.http.request("GET", path, None, self.namespace.server.headers)
        self.stream = self.connection.http.getresponse()
        threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the watch; its thread ends with the connection."""
        if self.connection.http.sock is not None:
            self.connection.http.sock.close()

    def _follow(self) -> None:
        try:
            for line in self.stream:
                now, event = time.monotonic(), json.loads(line)
                name = event["object"]["metadata"]["name"]
                with self.changed:
                    self.made.setdefault(name, now)
                    if event["object"].get("status", {}).get("phase") == "Running":
                        self.running.setdefault(name, now)
                    self.changed.notify_all()
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            reason = "the API server ended it"
        with self.changed:
            self.ended = reason
            self.changed.notify_all()

    def wait(self, what: str, times: dict[str, float], count: int, bound: float) -> list[float]:
        """Return the times of the first `count`, in order, once there are so many.

        Raises:
            TimeoutError: There were not within `bound` seconds, or the watch ended.
        """
        with self.changed:
            self.changed.wait_for(lambda: len(times) >= count or self.ended, bound)
            if len(times) < count:
                end = f"; the watch ended: {self.ended}" if self.ended else ""
                raise TimeoutError(f"{len(times)} of {count} pods {what} within {bound:.0f} s{end}")
            return sorted(times.values())[:count]


def rate(times: list[float]) -> float:
    """Return events per second from the first to the last of `times`."""
    return (len(times) - 1) / (times[-1] - times[0])


def _resource(event: Object) -> str:
    reference = event["objectRef"]
    return "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))


def calls_in(namespace: str, since: float) -> Counter[str]:
    """Return the calls that others than this program made in a namespace since a time of the wall clock.

    Counted by verb and resource. A port-forward is a "get" of its own resource.

    Raises:
        KeyError: CREWCALL_TEST_AUDIT_LOG is not set.
    """
    seen: dict[str, str] = {}
    with open(os.environ["CREWCALL_TEST_AUDIT_LOG"]) as lines:
        for line in lines:
            event = json.loads(line)
            received = event["requestReceivedTimestamp"]
            if event.get("objectRef", {}).get("namespace") != namespace or AGENT in event.get(
                "userAgent", ""
            ):
                continue
            if received >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)):
                seen[event["auditID"]] = f"{event['verb']} {_resource(event)}"
    return Counter(seen.values())
