"""The dashboard of a real scheduler, served over TLS to those who may see it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import BOUND, PRELOAD, eventually
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

try:
    import bokeh
except ImportError:
    bokeh = None

UID = "00c0ffee00c0ffee"


class Authority:
    """A certificate authority and its leaves, each a pair of files."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.ca = self._openssl("ca", "-x509", "-subj", "/CN=authority")[0]

    def issue(self, role: str) -> tuple[Path, Path]:
        """Return certificate and key of a leaf for `role`; "": for none."""
        name = role or "nobody"
        sans = [f"subjectAltName=DNS:{role}.{UID}.crewcall.internal"] if role else []
        extensions = [argument for san in sans for argument in ("-addext", san)]
        signed = ["-x509", "-CA", str(self.ca), "-CAkey", str(self.directory / "ca.key")]
        return self._openssl(name, *signed, "-subj", f"/CN={name}", *extensions)

    def _openssl(self, name: str, *arguments: str) -> tuple[Path, Path]:
        certificate, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(["openssl", "req", *curve, *arguments, *files], check=True, capture_output=True)
        return certificate, key

    def visitor(self, leaf: tuple[Path, Path] | None) -> ssl.SSLContext:
        """Return the settings of a client that trusts this authority and shows `leaf`."""
        context = ssl.create_default_context(cafile=str(self.ca))
        # As Dask itself does: the authority is the cluster's own, and its certificates name no address.
        context.check_hostname = False
        if leaf is not None:
            context.load_cert_chain(*leaf)
        return context


class Scheduler:
    """A scheduler process with the preload."""

    def __init__(self, directory: Path, environment: dict[str, str], *arguments: str) -> None:
        self.log = directory / "scheduler.log"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", "--preload", str(PRELOAD), *arguments],
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the log."""

        def find() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log.read_text()
            return re.search(pattern, self.log.read_text())

        return eventually(pattern, find)

    def ports(self) -> tuple[int, int]:
        """Return the ports of the dashboard with TLS and of the one without."""
        port = int(self.line(r"dashboard over TLS at port (\d+)")[1])
        return port, int(self.line(r"dashboard at: .*:(\d+)(/status)?\s")[1])

    def close(self) -> None:
        self.process.kill()
        self.process.wait(BOUND)


def get(port: int, path: str, context: ssl.SSLContext | None) -> tuple[int, str]:
    """Return status and body of an answer."""
    if context is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=BOUND, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "own")


def tls_environment(authority: Authority) -> dict[str, str]:
    certificate, key = authority.issue("scheduler")
    return {
        "CREWCALL_DASHBOARD_TLS": "127.0.0.1:0",
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(authority.ca),
        "DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__CERT": str(certificate),
        "DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__KEY": str(key),
        # An administrator's setting, which must not lock the forwarder's browser out.
        "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__BOKEH_APPLICATION__ALLOW_WEBSOCKET_ORIGIN": "['a.example']",
    }


@pytest.fixture(scope="module")
def scheduler(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    directory = tmp_path_factory.mktemp("scheduler")
    local = ("--dashboard-address", "127.0.0.1:0", "--protocol", "tls")
    scheduler = Scheduler(directory, tls_environment(authority), *local)
    yield scheduler
    scheduler.close()


@pytest.mark.parametrize("role", ["client", "controller", ""])
def test_clients_and_the_controller_see_the_plain_routes(
    scheduler: Scheduler, authority: Authority, role: str
) -> None:
    port, _ = scheduler.ports()
    context = authority.visitor(authority.issue(role))
    assert get(port, "/health", context) == (200, "ok")
    status, body = get(port, "/json/counts.json", context)
    assert (status, json.loads(body)["workers"]) == (200, 0)
    assert get(port, "/json/identity.json", context)[0] == 200


@pytest.mark.skipif(bokeh is None, reason="needs bokeh")
def test_bokehs_pages_are_served_too(scheduler: Scheduler, authority: Authority) -> None:
    status, body = get(scheduler.ports()[0], "/status", authority.visitor(authority.issue("client")))
    assert status == 200 and "bokeh" in body


@pytest.mark.skipif(bokeh is None, reason="needs bokeh")
@pytest.mark.parametrize(("origin", "admitted"), [("127.0.0.1:4711", True), ("b.example", False)])
def test_a_page_from_a_local_port_gets_its_web_socket(
    scheduler: Scheduler, authority: Authority, origin: str, admitted: bool
) -> None:
    port, _ = scheduler.ports()
    context = authority.visitor(authority.issue("client"))
    page = get(port, "/status", context)[1]
    token = re.search(r'"token":"([^"]+)"', page)[1]

    async def first_message() -> str | bytes | None:
        request = HTTPRequest(
            f"wss://127.0.0.1:{port}/status/ws", ssl_options=context, headers={"Origin": f"http://{origin}"}
        )
        socket = await websocket_connect(request, subprotocols=["bokeh", token])
        return await socket.read_message()

    if admitted:
        assert "ACK" in asyncio.run(asyncio.wait_for(first_message(), BOUND))
    else:
        with pytest.raises(Exception, match="403"):
            asyncio.run(asyncio.wait_for(first_message(), BOUND))


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_a_certificate_of_another_role_is_refused_by_name(
    scheduler: Scheduler, authority: Authority, role: str
) -> None:
    status, body = get(scheduler.ports()[0], "/health", authority.visitor(authority.issue(role)))
    assert (status, body) == (403, f"a {role}'s certificate does not open the dashboard\n")


def test_nobody_gets_in_without_a_certificate_of_the_cluster(
    scheduler: Scheduler, authority: Authority, tmp_path: Path
) -> None:
    port, _ = scheduler.ports()
    foreign = Authority(tmp_path / "foreign").issue("client")
    for leaf in (None, foreign):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.BadStatusLine)):
            get(port, "/health", authority.visitor(leaf))
    with pytest.raises((OSError, http.client.BadStatusLine)):
        get(port, "/health", None)
    # And it still serves those who may.
    assert get(port, "/health", authority.visitor(authority.issue("client")))[0] == 200


def test_the_plain_dashboard_stays_for_this_machine(scheduler: Scheduler) -> None:
    assert get(scheduler.ports()[1], "/health", None) == (200, "ok")


def test_a_plain_dashboard_for_everybody_is_closed(authority: Authority, tmp_path: Path) -> None:
    everywhere = ("--dashboard-address", "0.0.0.0:0", "--protocol", "tls")
    scheduler = Scheduler(tmp_path, tls_environment(authority), *everywhere)
    try:
        port, plain = scheduler.ports()
        with pytest.raises(ConnectionError):
            get(plain, "/health", None)
        assert get(port, "/health", authority.visitor(authority.issue("client")))[0] == 200
    finally:
        scheduler.close()


def test_without_certificates_there_is_no_such_dashboard_but_a_scheduler(tmp_path: Path) -> None:
    environment = {"CREWCALL_DASHBOARD_TLS": "127.0.0.1:0"}
    scheduler = Scheduler(tmp_path, environment, "--dashboard-address", "127.0.0.1:0")
    try:
        scheduler.line("the dashboard is not served")
        scheduler.line("this scheduler has no certificate")
        assert get(int(scheduler.line(r"dashboard at: .*:(\d+)(/status)?\s")[1]), "/health", None)[0] == 200
    finally:
        scheduler.close()
