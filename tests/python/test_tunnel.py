"""The way through the scheduler's own port to its dashboard."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed.comm import Comm, CommClosedError, connect
from distributed.security import Security
from harness import BOUND, PRELOAD, eventually
from test_dashboard import Authority, Scheduler, bokeh, get, tls_environment
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

PIECE = 64 << 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "own")


@pytest.fixture(scope="module")
def scheduler(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    directory = tmp_path_factory.mktemp("scheduler")
    local = ("--dashboard-address", "127.0.0.1:0", "--protocol", "tls")
    scheduler = Scheduler(directory, tls_environment(authority), *local)
    scheduler.ports()
    yield scheduler
    scheduler.close()


def load_preload() -> Any:
    specification = importlib.util.spec_from_file_location("crewcall_preload", PRELOAD)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def address(scheduler: Scheduler) -> str:
    return scheduler.line(r"Scheduler at:\s+(tls://\S+)")[1]


async def dial(scheduler: Scheduler, authority: Authority) -> Comm:
    """Connect as a client does."""
    certificate, key = authority.issue("client")
    security = Security(
        tls_ca_file=str(authority.ca),
        tls_client_cert=str(certificate),
        tls_client_key=str(key),
        require_encryption=True,
    )
    return await connect(address(scheduler), **security.get_connection_args("client"))


async def tunnel(scheduler: Scheduler, authority: Authority) -> Comm:
    comm = await dial(scheduler, authority)
    await comm.write({"op": "crewcall_tunnel", "reply": True})
    assert await comm.read() == "OK"
    return comm


def tunnels(scheduler: Scheduler) -> int:
    """Return how many connections the dashboard's port has on its machine, besides the one that listens."""
    port = scheduler.ports()[0]
    established = "01"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == established for row in rows)


def run(scheduler: Scheduler, authority: Authority, visit: Callable[[int], Awaitable[Any]]) -> Any:
    """Return what `visit` does, given a local port behind which each connection has a tunnel of its own."""

    async def bridge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        comm = await tunnel(scheduler, authority)

        async def there() -> None:
            while piece := await reader.read(PIECE):
                await comm.write(piece)
            await comm.write(b"")

        async def back() -> None:
            while piece := await comm.read():
                assert len(piece) <= PIECE
                writer.write(piece)
                await writer.drain()

        sending = asyncio.ensure_future(there())
        try:
            await back()
        except CommClosedError:
            pass
        finally:
            sending.cancel()
            writer.close()
            comm.abort()

    async def main() -> Any:
        server = await asyncio.start_server(bridge, "127.0.0.1", 0)
        try:
            return await asyncio.wait_for(visit(server.sockets[0].getsockname()[1]), BOUND)
        finally:
            server.close()

    return asyncio.run(main())


def page(path: str, context: ssl.SSLContext | None) -> Callable[[int], Awaitable[tuple[int, str]]]:
    async def visit(port: int) -> tuple[int, str]:
        return await asyncio.get_running_loop().run_in_executor(None, get, port, path, context)

    return visit


def test_the_dashboard_is_reached_through_the_schedulers_own_port(
    scheduler: Scheduler, authority: Authority
) -> None:
    context = authority.visitor(authority.issue("client"))
    assert run(scheduler, authority, page("/health", context)) == (200, "ok")
    status, body = run(scheduler, authority, page("/info/main/workers.html", context))
    assert status == 200 and "</html>" in body
    eventually("the ends of all tunnels", lambda: tunnels(scheduler) == 0)


@pytest.mark.skipif(bokeh is None, reason="needs bokeh")
def test_a_web_socket_works_in_a_tunnel(scheduler: Scheduler, authority: Authority) -> None:
    context = authority.visitor(authority.issue("client"))
    token = re.search(r'"token":"([^"]+)"', run(scheduler, authority, page("/status", context))[1])[1]

    async def first_message(port: int) -> str | bytes | None:
        headers = {"Origin": f"http://127.0.0.1:{port}"}
        request = HTTPRequest(f"wss://127.0.0.1:{port}/status/ws", ssl_options=context, headers=headers)
        socket = await websocket_connect(request, subprotocols=["bokeh", token])
        return await socket.read_message()

    assert "ACK" in run(scheduler, authority, first_message)


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_the_dashboard_asks_for_the_certificate_in_a_tunnel_too(
    scheduler: Scheduler, authority: Authority, role: str
) -> None:
    context = authority.visitor(authority.issue(role))
    assert run(scheduler, authority, page("/health", context))[0] == 403
    with pytest.raises((ssl.SSLError, OSError)):
        run(scheduler, authority, page("/health", authority.visitor(None)))


