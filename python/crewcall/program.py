"""The ``crewcall`` program: where it is, and how it is called for one answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

import dask.config

from crewcall.errors import CrewcallError, ProgramError

# Seconds within which a command answers that at most starts a controller.
ANSWER_BOUND = 60.0


def find_program() -> str:
    """Find the program: that of ``crewcall.program``, else this package's own, else the one on ``PATH``.

    Returns:
        An absolute path.

    Raises:
        ProgramError: There is none.
    """
    named = dask.config.get("crewcall.program", None)
    if named:
        found = shutil.which(os.path.expanduser(str(named)))
        if not found:
            raise ProgramError(
                f"crewcall.program names {named}, which is no program that can be run",
                hint="correct it in Dask's configuration, or take it out to use the installed one",
            )
        return os.path.abspath(found)
    beside = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable or "")]
    for folder in filter(None, beside):
        candidate = os.path.join(folder, "crewcall")
        if os.access(candidate, os.X_OK):
            return candidate
    found = shutil.which("crewcall")
    if not found:
        raise ProgramError(
            f"there is no program `crewcall` beside {sys.executable} or on the PATH",
            hint="install this package with pip, which brings it, or name it as crewcall.program",
        )
    return os.path.abspath(found)


def ask(*arguments: str) -> Any:
    """Run a command that prints one JSON document.

    Args:
        arguments: The words after ``crewcall``.

    Returns:
        What it printed.

    Raises:
        ProgramError: It cannot be run, or printed something else.
        CrewcallError: It failed, and says why.
    """
    command = [find_program(), *arguments]
    shown = "crewcall " + " ".join(arguments)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_BOUND,
            # Ctrl-C is for Python, which decides what it means.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"`{shown}` printed nothing within {ANSWER_BOUND:.0f} s") from error
    except OSError as error:
        raise ProgramError(f"cannot run {command[0]}: {error}") from error
    if done.returncode:
        raise failure(done.stderr, f"`{shown}` ended with code {done.returncode}")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise ProgramError(f"`{shown}` printed what is no JSON: {done.stdout[:200]!r}") from error


def failure(text: str, otherwise: str) -> CrewcallError:
    """Make an exception of what a command wrote to standard error.

    Args:
        text: That.
        otherwise: What to say when it wrote nothing.
    """
    message, _, hint = text.strip().partition("\nhint: ")
    return CrewcallError(message.removeprefix("error: ") or otherwise, hint=hint or None)
