"""Who has the module's policies can do what Crewcall does, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import rights
from rights import Statements, allows, granted
from stack import ACCOUNT, INSTALLATION, REGION, Stack

OTHER = "00000000-0000-4000-8000-000000000000"


def policies(stack: Stack) -> list[Statements]:
    """The policies for whoever makes clusters, as the account has them."""
    outputs, iam = stack.outputs(), stack.aws("iam")
    found = []
    for arn in filter(None, (outputs["policy_arn"], outputs.get("session_policy_arn"))):
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        found.append(document["Statement"])
    return found


def policy(stack: Stack) -> Statements:
    """All that whoever makes clusters may do."""
    return [statement for statements in policies(stack) for statement in statements]


def of_role(stack: Stack, role: str) -> tuple[Statements, list[str]]:
    """What a role has of its own, and the policies that are attached to it."""
    iam = stack.aws("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    own = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"] for name in names
    ]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return [one for statements in own for one in statements], [one["PolicyArn"] for one in attached]


def arn(kind: str, name: str = "x-0123456789abcdef0") -> str:
    account = "" if kind == "image" else ACCOUNT
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/{name}"


def parameter(path: str) -> str:
    return f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{path}"


def tags(kind: str, installation: str) -> dict[str, str]:
    """Tags of a cluster's things, as the code has their keys; `kind`: of a request or of a resource."""
    keys = rights.constants()
    values = {keys["INSTALLATION"]: installation, keys["CLUSTER_UID"]: "0123456789abcdef"}
    return {f"aws:{kind}Tag/{key}": value for key, value in values.items()}


def test_each_call_of_the_code_is_found() -> None:
    # A call in a form that is not looked for would be one without a right.
    assert len(rights.calls()) == rights.client().count(".send()")
    named = set(re.findall(r'"((?:ec2|servicequotas|ssm|sts):\w+)"', rights.client()))
    assert named == set(rights.calls())


def test_the_policy_grants_the_calls_of_the_code_and_no_others(applied: Callable[[str], Stack]) -> None:
    assert rights.needed() >= rights.SESSIONS
    assert granted(policy(applied("minimal"))) == rights.needed() - rights.SESSIONS


