"""What a person wants to see: of the cluster, and of a namespace in which a test failed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from datetime import datetime

from . import configuration, lifecycle, machine, settings, tools

LOG_LINES = 40


def status() -> int:
    """Prints what runs; 0 if the node is ready, else 1."""
    if not settings.STATE.exists():
        left = machine.leftovers()
        print("down" + (f", but left are: {', '.join(left)}" if left else ""))
        return 1
    ready = lifecycle.node_is_ready()
    restarts = settings.STATE / "restarts.json"
    print(f"server     {settings.SERVER}: node {'ready' if ready else 'not ready'}")
    print(f"kubeconfig {settings.KUBECONFIG}")
    print(f"processes  {len(machine.processes())}; logs in {settings.STATE / 'log'}")
    for name, count in (json.loads(restarts.read_text()) if restarts.exists() else {}).items():
        print(f"restarted  {name} {count} times")
    return 0 if ready else 1


def namespace(name: str) -> None:
    """Prints pods, events and logs of a namespace, in the cluster of the environment or the one here."""
    print(f"== pods of {name}")
    _kubectl("get", "pods", "-n", name, "-o", "wide")
    print(f"== objects of {name}")
    _kubectl("get", "configmaps,services,secrets,networkpolicies", "-n", name)
    print(f"== events of {name}")
    _kubectl("get", "events", "-n", name, "--sort-by=.metadata.creationTimestamp")
    for pod in _kubectl("get", "pods", "-n", name, "-o", "name", quiet=True).split():
        print(f"== log of {pod}", flush=True)
        _kubectl("logs", "-n", name, pod, "--all-containers", f"--tail={LOG_LINES}")


def calls(agent: str = "", namespace: str = "", since: float = 0.0) -> Counter[str]:
    """Counts the calls that clients made, from the audit log.

    Args:
        agent: Only of clients whose user agent contains this.
        namespace: Only of this one.
        since: Only of the last so many seconds; 0: all.

    Returns:
        How often, by what: `create pods`, `create pods/portforward: 403`. A watch counts when it begins.
    """
    counted: Counter[str] = Counter()
    seen = set()
    with open(configuration.AUDIT_LOG) as lines:
        for line in lines:
            event = json.loads(line)
            if agent not in event.get("userAgent", "") or event["auditID"] in seen:
                continue
            target = event.get("objectRef", {"resource": event["requestURI"].split("?")[0]})
            if namespace and target.get("namespace") != namespace:
                continue
            received = datetime.fromisoformat(event["requestReceivedTimestamp"].replace("Z", "+00:00"))
            if since and received.timestamp() < time.time() - since:
                continue
            seen.add(event["auditID"])
            resource = "/".join(filter(None, [target["resource"], target.get("subresource")]))
            code = event["responseStatus"]["code"]
            counted[f"{event['verb']} {resource}" + (f": {code}" if code >= 400 else "")] += 1
    return counted


def _kubectl(*arguments: str, quiet: bool = False) -> str:
    program = os.environ.get("CREWCALL_TEST_KUBECTL") or str(tools.binary("kubectl"))
    config = os.environ.get("CREWCALL_TEST_KUBECONFIG") or str(settings.KUBECONFIG)
    done = subprocess.run([program, f"--kubeconfig={config}", *arguments], capture_output=True, text=True)
    if not quiet:
        print(done.stdout + done.stderr, end="", flush=True)
    return done.stdout
