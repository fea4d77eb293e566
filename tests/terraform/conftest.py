"""Configurations that are applied once, for all tests that look at them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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


# How many are worked on at a time. Terraform mostly waits; its provider has 500 MB.
SIDE_BY_SIDE = 3


def apply(configuration: str, variables: dict[str, str], url: str, root: Path) -> Stack:
    one = stack(root, configuration, url)
    if "subnet" in variables:
        variables = {"subnet": one.aws("ec2").describe_subnets()["Subnets"][0]["SubnetId"]}
    lines = [f'{key} = "{value}"\n' for key, value in variables.items()]
    (one.folder / "terraform.tfvars").write_text("".join(lines))
    one.terraform("validate", "-no-color")
    one.terraform("apply", "-auto-approve", "-no-color", "-input=false")
    plan = ("plan", "-detailed-exitcode", "-no-color", "-input=false")
    one.second_plan = one.terraform(*plan, expected=(0, 2))
    return one


@pytest.fixture(scope="session")
def applied(
    needs_terraform: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Stack]]:
    """One of CONFIGURATIONS, validated, applied and planned again, each in its own account."""
    with ExitStack() as ends, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        made = {
            name: pool.submit(apply, *one, ends.enter_context(moto()), tmp_path_factory.mktemp(name))
            for name, one in CONFIGURATIONS.items()
        }
        yield lambda name: made[name].result()


@pytest.fixture(scope="session")
def destroyed(applied: Callable[[str], Stack]) -> Callable[[str], Stack]:
    """The same, after their end. To be asked for after all that looks at what is there."""

    def destroy(name: str) -> Stack:
        one = applied(name)
        one.outputs()
        one.terraform("destroy", "-auto-approve", "-no-color", "-input=false")
        return one

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        ended = {name: pool.submit(destroy, name) for name in CONFIGURATIONS}
    return lambda name: ended[name].result()


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
