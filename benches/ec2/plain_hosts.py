"""Hosts that boot for nobody: to see how long that takes, and to give all hosts an image."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import processes
from account import Account

BOUND = 600.0
"""Seconds that anything here may take."""

DONE = "bench: done"


@contextlib.contextmanager
def plain_hosts(account: Account, count: int, command: str) -> Iterator[float]:
    """Boot hosts side by side, which end with the context; yield the seconds until all have run a command.

    Args:
        account: Where to.
        count: How many.
        command: For a shell, as root; it has to succeed.
    """
    begun = time.monotonic()
    hosts = account.run(count, f"#!/bin/sh\n{command} && echo {DONE} > /dev/console\n".encode())
    try:
        waited_for = set(hosts)

        def all_done() -> bool:
            waited_for.difference_update([name for name in waited_for if DONE in account.console(name)])
            return not waited_for

        processes.wait_until(f"{count} hosts on which `{command}` is through", all_done, BOUND, 0.05)
        yield time.monotonic() - begun
    finally:
        account.terminate(hosts)
        none_left(account)


@contextlib.contextmanager
def has_image(account: Account, state: Path, image: str) -> Iterator[None]:
    """Have all hosts that boot within the context find an image there, as with a machine image of one's own.

    Args:
        account: On the double.
        state: Where the double keeps what its hosts have.
        image: Of a container.
    """
    store = state / "pulled"
    try:
        with plain_hosts(account, 1, f"docker pull --quiet {image} && sync"):
            (name,) = account.instances("running")
            found = state / "instances" / name / "containers" / "storage"
            subprocess.run(["cp", "-a", str(found), str(store)], check=True)
        yield
    finally:
        shutil.rmtree(store, ignore_errors=True)


@contextlib.contextmanager
def held_to(processors: float | None, state: Path) -> Iterator[None]:
    """Hold each host that boots within the context to so much of a processor, as if it had one of its own.

    Args:
        processors: Of each host; None for as much as there is.
        state: Where the double keeps what its hosts have.
    """
    if processors is None:
        yield
        return
    share = state / "processors"
    share.write_text(f"{processors}")
    try:
        yield
    finally:
        share.unlink()


def none_left(account: Account) -> None:
    """Wait until no host is there any more."""
    processes.wait_until(
        "the end of all hosts",
        lambda: not account.instances("pending", "running", "shutting-down", "stopping"),
        BOUND,
        0.1,
    )