def test_whoever_goes_leaves_nothing_in_the_scheduler(scheduler: Scheduler, authority: Authority) -> None:
    async def scene() -> None:
        comms = [await tunnel(scheduler, authority) for _ in range(5)]
        assert tunnels(scheduler) == 5
        for comm in comms[:2]:
            await comm.close()
        for comm in comms[2:4]:
            # The end of one direction, and then of all.
            await comm.write(b"")
            comm.abort()
        comms[4].abort()

    asyncio.run(scene())
    eventually("the ends of all tunnels", lambda: tunnels(scheduler) == 0)
    # And the scheduler still answers.
    assert run(scheduler, authority, page("/health", authority.visitor(authority.issue("client"))))[0] == 200


def test_the_dashboards_end_is_told_and_the_tunnel_ends(scheduler: Scheduler, authority: Authority) -> None:
    async def scene() -> bytes:
        comm = await tunnel(scheduler, authority)
        # No TLS: the dashboard hangs up.
        await comm.write(b"GET / HTTP/1.1\r\n\r\n")
        heard = b""
        while piece := await comm.read():
            heard += piece
        with pytest.raises(CommClosedError):
            await asyncio.wait_for(comm.read(), BOUND)
        return heard

    asyncio.run(scene())
    eventually("the ends of all tunnels", lambda: tunnels(scheduler) == 0)


def test_what_is_no_piece_of_bytes_ends_the_tunnel(scheduler: Scheduler, authority: Authority) -> None:
    async def end_of(message: Any) -> None:
        comm = await tunnel(scheduler, authority)
        await comm.write(message)
        with pytest.raises(CommClosedError):
            await asyncio.wait_for(comm.read(), BOUND)

    for message in ({"op": "identity"}, "text", b"x" * (PIECE + 1)):
        asyncio.run(end_of(message))
    eventually("the ends of all tunnels", lambda: tunnels(scheduler) == 0)


def test_a_scheduler_ends_at_once_however_many_look_at_it(authority: Authority, tmp_path: Path) -> None:
    local = ("--dashboard-address", "127.0.0.1:0", "--protocol", "tls")
    scheduler = Scheduler(tmp_path, tls_environment(authority), *local)
    try:
        scheduler.ports()

        async def scene() -> None:
            comms = [await tunnel(scheduler, authority) for _ in range(3)]
            scheduler.process.terminate()
            for comm in comms:
                with pytest.raises(CommClosedError):
                    # An end that is told comes before that of the connection.
                    assert await asyncio.wait_for(comm.read(), BOUND) == b""
                    await asyncio.wait_for(comm.read(), BOUND)

        asyncio.run(scene())
        assert scheduler.process.wait(BOUND) == 0
        assert "Traceback" not in scheduler.log.read_text()
    finally:
        scheduler.close()


def test_a_side_that_does_not_read_holds_the_other_up() -> None:
    """A page of many megabytes does not come to lie in the memory of a scheduler that cannot pass it on."""
    # In this process, so that both sides of the tunnel can be looked at.
    preload = load_preload()

    async def scene() -> tuple[int, int]:
        sent = 0

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            for _ in range(1000):
                writer.write(bytes(PIECE))
                await writer.drain()
                sent += PIECE

        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        ours = preload.Tunnels.__new__(preload.Tunnels)
        ours.place = server.sockets[0].getsockname()
        comm = Stuck()
        carrying = asyncio.ensure_future(ours.carry(comm))
        await asyncio.wait_for(comm.wrote.wait(), BOUND)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        carrying.cancel()
        await asyncio.wait([carrying])
        server.close()
        return sent, comm.taken

    sent, taken = asyncio.run(scene())
    # What the sockets of this machine take, at most.
    assert taken <= PIECE and sent < 1000 * PIECE


class Stuck:
    """A connection of Dask's whose other side does not read."""

    def __init__(self) -> None:
        self.wrote = asyncio.Event()
        self.taken = 0
        self.stream = self

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    def write(self, message: Any) -> Awaitable[None]:
        """Take a message, or, as a stream, wait until what was taken is sent."""
        if message == b"":
            self.wrote.set()
            return asyncio.Event().wait()  # type: ignore[return-value]
        self.taken += len(message) if isinstance(message, bytes) else 0
        return asyncio.sleep(0)

    def abort(self) -> None:
        """Nothing to end."""
