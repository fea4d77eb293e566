"""The module is made, changes nothing the second time, goes again, and prints what documents take."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import pytest
import yaml
from conftest import CONFIGURATIONS
from stack import CHECKOUT, INSTALLATION, PATIENCE, Stack, moto, stack

DOCUMENT = """\
apiVersion: crewcall.dev/v1alpha1
kind: ComputeCluster
metadata: {name: demo}
spec:
  environment: {image: "ghcr.io/dask/dask:2026.8.0-py3.11"}
  workers: {replicas: 1}
"""


def test_files_are_formatted(needs_terraform: None) -> None:
    command = ["terraform", "fmt", "-check", "-diff", "-recursive", "terraform", "tests/terraform"]
    environment = {"PATH": os.environ["PATH"], "TF_CLI_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_that_make_no_sense_are_refused(needs_terraform: None, tmp_path: Path) -> None:
    with moto() as url:
        said = stack(tmp_path, "terraform", url).terraform("test", "-no-color")[1]
    assert "0 failed" in said and "Success!" in said, said


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_it_is_valid_and_a_second_plan_changes_nothing(applied: Callable[[str], Stack], name: str) -> None:
    code, said = applied(name).second_plan
    assert code == 0, said


def reads(program: Path, folder: Path, document: str) -> tuple[int, str]:
    """What the program says of a document, without making anything."""
    path = folder / "cluster.yaml"
    path.write_text(document)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CREWCALL_STATE_DIR": str(folder / "state"),
        "CREWCALL_RUNTIME_DIR": str(folder / "run"),
        # A program with the feature `ec2` finds nobody.
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([program, "create", "--dry-run", "-f", path], **options)
    subprocess.run([program, "controller", "stop"], **options)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_block_that_is_printed_is_part_of_a_document(
    applied: Callable[[str], Stack], program: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    block = applied(name).outputs()["provider_ec2"]
    # Sockets have short paths.
    folder = Path(tmp_path_factory.mktemp("d"))
    invalid = 3
    code, said = reads(program, folder, DOCUMENT + indent(block, "  ").replace("workers:", "labourers:"))
    assert code == invalid and "labourers" in said, said
    code, said = reads(program, folder, DOCUMENT + indent(block, "  "))
    assert code != invalid and ("no provider `ec2`" in said or "sts:GetCallerIdentity" in said), said


def test_the_example_document_has_what_the_smallest_example_prints(applied: Callable[[str], Stack]) -> None:
    document = yaml.safe_load((CHECKOUT / "examples" / "ec2.yaml").read_text())
    printed = yaml.safe_load(applied("minimal").outputs()["provider_ec2"])
    for key in ("region", "instanceProfiles"):
        assert document["spec"]["provider"]["ec2"][key] == printed["provider"]["ec2"][key]


def test_a_network_has_a_public_subnet_in_each_zone(applied: Callable[[str], Stack]) -> None:
    one = applied("network")
    printed = yaml.safe_load(one.outputs()["provider_ec2"])["provider"]["ec2"]["subnets"]
    ec2 = one.aws("ec2")
    subnets = ec2.describe_subnets(SubnetIds=printed)["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == len(printed) == 3
    for subnet in printed:
        filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
        (table,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
        assert any(route.get("GatewayId", "").startswith("igw-") for route in table["Routes"])
    filters = [{"Name": "vpc-id", "Values": [subnets[0]["VpcId"]]}]
    for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
        assert not group["IpPermissions"]


@pytest.mark.parametrize("name", ["controller", "everything"])
def test_the_controller_has_its_state_on_a_disk_of_its_own(
    applied: Callable[[str], Stack], name: str
) -> None:
    one = applied(name)
    here, ec2 = one.outputs()["controller"], one.aws("ec2")
    (machine,) = ec2.describe_instances(InstanceIds=[here["instance_id"]])["Reservations"][0]["Instances"]
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    ends = {
        disk["Ebs"]["VolumeId"]: disk["Ebs"]["DeleteOnTermination"] for disk in machine["BlockDeviceMappings"]
    }
    assert len(ends) == 2 and ends[here["volume_id"]] is False
    (state,) = ec2.describe_volumes(VolumeIds=[here["volume_id"]])["Volumes"]
    assert state["Encrypted"] and state["AvailabilityZone"] == machine["Placement"]["AvailabilityZone"]
    (group,) = machine["SecurityGroups"]
    (group,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"]
    ports = {rule["FromPort"] for rule in group["IpPermissions"]}
    assert ports == {"controller": set(), "everything": {22}}[name]


@pytest.mark.parametrize("name", ["controller", "everything"])
def test_the_controllers_script_is_one_that_a_shell_reads(applied: Callable[[str], Stack], name: str) -> None:
    one = applied(name)
    here = one.outputs()["controller"]
    asked = {"InstanceId": here["instance_id"], "Attribute": "userData"}
    said = one.aws("ec2").describe_instance_attribute(**asked)["UserData"]["Value"]
    script = base64.b64decode(said).decode()
    volume = here["volume_id"].replace("-", "")
    assert f"nvme-Amazon_Elastic_Block_Store_{volume} " in script
    assert ("sha256sum --check" in script) == (name == "everything")
    assert (INSTALLATION in script) == (name == "everything")
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout
