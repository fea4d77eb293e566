"""The double, without hosts, and moto beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

REGION = "us-east-1"
CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def program() -> Path:
    """The compiled double."""
    given = os.environ.get("CREWCALL_TEST_EC2_DOUBLE")
    target = os.environ.get("CARGO_TARGET_DIR", str(CHECKOUT / "target"))
    return Path(given or Path(target) / "debug" / "ec2-double")


@pytest.fixture
def url(program: Path) -> Iterator[str]:
    """A double of its own for each test."""
    with subprocess.Popen([program, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Another EC2 for tests, as the second opinion."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "Running on http" in line:
                    yield line.split("Running on ")[1].split()[0].strip()
                    break
            else:
                pytest.fail("moto did not start")
        finally:
            process.terminate()


def client(service: str, url: str, **more: Any) -> Any:
    """A client of boto3 that does not try twice."""
    credentials = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "test"} | more
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=120)
    return boto3.client(service, REGION, endpoint_url=url, config=config, **credentials)


@pytest.fixture
def ec2(url: str) -> Any:
    """EC2 as the double has it."""
    return client("ec2", url)


@pytest.fixture
def ssm(url: str) -> Any:
    """The parameter store as the double has it."""
    return client("ssm", url)
