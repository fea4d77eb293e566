"""Runs a statement with a client of the cluster: client.py PORT STATEMENT."""

import sys

from distributed import Client

with Client(f"tls://127.0.0.1:{sys.argv[1]}", timeout=60) as client:
    client.wait_for_workers(1, timeout=60)
    exec(sys.argv[2])
