"""Configurations that are applied once, for all tests that look at them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from stack import INSTALLATION, Stack, missing, moto, stack

# By what a test calls it: where it is, and what it is to be told.
CONFIGURATIONS = {
    "minimal": ("terraform/examples/minimal", {}),
    "network": ("terraform/examples/network", {"installation": INSTALLATION}),
    "controller": ("terraform/examples/controller", {}),
    "everything": ("tests/terraform/everything", {"subnet": "?"}),
}


@pytest.fixture(scope="session")
def needs_terraform() -> None:
    why = missing()
    if why:
        print(f"SKIPPED: {why}")
        pytest.skip(why)


@pytest.fixture(scope="session")
def applied(
    needs_terraform: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Stack]]:
    """One of CONFIGURATIONS, applied when somebody first asks for it, each to its own account."""
    made: dict[str, Stack] = {}
    with ExitStack() as ends:

        def apply(name: str) -> Stack:
            if name not in made:
                configuration, variables = CONFIGURATIONS[name]
                url = ends.enter_context(moto())
                one = stack(tmp_path_factory.mktemp(name), configuration, url)
                if "subnet" in variables:
                    variables = {"subnet": one.aws("ec2").describe_subnets()["Subnets"][0]["SubnetId"]}
                lines = [f'{key} = "{value}"\n' for key, value in variables.items()]
                (one.folder / "terraform.tfvars").write_text("".join(lines))
                one.terraform("apply", "-auto-approve", "-no-color", "-input=false")
                made[name] = one
            return made[name]

        yield apply


@pytest.fixture(scope="session")
def program() -> Path:
    """The program that reads documents."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).resolve().parents[2] / "target"))
    path = Path(os.environ.get("CREWCALL_TEST_PROGRAM", target / "debug" / "crewcall"))
    if not path.exists():
        assert not os.environ.get("CI"), f"{path} is not built"
        print(f"SKIPPED: {path} is not built")
        pytest.skip(f"{path} is not built")
    return path
