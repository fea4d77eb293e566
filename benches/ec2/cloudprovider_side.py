"""dask-cloudprovider's side, run by an interpreter that has it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from account import MACHINE_IMAGE, Account, text
from crewcall_side import CALLER
from installation import plain_environment

Parameters = dict[str, "str | int"]

GROUP = "dask-default"
"""The security group that it takes; its own way to make one fails in 2025.9.0."""


class CloudProvider:
    """A program that has an EC2Cluster; a context manager.

    Args:
        python: An interpreter with dask-cloudprovider.
        account: Where to.
        workers: How many.
        image: Of scheduler and workers.
        imagined: Whether instances only pretend to run.
    """

    def __init__(self, python: str, account: Account, workers: int, image: str, *, imagined: bool) -> None:
        self.python = python
        self.account = account
        self.options = {
            "workers": workers,
            "image": image,
            "machine_image": MACHINE_IMAGE,
            "imagined": imagined,
        }

    def __enter__(self) -> CloudProvider:
        """Begin."""
        make_group(self.account)
        self.account.forget_calls()
        kept = plain_environment(self.python)
        environment = {name: value for name, value in kept.items() if not name.startswith("AWS_")}
        self.log = tempfile.TemporaryFile("w+")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [self.python, str(Path(__file__).with_name("peer.py")), json.dumps(self.options)],
            env=environment | self.account.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, in whatever state it is, with its instances."""
        self.process.kill()
        self.process.communicate()
        self.log.close()
        if left := self.account.instances("pending", "running"):
            self.account.terminate(left)

    def up(self) -> tuple[float, float]:
        """Wait until it is up; return the seconds since its call, and since its process was made.

        Raises:
            RuntimeError: It ended.
        """
        inside = self._said("up")
        return inside, time.monotonic() - self.begun

    def down(self) -> float:
        """Have it close its cluster and return the seconds that that took.

        Raises:
            RuntimeError: It ended.
        """
        if self.process.stdin is not None:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        return self._said("down")

    def _said(self, what: str) -> float:
        line = self.process.stdout.readline() if self.process.stdout is not None else ""
        while line and not line.startswith("{"):
            line = self.process.stdout.readline() if self.process.stdout is not None else ""
        if not line:
            self.log.seek(0)
            print(self.log.read()[-3000:], file=sys.stderr, flush=True)
            raise RuntimeError("dask-cloudprovider ended early; what it said is above")
        said: dict[str, Any] = json.loads(line)
        return float(said[what])


def make_group(account: Account) -> None:
    """Make its security group, if it is not there: its members, and this machine to its ports."""
    named: Parameters = {"Filter.1.Name": "group-name", "Filter.1.Value.1": GROUP}
    if text(account.query("DescribeSecurityGroups", **named), "groupId"):
        return
    made = account.query("CreateSecurityGroup", GroupName=GROUP, GroupDescription="of dask-cloudprovider")
    group = text(made, "groupId")
    members: Parameters = {"IpPermissions.1.IpProtocol": "-1", "IpPermissions.1.Groups.1.GroupId": group}
    clients: Parameters = {
        "IpPermissions.2.IpProtocol": "tcp",
        "IpPermissions.2.FromPort": 8786,
        "IpPermissions.2.ToPort": 8787,
        "IpPermissions.2.IpRanges.1.CidrIp": CALLER,
    }
    account.query("AuthorizeSecurityGroupIngress", GroupId=group, **members, **clients)


def remove_group(account: Account) -> None:
    """Remove its security group."""
    account.query("DeleteSecurityGroup", GroupName=GROUP)
