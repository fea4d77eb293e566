"""AWS' own program for sessions, as clients have it: built from pinned Go modules."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import settings

MODULE = settings.HERE / "tools"
NAME = "session-manager-plugin"

_PACKAGE = "github.com/aws/session-manager-plugin/src/sessionmanagerplugin-main"
# CGO_ENABLED and -trimpath are in the keys of Go's cache: with other values every package compiles anew.
_ENVIRONMENT = {
    "GOFLAGS": "-buildvcs=false -trimpath",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "CGO_ENABLED": "0",
}


class PluginError(Exception):
    """The program could not be built."""


def directory() -> Path:
    """Where the program is, of this checkout's recipe."""
    recipe = b"\0".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return settings.cache() / f"{NAME}-{hashlib.sha256(recipe).hexdigest()[:16]}"


def build() -> Path:
    """Builds it if it is not there, within a minute, and returns its path.

    Raises:
        PluginError: There is no Go, or the build failed; the message has its last words.
    """
    program = directory() / NAME
    if program.exists():
        return program
    if not shutil.which("go"):
        raise PluginError(f"building {NAME} needs Go 1.26 or newer on the path")
    began = time.monotonic()
    program.parent.mkdir(parents=True, exist_ok=True)
    temporary = program.with_suffix(f".{os.getpid()}")
    environment = os.environ | _ENVIRONMENT | {"GOCACHE": str(settings.cache() / "go-build")}
    command = ["go", "build", "-ldflags=-s -w", "-o", str(temporary), _PACKAGE]
    done = subprocess.run(command, cwd=MODULE, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise PluginError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    temporary.rename(program)
    print(f"built {NAME} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return program
