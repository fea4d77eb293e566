"""Fixtures: one host for all tests, a fresh cluster for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Security
from harness import BOUND, Cluster, Host, become_subreaper, make_tls

_numbers = itertools.count()


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    become_subreaper()
    host = Host()
    host.event("ready")
    yield host
    host.close()


@pytest.fixture(scope="session")
def tls() -> dict[str, str]:
    return make_tls()


@pytest.fixture(scope="session")
def security(tls: dict[str, str]) -> Security:
    return Security(
        require_encryption=True, tls_ca_file=tls["ca"], tls_client_cert=tls["cert"], tls_client_key=tls["key"]
    )


@pytest.fixture
def cluster(host: Host, tls: dict[str, str], tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(host, f"test{next(_numbers)}", tmp_path, tls)
    yield cluster
    cluster.close()


@pytest.fixture
def connect(cluster: Cluster, security: Security) -> Iterator[Any]:
    clients = []

    def connect(workers: int) -> Client:
        client = Client(cluster.address, security=security, timeout=BOUND)
        clients.append(client)
        if workers:
            client.wait_for_workers(workers, timeout=BOUND)
        return client

    yield connect
    for client in clients:
        client.close(timeout=5)
