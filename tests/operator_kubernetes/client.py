"""Runs a program with a client of a cluster: client.py ADDRESS DIRECTORY, the program on standard input.

DIRECTORY holds what the Secret of the clients holds. The program sees `client`, and `said(text)`, which
prints at once.
"""

import sys
from pathlib import Path

from distributed import Client
from distributed.security import Security

address, directory = sys.argv[1], Path(sys.argv[2])
security = Security(
    tls_ca_file=str(directory / "ca.crt"),
    tls_client_cert=str(directory / "tls.crt"),
    tls_client_key=str(directory / "tls.key"),
    require_encryption=True,
)


def said(text: object) -> None:
    """Print a line at once."""
    print(text, flush=True)


with Client(address, security=security, timeout=60) as client:
    exec(sys.stdin.read())