def test_keys_of_volumes_are_granted_where_there_is_one(applied: Callable[[str], Stack]) -> None:
    statements = policy(applied("everything"))
    assert granted(statements) == rights.needed() | rights.OF_PLUGIN | rights.VOLUME_KEY
    keys = {one for part in statements if "kms:" in str(part["Action"]) for one in part["Resource"]}
    assert keys == {f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0d5f7a8f-6d0e-4b0e-9d4e-8b0c5a521c11"}


@pytest.mark.parametrize("name", ["minimal", "everything"])
def test_machines_may_what_their_agent_calls_and_nothing_else(
    applied: Callable[[str], Stack], name: str
) -> None:
    stack = applied(name)
    prefix = {"minimal": "crewcall", "everything": "team-a"}[name]
    for role in ("scheduler", "worker"):
        statements, attached = of_role(stack, f"{prefix}-{role}")
        offers = rights.OFFERS if (name, role) == ("everything", "scheduler") else set()
        assert granted(statements) == rights.agents() | offers and not attached


def test_a_machine_reads_the_parameters_of_its_own_role_and_installation(
    applied: Callable[[str], Stack],
) -> None:
    source = (rights.EC2 / "names.rs").read_text()
    # The paths below are those of the code.
    assert 'format!("/crewcall/{installation}")' in source
    assert (
        'format!("{}/{cluster}-{bits:032x}/{role}/{group}-{template}", parameters_of(installation))' in source
    )
    for role, other in (("scheduler", "worker"), ("worker", "scheduler")):
        assert f'"{role}"' in source
        statements, _ = of_role(applied("everything"), f"team-a-{role}")

        def reads(path: str, statements: Statements = statements) -> bool:
            return allows(statements, "ssm:GetParameters", parameter(path), {})

        assert reads(f"/crewcall/{INSTALLATION}/0123-89ab/{role}/group-fedc.1")
        assert not reads(f"/crewcall/{INSTALLATION}/0123-89ab/{other}/group-fedc.1")
        assert not reads(f"/crewcall/{INSTALLATION}/0123-89ab/{other}/{role}-fedc")
        assert not reads(f"/crewcall/{OTHER}/0123-89ab/{role}/group-fedc.1")
        assert not reads("/somebody/else")


def launch(profile: str = "scheduler", **changed: Any) -> list[tuple[str, dict[str, Any]]]:
    """What EC2 asks about when a machine is launched: resources, with what is known of each."""
    ours = tags("Request", changed.get("installation", INSTALLATION))
    instance = {
        **ours,
        "ec2:InstanceProfile": f"arn:aws:iam::{ACCOUNT}:instance-profile/team-a-{profile}",
        "ec2:MetadataHttpTokens": changed.get("tokens", "required"),
    }
    return [
        (arn("instance", "*"), instance),
        (arn("volume", "*"), ours),
        (arn("network-interface", "*"), ours),
        (arn("security-group"), tags("Resource", changed.get("group", INSTALLATION))),
        (arn("subnet"), {}),
        (arn("image"), {}),
        (arn("key-pair"), {}),
    ]


def test_a_launch_is_of_machines_with_our_tags_profiles_and_groups(applied: Callable[[str], Stack]) -> None:
    statements = policy(applied("everything"))

    def passes(what: list[tuple[str, dict[str, Any]]]) -> bool:
        return all(allows(statements, "ec2:RunInstances", *one) for one in what)

    assert passes(launch("scheduler")) and passes(launch("worker"))
    assert not passes(launch("controller"))
    assert not passes(launch("administrator"))
    assert not passes(launch(installation=OTHER))
    assert not passes(launch(group=OTHER))
    assert not passes(launch(tokens="optional"))
    source = (rights.EC2 / "client" / "calls.rs").read_text()
    assert ".http_tokens(HttpTokensState::Required)" in source
    source = (rights.EC2 / "client" / "fleets.rs").read_text()
    assert ".http_tokens(LaunchTemplateHttpTokensState::Required)" in source

    for role, allowed in (("scheduler", True), ("worker", True), ("controller", False), ("admin", False)):
        name = f"arn:aws:iam::{ACCOUNT}:role/team-a-{role}"
        to_ec2 = {"iam:PassedToService": "ec2.amazonaws.com"}
        assert allows(statements, "iam:PassRole", name, to_ec2) == allowed
        assert not allows(statements, "iam:PassRole", name, {"iam:PassedToService": "lambda.amazonaws.com"})


def test_a_fleet_is_one_of_ours_from_a_template_of_ours(applied: Callable[[str], Stack]) -> None:
    statements = policy(applied("everything"))

    def makes(action: str, kind: str, whose: str, of: str) -> bool:
        return allows(statements, action, arn(kind), tags(of, whose))

    for action, kind in (("ec2:CreateLaunchTemplate", "launch-template"), ("ec2:CreateFleet", "fleet")):
        assert makes(action, kind, INSTALLATION, "Request") and not makes(action, kind, OTHER, "Request")
        assert not allows(statements, action, arn(kind), {})
    # A fleet launches with the caller's rights: each machine is asked about again, as one of RunInstances.
    for action in ("ec2:CreateFleet", "ec2:RunInstances"):
        assert makes(action, "launch-template", INSTALLATION, "Resource")
        assert not makes(action, "launch-template", OTHER, "Resource")
        assert not allows(statements, action, arn("launch-template"), {})
    for resource, context in launch():
        assert allows(statements, "ec2:CreateFleet", resource, context)
    born = tags("Request", INSTALLATION)
    for kind, action in (("fleet", "CreateFleet"), ("launch-template", "CreateLaunchTemplate")):
        assert allows(statements, "ec2:CreateTags", arn(kind), {**born, "ec2:CreateAction": action})
        assert not allows(statements, "ec2:CreateTags", arn(kind), born)


# What is done to a thing that is there, and its kind.
TO_THINGS = [
    ("ec2:DeleteFleets", "fleet"),
    ("ec2:DeleteLaunchTemplate", "launch-template"),
    ("ec2:TerminateInstances", "instance"),
    ("ec2:GetConsoleOutput", "instance"),
    ("ec2:DeleteSecurityGroup", "security-group"),
    ("ec2:AuthorizeSecurityGroupIngress", "security-group"),
    ("ec2:RevokeSecurityGroupIngress", "security-group"),
]


def test_what_is_not_ours_is_neither_changed_nor_removed(applied: Callable[[str], Stack]) -> None:
    narrow, wide = policy(applied("everything")), policy(applied("minimal"))
    for action, kind in TO_THINGS:
        ours, theirs = tags("Resource", INSTALLATION), tags("Resource", OTHER)
        assert allows(narrow, action, arn(kind), ours) and not allows(narrow, action, arn(kind), theirs)
        # With `*` every installation's, and still nothing else of the account.
        assert allows(wide, action, arn(kind), theirs) and not allows(wide, action, arn(kind), {})
        for tag in ours:
            assert not allows(wide, action, arn(kind), {tag: ours[tag]})
    for action in granted(wide) - {action for action, _ in TO_THINGS}:
        assert not re.search("Delete|Terminate|Revoke|Stop|Detach|Modify", action) or action in (
            "ec2:DeleteTags",
            "ssm:DeleteParameters",
        )


def test_tags_are_given_at_birth_and_later_only_the_end_moves(applied: Callable[[str], Stack]) -> None:
    statements = policy(applied("everything"))
    ours = tags("Resource", INSTALLATION)
    end = rights.constants()["EXPIRES_AT"]
    born = {**tags("Request", INSTALLATION), "ec2:CreateAction": "RunInstances"}
    assert allows(statements, "ec2:CreateTags", arn("volume"), born)
    group = {**born, "ec2:CreateAction": "CreateSecurityGroup"}
    assert allows(statements, "ec2:CreateTags", arn("security-group"), group)
    # Whatever is there already cannot be made ours.
    assert not allows(statements, "ec2:CreateTags", arn("instance"), tags("Request", INSTALLATION))
    for action in ("ec2:CreateTags", "ec2:DeleteTags"):
        assert allows(statements, action, arn("instance"), {**ours, "aws:TagKeys": [end]})
        assert not allows(statements, action, arn("instance"), {**ours, "aws:TagKeys": [end, "Name"]})
        assert not allows(statements, action, arn("instance"), ours)
        assert not allows(statements, action, arn("instance"), {"aws:TagKeys": [end]})


def test_parameters_are_those_of_the_installation(applied: Callable[[str], Stack]) -> None:
    narrow, wide = policy(applied("everything")), policy(applied("minimal"))
    for action in ("ssm:PutParameter", "ssm:DeleteParameters", "ssm:GetParametersByPath"):
        below = f"/crewcall/{INSTALLATION}/0123-89ab/worker"
        assert allows(narrow, action, parameter(below), {}) and allows(wide, action, parameter(below), {})
        assert not allows(narrow, action, parameter(f"/crewcall/{OTHER}/x"), {})
        assert not allows(wide, action, parameter("/somebody/else"), {})
    assert allows(narrow, "ssm:GetParametersByPath", parameter(f"/crewcall/{INSTALLATION}"), {})
    standard = re.search(
        "resolve:ssm:(/aws/service/[a-z0-9/-]+)", (rights.EC2 / "build" / "launch.rs").read_text()
    )
    assert standard
    image = f"arn:aws:ssm:{REGION}::parameter{standard[1]}/recommended/image_id"
    for statements in (narrow, wide):
        assert allows(statements, "ssm:GetParameters", image, {})
        assert not allows(statements, "ssm:GetParameters", parameter(f"/crewcall/{INSTALLATION}/x"), {})
    assert allows(narrow, "ssm:GetParameters", parameter("/images/mine"), {})
    assert not allows(wide, "ssm:GetParameters", parameter("/images/mine"), {})


def test_sessions_forward_ports_of_own_machines_and_open_no_shell(applied: Callable[[str], Stack]) -> None:
    statements = policy(applied("everything"))

    def passes(installation: str, document: str | None) -> bool:
        keys = tags("Resource", installation)
        machine = {key.replace("aws:ResourceTag", "ssm:resourceTag"): value for key, value in keys.items()}
        # What is checked by itself where no document is named.
        check = {"ssm:SessionDocumentAccessCheck": str(document is not None).lower()}
        named = f"arn:aws:ssm:{REGION}::document/{document}"
        return allows(statements, "ssm:StartSession", arn("instance"), machine | check) and (
            document is None or allows(statements, "ssm:StartSession", named, check)
        )

    assert passes(INSTALLATION, "AWS-StartPortForwardingSession")
    assert not passes(OTHER, "AWS-StartPortForwardingSession")
    assert not passes(INSTALLATION, None)
    assert not passes(INSTALLATION, "AWS-StartPortForwardingSessionToRemoteHost")
    assert not passes(INSTALLATION, "SSM-SessionManagerRunShell")
    source = (rights.EC2 / "client" / "sessions.rs").read_text()
    assert '"AWS-StartPortForwardingSession"' in source


def test_the_controller_has_the_same_policy_and_sessions(applied: Callable[[str], Stack]) -> None:
    stack = applied("controller")
    statements, attached = of_role(stack, stack.outputs()["controller"]["role_name"])
    assert [one.rsplit("/", 1)[1] for one in attached] == ["crewcall"]
    assert granted(statements) == rights.OFFERS


@pytest.mark.parametrize("name", ["minimal", "everything"])
def test_the_policy_is_not_longer_than_iam_takes(applied: Callable[[str], Stack], name: str) -> None:
    for statements in policies(applied(name)):
        document = {"Version": "2012-10-17", "Statement": statements}
        # IAM does not count white space.
        assert len("".join(json.dumps(document).split())) <= 6144
