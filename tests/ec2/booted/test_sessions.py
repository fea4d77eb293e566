"""Sessions of Session Manager with machines that boot: to a port that their groups need not open."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import RUN, URL, launch, said, tell, until

sys.path.insert(0, str(RUN.parent))

from lab import sessions

AGENTS = ["ssm:UpdateInstanceInformation", "ssmmessages:*"]


def test_a_session_reaches_a_port_that_no_group_opens(ec2: Any, tmp_path: Path) -> None:
    """When the machine has ended nothing comes any more, and its namespace is gone."""
    tell("profile", name="with-agent", policy={"allow": AGENTS})
    ssm = boto3.client(
        "ssm", "us-east-1", endpoint_url=URL, aws_access_key_id="AKIATEST", aws_secret_access_key="test"
    )
    group = ec2.create_security_group(GroupName="nobody", Description="-")["GroupId"]
    serve = f"#!/bin/bash\nexec >/dev/console 2>&1\npython3 -c '{sessions.SERVER}' 8786\n"
    (instance,) = launch(ec2, serve, SecurityGroupIds=[group], IamInstanceProfile={"Name": "with-agent"})
    name = instance["InstanceId"]
    said(ec2, name, "8786")
    with sessions.Through(ssm, URL, name, 8786, tmp_path) as through:
        assert through.get(10_000_000) == 10_000_000
        assert through.put(100_000) == 100_000
        ec2.terminate_instances(InstanceIds=[name])
        until(lambda: not Path("/run/netns", name).exists(), "the namespace to be gone")
        # The session looks for its machine a few times a second.
        time.sleep(0.5)
        with pytest.raises(TimeoutError):
            through.get(50_000, bound=3)
        ssm.terminate_session(SessionId=through.id)
        assert through.process.wait(30) == 0
    ec2.delete_security_group(GroupId=group)
