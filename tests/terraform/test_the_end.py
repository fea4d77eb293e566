"""What is left when the module is destroyed. The last of the files, after all that looks at what is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import CONFIGURATIONS
from stack import Stack


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_destroy_leaves_nothing(destroyed: Callable[[str], Stack], name: str) -> None:
    one = destroyed(name)
    controller = one.outputs().get("controller")
    assert not one.terraform("state", "list")[1]
    iam, ec2 = one.aws("iam"), one.aws("ec2")
    assert not iam.list_policies(Scope="Local")["Policies"]
    assert not iam.list_roles()["Roles"] and not iam.list_instance_profiles()["InstanceProfiles"]
    assert all(vpc["IsDefault"] for vpc in ec2.describe_vpcs()["Vpcs"])
    assert not ec2.describe_addresses()["Addresses"]
    states = [
        machine["State"]["Name"]
        for reservation in ec2.describe_instances()["Reservations"]
        for machine in reservation["Instances"]
    ]
    assert set(states) <= {"terminated"}
    if controller:
        volumes = [volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]]
        assert controller["volume_id"] not in volumes
        # The state's last picture is what is meant to be left.
        snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        pictures = [one for one in snapshots if one["VolumeId"] == controller["volume_id"]]
        assert len(pictures) == {"controller": 1, "everything": 0}[name]
