"""Sessions of Session Manager through AWS' own program. Imagined instances have this machine's ports."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import CHECKOUT, client
from test_double import ask, code, run, tell

sys.path.insert(0, str(CHECKOUT / "tests" / "ec2"))

from lab import sessions

AGENTS = ["ssm:UpdateInstanceInformation", "ssmmessages:*"]


@pytest.fixture
def instance(url: str, ec2: Any) -> str:
    """One that runs, and whose role lets its agent be heard of."""
    tell(url, "profile", name="crewcall-scheduler", policy={"allow": AGENTS})
    (instance,) = run(ec2, IamInstanceProfile={"Name": "crewcall-scheduler"})
    tell(url, "advance", seconds=5)
    return instance


@pytest.fixture
def port() -> Iterator[int]:
    """Where a server listens."""
    with sessions.serving() as port:
        yield port


def start(ssm: Any, instance: str, **more: Any) -> Any:
    """`StartSession`."""
    given = {"portNumber": ["8786"], "localPortNumber": ["0"]}
    document = more.pop("document", "AWS-StartPortForwardingSession")
    return ssm.start_session(Target=instance, DocumentName=document, Parameters=given | more)


def test_a_session_needs_a_machine_with_an_agent_a_known_document_and_the_right_to_both(
    url: str, ec2: Any, ssm: Any, instance: str
) -> None:
    """Machines without the right of agents, that do not run, or are not there, are all not connected."""
    (booting,) = run(ec2, IamInstanceProfile={"Name": "crewcall-scheduler"})
    (mute,) = run(ec2, IamInstanceProfile={"Name": "crewcall-worker"})
    for target in (booting, mute, "i-0123456789abcdef0"):
        with pytest.raises(ClientError) as raised:
            start(ssm, target)
        assert code(raised) == "TargetNotConnected" and target in str(raised.value)
    with pytest.raises(ClientError) as raised:
        start(ssm, instance, document="AWS-Nothing")
    assert code(raised) == "InvalidDocument"
    with pytest.raises(ClientError) as raised:
        start(ssm, instance, portNumber=["many"])
    assert code(raised) == "ValidationException"
    narrow = {"allow": ["ssm:StartSession document/*", f"ssm:StartSession instance/{booting}"]}
    tell(url, "credentials", access_key="AKIANARROW", policy=narrow)
    with pytest.raises(ClientError) as raised:
        start(client("ssm", url, aws_access_key_id="AKIANARROW"), instance)
    assert code(raised) == "AccessDeniedException"


def test_many_connections_go_through_one_session(
    url: str, ssm: Any, instance: str, port: int, tmp_path: Path
) -> None:
    """And each gets all of its own bytes, both ways."""
    with sessions.Through(ssm, url, instance, port, tmp_path) as through:
        got: list[int] = []
        threads = [threading.Thread(target=lambda: got.append(through.get(100_000))) for _ in range(40)]
        for thread in threads:
            thread.start()
        assert through.put(300_000) == 300_000
        for thread in threads:
            thread.join()
        assert got == [100_000] * 40


def test_a_hundred_megabytes_go_through(url: str, ssm: Any, instance: str, port: int, tmp_path: Path) -> None:
    """From the machine; the program itself sends about one in a second."""
    with sessions.Through(ssm, url, instance, port, tmp_path) as through:
        assert through.get(100_000_000) == 100_000_000


def test_nobody_listening_ends_a_connection_and_not_the_session(
    url: str, ssm: Any, instance: str, tmp_path: Path
) -> None:
    """As agents have it."""
    with sessions.serving() as port:
        pass
    with sessions.Through(ssm, url, instance, port, tmp_path) as through:
        assert through.get(50_000) == 0
        assert through.process.poll() is None
        assert through.says("destination port failed")


def test_a_session_outlives_its_connection(
    url: str, ssm: Any, instance: str, port: int, tmp_path: Path
) -> None:
    """The program resumes it."""
    with sessions.Through(ssm, url, instance, port, tmp_path) as through:
        assert through.get(50_000) == 50_000
        before = ask(url, "channels")
        tell(url, "cut-channels")
        until_resumed(url, before)
        assert through.get(50_000) == 50_000


def until_resumed(url: str, before: int) -> None:
    """Waits for a channel beyond those `before`: the program ends a transfer that finds none."""
    deadline = time.monotonic() + 60
    while ask(url, "channels") <= before:
        assert time.monotonic() < deadline, f"waited 60 s for a new channel; calls: {ask(url, 'calls')}"
        time.sleep(0.1)
    assert ask(url, "calls")["ResumeSession"] >= 1


def test_a_session_that_is_terminated_ends_the_program(
    url: str, ssm: Any, instance: str, port: int, tmp_path: Path
) -> None:
    """And is not among what is left."""
    with sessions.Through(ssm, url, instance, port, tmp_path) as through:
        assert f"session {through.id}" in ask(url, "leftovers")
        ssm.terminate_session(SessionId=through.id)
        assert through.process.wait(30) == 0
        assert f"session {through.id}" not in ask(url, "leftovers")


def test_an_idle_session_ends(url: str, ssm: Any, instance: str, port: int, tmp_path: Path) -> None:
    """After 20 minutes, or what was set."""
    with sessions.Through(ssm, url, instance, port, tmp_path) as through:
        tell(url, "advance", seconds=1190)
        assert through.get(50_000) == 50_000
        # Seen by the session before time goes on.
        time.sleep(1)
        tell(url, "advance", seconds=1190)
        assert through.get(50_000) == 50_000
        time.sleep(1)
        tell(url, "advance", seconds=1210)
        assert through.process.wait(30) == 0


def test_a_machine_that_ends_says_nothing(
    url: str, ec2: Any, ssm: Any, instance: str, port: int, tmp_path: Path
) -> None:
    """The program goes on, and nothing comes through."""
    with sessions.Through(ssm, url, instance, port, tmp_path) as through:
        ec2.terminate_instances(InstanceIds=[instance])
        tell(url, "advance", seconds=5)
        assert goes_silent(through)
        assert through.process.poll() is None


def goes_silent(through: sessions.Through) -> bool:
    """Whether nothing is answered any more, within a few tries."""
    for _ in range(10):
        try:
            through.get(50_000, bound=3)
        except TimeoutError:
            return True
    return False
