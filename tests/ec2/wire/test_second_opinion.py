"""The same calls on moto: what it answers with, the double answers with too."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import client

USER_DATA = "#!/bin/sh\ntrue\n"


def shape(value: Any, prefix: str = "") -> set[tuple[str, str]]:
    """The paths of a reply, each with the type of what is there."""
    if isinstance(value, dict):
        return {pair for key, below in value.items() for pair in shape(below, f"{prefix}.{key}")}
    if isinstance(value, list):
        return {pair for below in value for pair in shape(below, f"{prefix}[]")}
    return {(prefix, type(value).__name__)}


class Recorder:
    """Makes calls, and keeps the shapes of their replies or the codes of their errors."""

    def __init__(self, url: str) -> None:
        self.ec2 = client("ec2", url)
        self.ssm = client("ssm", url)
        self.sts = client("sts", url)
        self.seen: dict[str, Any] = {}

    def call(self, service: Any, name: str, label: str = "", **given: Any) -> Any:
        """One call; its reply, or nothing after an error."""
        label = f"{name} {label}".strip()
        try:
            reply = getattr(service, name)(**given)
        except ClientError as error:
            self.seen[label] = error.response["Error"]["Code"]
            return None
        reply.pop("ResponseMetadata")
        self.seen[label] = shape(reply)
        return reply


def story(url: str) -> dict[str, Any]:
    """What a launcher of clusters does."""
    r = Recorder(url)
    ec2 = r.ec2
    images = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"]
    image = images[0]["ImageId"]
    subnet = r.call(ec2, "describe_subnets")["Subnets"][0]["SubnetId"]
    vpc = r.call(ec2, "describe_vpcs")["Vpcs"][0]["VpcId"]
    r.call(ec2, "describe_availability_zones")
    r.call(ec2, "describe_instance_types", InstanceTypes=["m5.large"])
    r.call(
        ec2, "describe_instance_type_offerings", Filters=[{"Name": "instance-type", "Values": ["m5.large"]}]
    )
    tags = [{"Key": "crewcall.dev/cluster", "Value": "demo"}]
    specification = [{"ResourceType": "security-group", "Tags": tags}]
    group = r.call(
        ec2,
        "create_security_group",
        GroupName="g",
        Description="d",
        VpcId=vpc,
        TagSpecifications=specification,
    )["GroupId"]
    r.call(ec2, "create_security_group", "again", GroupName="g", Description="d", VpcId=vpc)
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 8786,
        "ToPort": 8786,
        "IpRanges": [{"CidrIp": "192.0.2.1/32"}],
    }
    r.call(ec2, "authorize_security_group_ingress", GroupId=group, IpPermissions=[permission])
    r.call(ec2, "authorize_security_group_ingress", "again", GroupId=group, IpPermissions=[permission])
    r.call(ec2, "describe_security_groups", GroupIds=[group])
    data = {"ImageId": image, "InstanceType": "m5.large"}
    template = r.call(ec2, "create_launch_template", LaunchTemplateName="t", LaunchTemplateData=data)
    r.call(ec2, "create_launch_template", "again", LaunchTemplateName="t", LaunchTemplateData=data)
    template_id = template["LaunchTemplate"]["LaunchTemplateId"]
    r.call(ec2, "describe_launch_templates", LaunchTemplateIds=[template_id])
    r.call(ec2, "describe_launch_template_versions", LaunchTemplateId=template_id)
    kinds = ("instance", "volume")
    launch = {
        "ImageId": image,
        "InstanceType": "m5.large",
        "MinCount": 2,
        "MaxCount": 2,
        "SubnetId": subnet,
        "SecurityGroupIds": [group],
        "UserData": USER_DATA,
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    }
    ids = [i["InstanceId"] for i in r.call(ec2, "run_instances", **launch)["Instances"]]
    r.call(ec2, "run_instances", "dry", **launch, DryRun=True)
    r.call(ec2, "run_instances", "no such type", **launch | {"InstanceType": "m5.none"})
    r.call(ec2, "run_instances", "no such subnet", **launch | {"SubnetId": "subnet-0000000000000000a"})
    r.call(ec2, "describe_instances", InstanceIds=ids)
    r.call(ec2, "describe_instances", "of none", InstanceIds=["i-00000000000000001"])
    r.call(ec2, "describe_volumes", Filters=[{"Name": "attachment.instance-id", "Values": ids}])
    r.call(ec2, "describe_network_interfaces", Filters=[{"Name": "attachment.instance-id", "Values": ids}])
    r.call(ec2, "create_tags", Resources=ids, Tags=[{"Key": "expires-at", "Value": "never"}])
    r.call(ec2, "delete_tags", Resources=ids, Tags=[{"Key": "expires-at"}])
    r.call(ec2, "get_console_output", InstanceId=ids[0])
    r.call(ec2, "describe_instance_attribute", InstanceId=ids[0], Attribute="userData")
    r.call(ec2, "delete_security_group", "in use", GroupId=group)
    r.call(ec2, "terminate_instances", InstanceIds=ids)
    r.call(ec2, "terminate_instances", "of none", InstanceIds=["i-00000000000000001"])
    specification = {"LaunchTemplateId": template_id, "Version": "$Latest"}
    fleet = r.call(
        ec2,
        "create_fleet",
        Type="instant",
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": specification}],
        TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        TagSpecifications=[{"ResourceType": "fleet", "Tags": tags}],
    )
    about = {"resource-type": "fleet", "key": "crewcall.dev/cluster", "value": "demo"}
    filters = [{"Name": name, "Values": [value]} for name, value in about.items()]
    r.call(ec2, "describe_tags", Filters=filters)
    r.call(ec2, "delete_fleets", FleetIds=[fleet["FleetId"]], TerminateInstances=True)
    r.call(ec2, "delete_launch_template", LaunchTemplateId=template_id)
    r.call(ec2, "delete_launch_template", "again", LaunchTemplateId=template_id)
    name = {"Name": "/crewcall/a"}
    r.call(r.ssm, "put_parameter", **name, Value="v", Type="SecureString", Tags=tags)
    r.call(r.ssm, "put_parameter", "again", **name, Value="v", Type="SecureString")
    r.call(r.ssm, "get_parameter", **name, WithDecryption=True)
    r.call(r.ssm, "get_parameters_by_path", Path="/crewcall")
    r.call(r.ssm, "describe_parameters")
    r.call(r.ssm, "delete_parameters", Names=["/crewcall/a", "/crewcall/b"])
    r.call(r.ssm, "delete_parameter", **name)
    r.call(r.sts, "get_caller_identity")
    return r.seen


# Where EC2's own documentation has it as the double does.
BETTER = {
    "run_instances no such type": "moto launches what there is not",
    "delete_security_group in use": "moto removes what is used",
    "delete_launch_template again": "moto speaks of a name where an id was given",
    "describe_instance_types": "the whole of what there is to know of a type",
}
# What moto has at the end of a path, and a launcher of clusters has no use for, or EC2 has later.
BESIDE = (
    ".Association",  # Public addresses come when an instance runs.
    ".PublicIpAddress",
    ".CpuOptions",
    ".KeyId",
    ".Platform",  # Its first image is one of Windows.
    ".PrivateDnsNameOptionsOnLaunch",
    ".RequesterId",
    ".SriovNetSupport",
    ".StateReason",
)


@pytest.fixture(scope="module")
def opinions(moto: str) -> dict[str, Any]:
    """What moto answers."""
    return story(moto)


def test_errors_and_fields_are_those_of_moto(url: str, opinions: dict[str, Any]) -> None:
    """Each field that moto has, of the same type, and the same codes."""
    ours = story(url)
    wrong = []
    for label, theirs in opinions.items():
        if label in BETTER:
            continue
        if isinstance(theirs, str) or isinstance(ours[label], str):
            if ours[label] != theirs:
                wrong.append(f"{label}: {ours[label]} where moto has {theirs}")
            continue
        lacking = {pair for pair in theirs - ours[label] if not any(name in pair[0] for name in BESIDE)}
        if lacking:
            wrong.append(f"{label}: lacks {sorted(lacking)}")
    assert not wrong, "\n".join(wrong)
