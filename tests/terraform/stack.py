"""The module, applied to an AWS that is moto."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

CHECKOUT = Path(__file__).resolve().parents[2]
REGION = "eu-central-1"
ACCOUNT = "123456789012"
INSTALLATION = "8b0c5a52-6d0e-4b0e-9d4e-0d5f7a8f1c11"

# Where providers are that need not be fetched: a folder as `terraform providers mirror` makes it.
MIRROR = Path(os.environ.get("CREWCALL_TEST_TERRAFORM_MIRROR", "/opt/tf-plugins"))

# Enough for a machine that does something else beside.
PATIENCE = 600


def missing() -> str | None:
    """Why nothing can be applied here; None: it can."""
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    if not MIRROR.is_dir() and not os.environ.get("CI"):
        return f"no provider for AWS in {MIRROR}; with CI set it is fetched from the registry"
    return None


@contextmanager
def moto() -> Iterator[str]:
    """An AWS of its own; its address."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            url = next(
                (line.split("Running on ")[1].split()[0] for line in lines if "Running on http" in line), None
            )
            assert url, "moto did not start"
            # It says each request, and would wait for somebody to listen.
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            yield url.strip()
        finally:
            process.terminate()


@dataclass
class Stack:
    """A configuration in a folder of its own, and the account that it is applied to."""

    folder: Path
    url: str
    home: Path
    # Exit code and words of the plan after it was applied.
    second_plan: tuple[int, str] = (-1, "not made")
    _outputs: dict[str, Any] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Variables of a terraform that asks moto, and nobody else."""
        mine = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "CHECKPOINT_DISABLE": "1",
            "HOME": str(self.home),
            "TF_CLI_CONFIG_FILE": str(self.home / "terraformrc"),
            "TF_IN_AUTOMATION": "1",
        }
        return {"PATH": os.environ["PATH"]} | mine

    def terraform(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """Run it; its exit code and what it said."""
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode in expected, f"terraform {arguments}: {done.stdout}{done.stderr}"
        return done.returncode, done.stdout

    def outputs(self) -> dict[str, Any]:
        """What the configuration prints, as it was when it was first asked."""
        if not self._outputs:
            said = json.loads(self.terraform("output", "-json")[1])
            self._outputs = {name: one["value"] for name, one in said.items()}
        return self._outputs

    def aws(self, service: str) -> Any:
        """A client of boto3 for the same account."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, REGION, endpoint_url=self.url, **keys)


def stack(root: Path, configuration: str, url: str) -> Stack:
    """A copy of a configuration of this checkout and of the module, with its providers."""
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(CHECKOUT / "terraform", root / "terraform", ignore=ignored)
    shutil.copytree(CHECKOUT / "tests" / "terraform", root / "tests" / "terraform", ignore=ignored)
    mirror = f'filesystem_mirror {{\n path = "{MIRROR}"\n }}' if MIRROR.is_dir() else "direct {}"
    (root / "terraformrc").write_text(f"provider_installation {{\n {mirror}\n}}\n")
    made = Stack(root / configuration, url, root)
    made.terraform("init", "-no-color", "-input=false")
    return made
