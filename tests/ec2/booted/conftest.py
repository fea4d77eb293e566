"""The double with hosts that really boot, for all tests of this directory."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

RUN = Path(__file__).resolve().parent.parent / "run"
URL = "http://10.251.0.1:5055"
AMI = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
IMAGE = "ghcr.io/dask/dask:2026.8.0"


@pytest.fixture(scope="session", autouse=True)
def lab() -> Iterator[None]:
    """Up for the tests, and down to nothing after them."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("hosts that boot need root, and CI must run them")
        pytest.skip("SKIPPED: hosts that boot need root")
    subprocess.run([RUN, "up"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        # Fails when anything is left.
        subprocess.run([RUN, "down"], check=True)
    assert subprocess.run([RUN, "status"], capture_output=True, text=True).stdout == "down\n"


@pytest.fixture
def ec2() -> Iterator[Any]:
    """A client; what a test has launched ends with it."""
    client = boto3.client(
        "ec2", "us-east-1", endpoint_url=URL, aws_access_key_id="AKIATEST", aws_secret_access_key="test"
    )
    yield client
    found = [i["InstanceId"] for r in client.describe_instances()["Reservations"] for i in r["Instances"]]
    if found:
        client.terminate_instances(InstanceIds=found)
        until(lambda: set(states(client).values()) <= {"terminated"}, "all instances to end")


def launch(ec2: Any, user_data: str, count: int = 1, **more: Any) -> list[dict[str, Any]]:
    """Launches instances as the provider does."""
    given = {
        "ImageId": AMI,
        "InstanceType": "m5.large",
        "MinCount": count,
        "MaxCount": count,
        "UserData": user_data,
        "IamInstanceProfile": {"Name": "crewcall-worker"},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required"},
    }
    return ec2.run_instances(**given | more)["Instances"]


def states(ec2: Any) -> dict[str, str]:
    """Instances and their states."""
    found = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    return {instance["InstanceId"]: instance["State"]["Name"] for instance in found}


def console(ec2: Any, instance: str) -> str:
    """What an instance's console says by now."""
    return ec2.get_console_output(InstanceId=instance).get("Output", "").replace("\r", "")


def until(true: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """Waits for something, and says what when it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)
    return found


def said(ec2: Any, instance: str, words: str) -> str:
    """Waits for words on a console, which the failure shows."""
    deadline = time.monotonic() + 90
    while words not in (text := console(ec2, instance)):
        assert time.monotonic() < deadline, f"waited for {words!r}; the console says:\n{text[-3000:]}"
        time.sleep(0.2)
    return text


def tell(verb: str, **body: Any) -> None:
    """Tells the double something."""
    request = urllib.request.Request(f"{URL}/_control/{verb}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5):
        pass
