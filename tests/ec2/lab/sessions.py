"""What tests do with sessions: one through AWS' own program, and a server at the other end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import plugin

SERVER = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=200)
print(server.getsockname()[1], flush=True)
def serve(connection):
    with connection, connection.makefile("rwb") as file:
        words = file.readline().split()
        if words[:1] == [b"get"]:
            for _ in range(int(words[1]) // 50_000):
                connection.sendall(b"x" * 50_000)
        elif words[:1] == [b"put"]:
            file.write(b"%d\\n" % len(file.read(int(words[1]))))
            file.flush()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
"""Serves bytes (`get 100000`, multiples of 50,000) or counts them (`put 100000`). Takes a port, 0 for any."""


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """A server on this machine's loopback; its port."""
    command = [sys.executable, "-c", SERVER, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Through:
    """A session that AWS' program keeps, with a local port."""

    def __init__(self, ssm: Any, url: str, instance: str, port: int, scratch: Path) -> None:
        """Starts it, and waits until the program listens."""
        given = {"portNumber": [str(port)], "localPortNumber": ["0"]}
        answer = ssm.start_session(
            Target=instance, DocumentName="AWS-StartPortForwardingSession", Parameters=given
        )
        self.id = answer["SessionId"]
        told = {name: answer[name] for name in ("SessionId", "TokenValue", "StreamUrl")}
        environment = os.environ | {
            "AWS_SSM_START_SESSION_RESPONSE": json.dumps(told),
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "test",
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
        }
        target = json.dumps({"Target": instance})
        arguments = ["AWS_SSM_START_SESSION_RESPONSE", "us-east-1", "StartSession", "", target, url]
        self.process = subprocess.Popen(
            [plugin.build(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        )
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("Port "):
                self.port = int(line.split()[1])
                break
        else:
            raise AssertionError(f"the program ended: {''.join(self.said)}")
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)

    def says(self, words: str, bound: float = 30) -> bool:
        """Whether a line of the program has these words; waits for it `bound` seconds."""
        deadline = time.monotonic() + bound
        while not any(words in line for line in list(self.said)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def __enter__(self) -> Through:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the program."""
        self.process.kill()
        self.process.wait()

    def get(self, size: int, bound: float = 120) -> int:
        """Gets so many bytes through a connection of its own; how many came."""
        with socket.create_connection(("127.0.0.1", self.port), bound) as connection:
            connection.sendall(b"get %d\n" % size)
            return sum(map(len, iter(lambda: connection.recv(1 << 16), b"")))

    def put(self, size: int, bound: float = 120) -> int:
        """Sends so many bytes through a connection of its own; how many the other side counted."""
        with socket.create_connection(("127.0.0.1", self.port), bound) as connection:
            connection.sendall(b"put %d\n" % size + b"y" * size)
            return int(connection.makefile().readline())
