"""What boto3 makes of the double's answers."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from conftest import client

AMI = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"


def tell(url: str, verb: str, **body: Any) -> None:
    """Tells the double something."""
    request = urllib.request.Request(f"{url}/_control/{verb}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5):
        pass


def ask(url: str, verb: str) -> Any:
    """Asks the double something."""
    with urllib.request.urlopen(f"{url}/_control/{verb}", timeout=5) as answer:
        return json.load(answer)


def run(ec2: Any, count: int = 1, **more: Any) -> list[str]:
    """Launches instances, and returns their ids."""
    given = {"ImageId": AMI, "InstanceType": "m5.large", "MinCount": count, "MaxCount": count} | more
    return [instance["InstanceId"] for instance in ec2.run_instances(**given)["Instances"]]


def code(raised: pytest.ExceptionInfo[ClientError]) -> str:
    """The code of an error."""
    return raised.value.response["Error"]["Code"]


def states(ec2: Any, **more: Any) -> dict[str, str]:
    """Instances and their states."""
    pages = ec2.get_paginator("describe_instances").paginate(**more)
    found = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
    return {instance["InstanceId"]: instance["State"]["Name"] for instance in found}


def test_instances_live_and_are_tagged_in_the_creating_call(url: str, ec2: Any) -> None:
    """From launch to vanishing."""
    tags = [{"Key": "crewcall.dev/cluster", "Value": "demo & co"}]
    kinds = ("instance", "volume", "network-interface")
    ids = run(ec2, 2, TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in kinds])
    found = ec2.describe_instances(Filters=[{"Name": "tag:crewcall.dev/cluster", "Values": ["demo*"]}])
    assert {i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]} == set(ids)
    assert all(volume["Tags"] == tags for volume in ec2.describe_volumes()["Volumes"])
    assert all(eni["TagSet"] == tags for eni in ec2.describe_network_interfaces()["NetworkInterfaces"])
    tell(url, "advance", seconds=5)
    assert set(states(ec2).values()) == {"running"}
    ec2.terminate_instances(InstanceIds=ids)
    assert set(states(ec2).values()) == {"shutting-down"}
    tell(url, "advance", seconds=5)
    assert set(states(ec2).values()) == {"terminated"}
    assert ask(url, "leftovers") == []
    tell(url, "advance", seconds=3600)
    assert states(ec2) == {}


def test_a_token_makes_instances_once(ec2: Any) -> None:
    """And is refused for anything else."""
    first = run(ec2, 3, ClientToken="one")
    assert run(ec2, 3, ClientToken="one") == first
    with pytest.raises(ClientError) as raised:
        run(ec2, 2, ClientToken="one")
    assert code(raised) == "IdempotentParameterMismatch"
    assert len(states(ec2)) == 3


def test_a_lost_reply_has_its_effect(url: str, ec2: Any) -> None:
    """And the same call again gives the same instances."""
    tell(url, "mishap", action="RunInstances", fault="lose-reply")
    with pytest.raises(ConnectionClosedError):
        run(ec2, 2, ClientToken="one")
    assert set(run(ec2, 2, ClientToken="one")) == set(states(ec2))
    tell(url, "mishap", action="RunInstances", fault="lose-request")
    with pytest.raises(ConnectionClosedError):
        run(ec2, 1)
    assert len(states(ec2)) == 2


def test_capacity_and_quotas_fill_a_launch_in_part(url: str, ec2: Any) -> None:
    """Down to the least count."""
    tell(url, "capacity", instance_type="m5.large", zone="*", room=3)
    assert (
        len(ec2.run_instances(ImageId=AMI, InstanceType="m5.large", MinCount=1, MaxCount=9)["Instances"]) == 3
    )
    with pytest.raises(ClientError) as raised:
        run(ec2)
    assert code(raised) == "InsufficientInstanceCapacity"
    tell(url, "settings", on_demand_vcpus=8)
    with pytest.raises(ClientError) as raised:
        run(ec2, 2, InstanceType="c5.large")
    assert code(raised) == "VcpuLimitExceeded"


def test_an_instant_fleet_takes_what_there_is(url: str, ec2: Any) -> None:
    """Of several types and zones, and says what there was not."""
    data = {"ImageId": AMI, "InstanceType": "m5.large", "UserData": "IyEvYmluL3NoCg=="}
    template = ec2.create_launch_template(LaunchTemplateName="t", LaunchTemplateData=data)["LaunchTemplate"]
    tell(url, "capacity", instance_type="m5.large", zone="*", market="spot", room=1)
    overrides = [{"InstanceType": kind} for kind in ("m5.large", "m5.xlarge")]
    specification = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}
    request = {
        "Type": "instant",
        "ClientToken": "fleet",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": specification, "Overrides": overrides}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 3, "DefaultTargetCapacityType": "spot"},
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": "a", "Value": "b"}]} for kind in ("instance", "fleet")
        ],
    }
    fleet = ec2.create_fleet(**request)
    assert {found["InstanceType"]: len(found["InstanceIds"]) for found in fleet["Instances"]} == {
        "m5.large": 1,
        "m5.xlarge": 2,
    }
    assert ec2.create_fleet(**request)["FleetId"] == fleet["FleetId"]
    assert len(states(ec2, Filters=[{"Name": "tag:a", "Values": ["b"]}])) == 3
    assert ec2.describe_fleets(FleetIds=[fleet["FleetId"]])["Fleets"][0]["FleetState"] == "active"
    about = {"resource-type": "fleet", "key": "a", "value": "b"}
    filters = [{"Name": name, "Values": [value]} for name, value in about.items()]
    assert [tag["ResourceId"] for tag in ec2.describe_tags(Filters=filters)["Tags"]] == [fleet["FleetId"]]
    gone = ec2.delete_fleets(FleetIds=[fleet["FleetId"]], TerminateInstances=True)
    assert gone["SuccessfulFleetDeletions"][0]["CurrentFleetState"] == "deleted_terminating"
    assert set(states(ec2).values()) == {"shutting-down"}


def test_pages_hold_no_more_than_they_may(url: str, ec2: Any) -> None:
    """And together everything."""
    ids = run(ec2, 23)
    tell(url, "settings", page=5)
    assert set(states(ec2)) == set(ids)
    assert ask(url, "calls")["DescribeInstances"] == 5


def test_what_was_made_is_seen_late(url: str, ec2: Any) -> None:
    """As on EC2."""
    tell(url, "settings", visibility=30)
    (instance,) = run(ec2)
    assert states(ec2) == {}
    with pytest.raises(ClientError) as raised:
        ec2.describe_instances(InstanceIds=[instance])
    assert code(raised) == "InvalidInstanceID.NotFound"
    tell(url, "advance", seconds=31)
    assert list(states(ec2)) == [instance]


def test_dry_runs_tell_what_is_permitted(url: str, ec2: Any) -> None:
    """Without doing it."""
    with pytest.raises(ClientError) as raised:
        run(ec2, DryRun=True)
    assert code(raised) == "DryRunOperation"
    tell(url, "policy", allow=["ec2:Describe*"])
    with pytest.raises(ClientError) as raised:
        run(ec2, DryRun=True)
    assert code(raised) == "UnauthorizedOperation"
    assert states(ec2) == {}


def test_too_many_calls_are_refused(url: str, ec2: Any) -> None:
    """Until some time has passed."""
    tell(url, "throttle", action="Describe*", burst=2, per_second=0.5)
    states(ec2), states(ec2)
    with pytest.raises(ClientError) as raised:
        states(ec2)
    assert code(raised) == "RequestLimitExceeded"
    tell(url, "advance", seconds=3)
    states(ec2)


def test_expired_credentials_are_refused(url: str) -> None:
    """By each service in its own words."""
    tell(url, "credentials", access_key="ASIAX", session_token="t", expires_in=10)
    given = {"aws_access_key_id": "ASIAX", "aws_session_token": "t"}
    assert client("sts", url, **given).get_caller_identity()["Account"] == "123456789012"
    tell(url, "advance", seconds=11)
    for service, call, expected in (
        ("ec2", "describe_instances", "RequestExpired"),
        ("ssm", "describe_parameters", "ExpiredTokenException"),
        ("sts", "get_caller_identity", "ExpiredToken"),
    ):
        with pytest.raises(ClientError) as raised:
            getattr(client(service, url, **given), call)()
        assert code(raised) == expected


def test_a_group_goes_last(url: str, ec2: Any) -> None:
    """Rules come and go; what is used stays."""
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    with pytest.raises(ClientError) as raised:
        ec2.create_security_group(GroupName="g", Description="d")
    assert code(raised) == "InvalidGroup.Duplicate"
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 8786,
        "ToPort": 8786,
        "IpRanges": [{"CidrIp": "192.0.2.1/32"}],
    }
    members = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission, members])
    with pytest.raises(ClientError) as raised:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert code(raised) == "InvalidPermission.Duplicate"
    described = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert [rule["IpProtocol"] for rule in described["IpPermissions"]] == ["tcp", "-1"]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])
    ids = run(ec2, 1, SecurityGroupIds=[group])
    with pytest.raises(ClientError) as raised:
        ec2.delete_security_group(GroupId=group)
    assert code(raised) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=ids)
    tell(url, "advance", seconds=5)
    ec2.delete_security_group(GroupId=group)
    assert ask(url, "leftovers") == []


def test_parameters_are_kept_and_found_by_path(ssm: Any) -> None:
    """Secure ones in the clear only to those who ask for it."""
    for name in ("a", "b", "sub/c"):
        ssm.put_parameter(Name=f"/crewcall/{name}", Value=name, Type="SecureString")
    assert ssm.get_parameter(Name="/crewcall/a", WithDecryption=True)["Parameter"]["Value"] == "a"
    assert ssm.get_parameter(Name="/crewcall/a")["Parameter"]["Value"] != "a"
    with pytest.raises(ClientError) as raised:
        ssm.put_parameter(Name="/crewcall/a", Value="x", Type="SecureString")
    assert code(raised) == "ParameterAlreadyExists"
    assert len(ssm.get_parameters_by_path(Path="/crewcall")["Parameters"]) == 2
    assert len(ssm.get_parameters_by_path(Path="/crewcall", Recursive=True)["Parameters"]) == 3
    gone = ssm.delete_parameters(Names=["/crewcall/a", "/crewcall/none"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["/crewcall/a"], ["/crewcall/none"])
    with pytest.raises(ClientError) as raised:
        ssm.get_parameter(Name="/crewcall/a")
    assert code(raised) == "ParameterNotFound"
    name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"].startswith("ami-")


def test_a_spot_instance_is_taken_when_its_notice_ends(url: str, ec2: Any) -> None:
    """With the reason that EC2 gives."""
    (instance,) = run(ec2, 1, InstanceMarketOptions={"MarketType": "spot"})
    tell(url, "interrupt", instance=instance)
    tell(url, "advance", seconds=119)
    assert states(ec2) == {instance: "running"}
    tell(url, "advance", seconds=4)
    time.sleep(0)
    described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert described["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert described["InstanceLifecycle"] == "spot"
