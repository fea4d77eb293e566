#!/usr/bin/env python3
"""A single-node Kubernetes for tests and for playing. A machine has one, whatever the number of checkouts.

Real: API server with RBAC, controller manager, scheduler, kubelet on containerd, service addresses, cluster
DNS, and a registry that has the Dask images. This machine reaches node, pods and services directly; nothing
inside reaches further than this machine.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from lab import access, fake_nodes, images, lifecycle, machine, pushed, report, settings, tools

Failures = (
    access.AccessError,
    images.ImageError,
    lifecycle.ClusterError,
    machine.MachineError,
    tools.ToolError,
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("build", help="install, compile and make what a cluster needs; up does it too")
    verbs.add_parser("up", help="bring the cluster up, and keep it until down")
    down = verbs.add_parser("down", help="take it away, and whatever is left of one")
    down.add_argument("--force", action="store_true", help="also while tests run on it")
    verbs.add_parser("status", help="what runs; exit code 1 unless the node is ready")
    verbs.add_parser("env", help='the variables for tests: eval "$(cluster.py env)"')
    verbs.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    run = verbs.add_parser(
        "run", help="run a command on the cluster, which is there as long as the command needs it"
    )
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    restricted = verbs.add_parser(
        "access", help="print a kubeconfig that may only do what agentless use needs"
    )
    restricted.add_argument("namespace", help="made if it is not there")
    restricted.add_argument(
        "--without", action="append", default=[], metavar="VERB/RESOURCE", help="leave a right out"
    )
    fakes = verbs.add_parser("kwok", help="have N fake nodes, on which pods only seem to run")
    fakes.add_argument("count", type=int, metavar="N")
    failure = verbs.add_parser("report", help="pods, events and logs of a namespace")
    failure.add_argument("namespace")
    push = verbs.add_parser("push", help="have the registry serve an image that was made elsewhere")
    push.add_argument("layout", type=Path, help="a directory with an image layout")
    push.add_argument("name", metavar="REPOSITORY:TAG")
    calls = verbs.add_parser("calls", help="count the calls that clients have made, by verb and resource")
    calls.add_argument("--agent", default="", metavar="TEXT", help="only of user agents that contain this")
    calls.add_argument("--namespace", default="", help="only in this one")
    calls.add_argument("--since", type=float, default=0.0, metavar="SECONDS", help="only as old as this")
    kubectl = verbs.add_parser("kubectl", help="kubectl as administrator")
    kubectl.add_argument("command", nargs=argparse.REMAINDER, metavar="...")
    return parser.parse_args()


def main() -> int:
    """Does what the command line says."""
    given = arguments()
    if given.verb == "build":
        lifecycle.prepare()
    elif given.verb == "up":
        lifecycle.up(keep=True)
        print_environment()
    elif given.verb == "down":
        lifecycle.down(force=given.force)
    elif given.verb == "status":
        return report.status()
    elif given.verb == "env":
        print_environment()
    elif given.verb == "kubeconfig":
        print(settings.KUBECONFIG)
    elif given.verb == "run":
        return lifecycle.use(given.command[1:] if given.command[:1] == ["--"] else given.command)
    elif given.verb == "access":
        print(access.kubeconfig(given.namespace, without=given.without), end="")
    elif given.verb == "kwok":
        fake_nodes.have(given.count)
    elif given.verb == "push":
        pushed.push(given.layout, given.name)
    elif given.verb == "calls":
        for what, count in report.calls(given.agent, given.namespace, given.since).most_common():
            print(f"{count:7} {what}")
    elif given.verb == "report":
        report.namespace(given.namespace)
    elif given.verb == "kubectl":
        os.execv(tools.binary("kubectl"), ["kubectl", f"--kubeconfig={settings.KUBECONFIG}", *given.command])
    return 0


def print_environment() -> None:
    """As a shell reads it."""
    for name, value in lifecycle.environment().items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    # So that a cluster brought up for one command goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        sys.exit(main())
    except Failures as error:
        sys.exit(f"error: {error}")
