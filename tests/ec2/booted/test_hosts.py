"""What user data finds on an instance, and how instances end."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from conftest import IMAGE, URL, console, launch, said, states, tell, until
from distributed import Client

PRELUDE = """#!/bin/bash
exec > /dev/console 2>&1
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' http://169.254.169.254/latest/api/token)
meta() { curl -sf -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/$1"; }
"""

QUESTIONS = (
    PRELUDE
    + f"""
echo "id=$(meta meta-data/instance-id)"
echo "address=$(meta meta-data/local-ipv4)"
echo "without=$(curl -s -o /dev/null -w '%{{http_code}}' http://169.254.169.254/latest/meta-data/instance-id)"
role=$(meta meta-data/iam/security-credentials/)
echo "role=$role key=$(meta meta-data/iam/security-credentials/$role | grep -o ASIA)"
echo "echo=$(curl -s {URL}/_echo)"
asked="import distributed; print(distributed.__version__)"
echo "docker=$(docker run --rm --network host {IMAGE} python -c "$asked")"
echo "that was all"
"""
)

SCHEDULER = f"""{PRELUDE}
systemd-run docker run --rm --network host {IMAGE} dask scheduler --host $(meta meta-data/local-ipv4)
"""
WORKER = (
    PRELUDE
    + """
name=$(meta meta-data/instance-id)
systemd-run docker run --rm --network host IMAGE dask worker --no-nanny --nthreads 1 --name $name tcp://SCHEDULER:8786
""".replace("IMAGE", IMAGE)
)

SPOT = (
    PRELUDE
    + """
echo "watching"
until notice=$(meta meta-data/spot/instance-action); do sleep 0.2; done
echo "notice=$notice"
"""
)


def test_user_data_runs_and_finds_what_it_needs(ec2: Any) -> None:
    """Metadata with a token only, a role, a container runtime, the double itself."""
    (instance,) = launch(ec2, QUESTIONS)
    text = said(ec2, instance["InstanceId"], "that was all")
    found = dict(re.findall(r"(\w+)=(\S+)", text))
    assert found["id"] == instance["InstanceId"]
    assert found["address"] == found["echo"] == instance["PrivateIpAddress"]
    assert found["without"] == "401"
    assert (found["role"], found["key"], found["docker"]) == ("crewcall-worker", "ASIA", "2026.8.0")


def test_a_scheduler_and_workers_find_each_other(ec2: Any) -> None:
    """And compute for a client on this machine."""
    group = ec2.create_security_group(GroupName="cluster", Description="-")["GroupId"]
    inside = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    comm = {"IpProtocol": "tcp", "FromPort": 8786, "ToPort": 8786, "IpRanges": [{"CidrIp": "10.251.0.1/32"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[inside, comm])
    (scheduler,) = launch(ec2, SCHEDULER, SecurityGroupIds=[group])
    address = scheduler["PrivateIpAddress"]
    workers = launch(ec2, WORKER.replace("SCHEDULER", address), 2, SecurityGroupIds=[group])

    def listens() -> bool:
        try:
            socket.create_connection((address, 8786), 1).close()
        except OSError:
            return False
        return True

    until(listens, "the scheduler to listen")
    with Client(f"tcp://{address}:8786") as client:
        client.wait_for_workers(2, timeout=90)
        names = {worker["name"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}
        assert names == {worker["InstanceId"] for worker in workers}
        assert sum(client.gather(client.map(lambda x: x * x, range(10)))) == 285


def test_a_spot_notice_is_seen_inside_before_the_end(ec2: Any) -> None:
    """Then the machine is taken."""
    (instance,) = launch(ec2, SPOT, InstanceMarketOptions={"MarketType": "spot"})
    name = instance["InstanceId"]
    said(ec2, name, "watching")
    tell("interrupt", instance=name, seconds=6)
    assert '"action":"terminate"' in said(ec2, name, "notice=")
    until(lambda: states(ec2)[name] == "terminated", "the machine to be taken")


@pytest.mark.parametrize(("behaviour", "state"), [("terminate", "terminated"), ("stop", "stopped")])
def test_a_power_off_from_inside_ends_as_was_asked(ec2: Any, behaviour: str, state: str) -> None:
    """And a stopped machine starts with the disk that it had."""
    (instance,) = launch(ec2, f"{PRELUDE}echo off\npoweroff\n", InstanceInitiatedShutdownBehavior=behaviour)
    name = instance["InstanceId"]
    until(lambda: states(ec2)[name] == state, f"the instance to be {state}")
    described = ec2.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"][0]
    assert described["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert "off" in console(ec2, name)
    assert not Path("/run/netns", name).exists()


def test_security_groups_keep_others_out(ec2: Any) -> None:
    """Until a rule lets them in."""
    group = ec2.create_security_group(GroupName="closed", Description="-")["GroupId"]
    serve = f"{PRELUDE}systemd-run python3 -m http.server 8000\necho serves\n"
    (instance,) = launch(ec2, serve, SecurityGroupIds=[group])
    said(ec2, instance["InstanceId"], "serves")

    def reachable() -> bool:
        try:
            socket.create_connection((instance["PrivateIpAddress"], 8000), 1).close()
        except OSError:
            return False
        return True

    assert not reachable()
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=8000, ToPort=8000, CidrIp="10.251.0.1/32"
    )
    until(reachable, "the port to be open")


def test_a_machine_that_dies_or_never_boots_is_seen_as_ec2_shows_it(ec2: Any) -> None:
    """The dead one terminated, the other one running."""
    tell("broken-boots", times=1)
    (broken,) = launch(ec2, QUESTIONS)
    (dies,) = launch(ec2, f"{PRELUDE}echo lives\n")
    said(ec2, dies["InstanceId"], "lives")
    assert states(ec2)[broken["InstanceId"]] == "running"
    assert "Kernel panic" in console(ec2, broken["InstanceId"])
    tell("kill-host", instance=dies["InstanceId"])
    until(lambda: states(ec2)[dies["InstanceId"]] == "terminated", "the dead machine to be terminated")
