"""What the code asks of AWS, what a policy grants, and how AWS decides between them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
EC2 = CHECKOUT / "src" / "provider" / "ec2"

# Calls that need no right.
FREE = {"sts:GetCallerIdentity"}

# Rights beside a call's own: what in the code makes the call need them.
BESIDE = {
    "ec2:RunInstances": {
        "ec2:CreateTags": ("client/calls.rs", ".set_tag_specifications("),
        "iam:PassRole": ("client/calls.rs", ".iam_instance_profile("),
        "ssm:GetParameters": ("build/launch.rs", "resolve:ssm:"),
    },
    "ec2:CreateSecurityGroup": {"ec2:CreateTags": ("client/calls.rs", ".tag_specifications(")},
    "ec2:CreateLaunchTemplate": {"ec2:CreateTags": ("client/calls.rs", "ResourceType::LaunchTemplate")},
    "ec2:CreateFleet": {
        "ec2:CreateTags": ("client/fleets.rs", ".tag_specifications("),
        "ec2:RunInstances": ("client/fleets.rs", "FleetType::Instant"),
    },
}

# What EC2 does in the caller's name with a key of KMS that volumes are encrypted with.
VOLUME_KEY = {
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
}


# Calls of ways through Session Manager alone, and what AWS' program for them does with the caller's rights.
SESSIONS = {"ssm:StartSession", "ssm:TerminateSession"}
OF_PLUGIN = {"ssm:ResumeSession", "ssmmessages:OpenDataChannel"}

# What the agent of Systems Manager on a machine does, to offer sessions.
OFFERS = {
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}


def client() -> str:
    """The only code that calls AWS with the person's credentials."""
    return "\n".join(path.read_text() for path in sorted((EC2 / "client").glob("*.rs")))


def calls() -> list[str]:
    """Each place where the SDK is called, as `service:Operation`."""
    text = client()
    found = re.findall(r"\.(ec2|servicequotas|ssm|sts)\(\)\s*\.await\?\s*\.(\w+)\(\)", text)
    found += re.findall(r"aws_sdk_(\w+)::Client::new\([^()]*\)\s*\.(\w+)\(\)", text)
    return [f"{service}:{''.join(word.title() for word in name.split('_'))}" for service, name in found]


def needed() -> set[str]:
    """The rights that the code's calls need."""
    asked = set(calls())
    rights = asked - FREE
    for call in asked & BESIDE.keys():
        rights |= {right for right, (file, sign) in BESIDE[call].items() if sign in (EC2 / file).read_text()}
    return rights


def agents() -> set[str]:
    """The rights that a machine's agent needs."""
    text = (EC2 / "build" / "agent" / "crewcall_agent.py").read_text()
    return {f"ssm:{operation}" for operation in re.findall(r"AmazonSSM\.(\w+)", text)}


def constants() -> dict[str, str]:
    """Constant texts of the module with names: keys of tags."""
    return dict(re.findall(r'pub const (\w+): &str = "([^"]*)";', (EC2 / "names.rs").read_text()))


Statements = list[dict[str, Any]]


def listed(value: Any) -> list[str]:
    """One or several, as policies have it."""
    return [value] if isinstance(value, str) else list(value)


def granted(statements: Statements) -> set[str]:
    """The actions that a policy grants."""
    assert all(one["Effect"] == "Allow" and "NotAction" not in one for one in statements)
    return {action for one in statements for action in listed(one["Action"])}


def like(pattern: str, text: str) -> bool:
    """Whether a text is as a pattern of IAM has it."""
    parts = {"*": ".*", "?": "."}
    return (
        re.fullmatch("".join(parts.get(mark, re.escape(mark)) for mark in pattern), text, re.DOTALL)
        is not None
    )


def holds(operator: str, wanted: list[str], found: list[str] | None) -> bool:
    """One condition, as IAM decides it; `found` None: the request does not have the key."""
    if operator == "Null":
        return wanted == [str(found is None).lower()]
    if operator == "ForAllValues:StringEquals":
        return all(one in wanted for one in found or [])
    if operator == "BoolIfExists":
        return found is None or found == wanted
    compare = {
        "StringEquals": lambda pattern, text: pattern == text,
        "Bool": lambda pattern, text: pattern == text,
        "StringLike": like,
        "ArnEquals": like,
    }[operator]
    return found is not None and any(compare(pattern, text) for pattern in wanted for text in found)


def allows(statements: Statements, action: str, resource: str, context: dict[str, Any]) -> bool:
    """Whether a request passes, about one resource."""
    return any(
        action in listed(one["Action"])
        and any(like(pattern, resource) for pattern in listed(one["Resource"]))
        and all(
            holds(operator, listed(wanted), None if key not in context else listed(context[key]))
            for operator, keys in one.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
        for one in statements
    )
