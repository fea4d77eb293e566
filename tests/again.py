"""Run tests; the few that fail run once more, by themselves.

    python3 tests/again.py [--between COMMAND] cargo test ...
    python3 tests/again.py [--between COMMAND] PYTHON -m pytest ...

Tests of real processes have bounds, and where stages share two processors not each of them is met each
time. What fails twice is red, as are more than `FEW` at once, and a program that did not come to its end.
What passes the second time only is told of, also in the file that ``CREWCALL_TESTS_AGAIN`` names: it is a
fault that is still to be found. COMMAND, of the shell, is run before the second time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

FEW = 3
"""So many tests may fail at first: more are no accident."""


def listed(lines: Iterable[str]) -> tuple[list[str], int] | None:
    """Return the tests that failed by what Rust's test programs print, and how many were run.

    None: a program did not come to its end, so that nobody knows what failed.
    """
    failed: list[str] = []
    block: list[str] = []
    programs = ends = run = 0
    for line in lines:
        begun = re.fullmatch(r"running (\d+) tests?", line)
        if begun:
            programs, run = programs + 1, run + int(begun[1])
        elif line == "failures:":
            # The first of two is followed by what the tests printed, the second by their names.
            block = []
        elif re.fullmatch(r" {4}\S+", line):
            block.append(line.strip())
        elif line.startswith("test result:"):
            ends += 1
            if line.startswith("test result: FAILED"):
                failed += block
            block = []
    return (failed, run) if programs == ends else None


def shown(command: list[str]) -> tuple[int, list[str]]:
    """Run a command, print its output as it comes, and return its exit code and that output's lines."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    return process.returncode, lines


class Cargo:
    """Tests in Rust."""

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def first(self) -> tuple[int, list[str]]:
        """Run them all; return the exit code and what failed, nothing where that is not known."""
        code, lines = shown(self.command)
        told = listed(lines)
        return code, sorted(set(told[0])) if told else []

    def second(self, failed: list[str]) -> int:
        """Run those again; return the exit code."""
        separator = [] if "--" in self.command else ["--"]
        code, lines = shown([*self.command, *separator, "--exact", *failed])
        told = listed(lines)
        return code or int(told is None or told[1] < len(failed))


class Pytest:
    """Tests in Python."""

    def __init__(self, command: list[str], folder: str) -> None:
        self.command = [*command, "-o", f"cache_dir={folder}"]
        self.kept = Path(folder) / "v" / "cache" / "lastfailed"

    def first(self) -> tuple[int, list[str]]:
        """Run them all; return the exit code and what failed, nothing where that is not known."""
        code = subprocess.run(self.command, check=False).returncode
        # Other codes: they were interrupted, could not be read, or there are none.
        return code, sorted(json.loads(self.kept.read_text())) if code == 1 and self.kept.exists() else []

    def second(self, _: list[str]) -> int:
        """Run what failed again; return the exit code."""
        return subprocess.run([*self.command, "--lf", "--lfnf=none"], check=False).returncode


def main(arguments: list[str]) -> int:
    """Run the tests; return the exit code."""
    between = None
    if arguments[:1] == ["--between"]:
        between, *arguments = arguments[1:]
    with tempfile.TemporaryDirectory() as folder:
        tests = Pytest(arguments, folder) if "pytest" in arguments else Cargo(arguments)
        code, failed = tests.first()
        if code == 0 or not 0 < len(failed) <= FEW:
            return code
        print(f"== once more: {' '.join(failed)}", flush=True)
        if between is not None:
            subprocess.run(between, shell=True, check=True, stdout=subprocess.DEVNULL)
        code = tests.second(failed)
    if code == 0 and (told := os.environ.get("CREWCALL_TESTS_AGAIN")):
        with Path(told).open("a") as file:
            file.writelines(f"{name}\n" for name in failed)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
