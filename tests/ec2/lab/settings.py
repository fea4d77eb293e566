"""Names, addresses and paths of the EC2 double on this machine."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
"""`tests/ec2` of the checkout that runs this."""

CHECKOUT = HERE.parent.parent

STATE = Path("/var/lib/crewcall-test-ec2")
"""What is there only while the double runs: instances, logs, records."""

BRIDGE = "crewcall-ec2"
GATEWAY = "10.251.0.1"
"""This machine, as instances see it."""

API_PORT = 5055
REGISTRY_PORT = 5000
PRIVATE_REGISTRY_PORT = 5001
URL = f"http://{GATEWAY}:{API_PORT}"


def cache() -> Path:
    """Where what is dear to make is kept between runs."""
    given = os.environ.get("CREWCALL_TEST_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "crewcall-tests"
