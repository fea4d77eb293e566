"""Tests that fail once and tests that fail, told from each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

AGAIN = Path(__file__).parents[1] / "again.py"

FIRST = """
running 2 tests
test one ... ok
test group::two ... FAILED

failures:

---- group::two stdout ----
    indented
failures:
    group::two

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""

SECOND = """
running 1 test
test group::two ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s
"""


def again(folder: Path, first: str, second: str, code: int) -> tuple[int, str, str]:
    """Run tests that print and return this; return the exit code, how they were called, and what was told."""
    program = folder / "cargo"
    (folder / "first").write_text(first)
    (folder / "second").write_text(second)
    program.write_text(
        f'#!/bin/sh\ncd {folder}\necho "$@" >> calls\n'
        f"[ -e ran ] || {{ touch ran; cat first; exit 101; }}\ncat second; exit {code}\n"
    )
    program.chmod(0o755)
    told = folder / "told"
    told.touch()
    environment = {**os.environ, "CREWCALL_TESTS_AGAIN": str(told)}
    command = [sys.executable, str(AGAIN), str(program), "test", "--", "--test-threads", "2"]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return outcome.returncode, (folder / "calls").read_text(), told.read_text()


def test_what_fails_once_passes_and_is_told_of(tmp_path: Path) -> None:
    code, calls, told = again(tmp_path, FIRST, SECOND, 0)
    assert (code, told) == (0, "group::two\n")
    assert calls.splitlines()[1] == "test -- --test-threads 2 --exact group::two"


def test_what_fails_twice_is_red(tmp_path: Path) -> None:
    assert again(tmp_path, FIRST, FIRST, 101)[::2] == (101, "")


def test_a_second_time_without_a_test_is_red(tmp_path: Path) -> None:
    nothing = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed\n"
    assert again(tmp_path, FIRST, nothing, 0)[::2] == (1, "")


def test_a_program_that_broke_off_is_red_at_once(tmp_path: Path) -> None:
    code, calls, _ = again(tmp_path, f"{FIRST}running 5 tests\n", SECOND, 0)
    assert (code, len(calls.splitlines())) == (101, 1)


def test_many_failures_are_red_at_once(tmp_path: Path) -> None:
    many = FIRST.replace("    group::two\n", "".join(f"    group::test{number}\n" for number in range(4)))
    code, calls, _ = again(tmp_path, many, SECOND, 0)
    assert (code, len(calls.splitlines())) == (101, 1)


def test_python_tests_have_a_second_time_too(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(
        "from pathlib import Path\n"
        "def test_good(): pass\n"
        "def test_once():\n"
        "    ran = Path(__file__).with_name('ran')\n"
        "    before = ran.exists()\n"
        "    ran.touch()\n"
        "    assert before\n"
    )
    told = tmp_path / "told"
    environment = {**os.environ, "CREWCALL_TESTS_AGAIN": str(told)}
    command = [sys.executable, str(AGAIN), sys.executable, "-m", "pytest", "-q", str(file)]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout
    assert outcome.stdout.splitlines()[-1].startswith("1 passed")
    assert told.read_text().endswith("test_it.py::test_once\n")
