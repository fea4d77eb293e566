"""What can go wrong: one exception per kind, each with the message and the hint of the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any


class CrewcallError(Exception):
    """Something that Crewcall could not do.

    Attributes:
        message: What happened to what, and why.
        hint: The next step; ``None`` where there is none to name.
        seen: Lines about what was seen meanwhile, such as the end of a log.
    """

    def __init__(self, message: str, *, hint: str | None = None, seen: Sequence[str] = ()):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.seen = tuple(seen)

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for text in self.seen for line in text.splitlines())]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.seen)


class DocumentError(CrewcallError, ValueError):
    """The document cannot be read, or is not valid."""


class UnknownFieldError(CrewcallError, TypeError):
    """A keyword argument that names no field of a document."""


class ClusterNotFoundError(CrewcallError, LookupError):
    """There is no such cluster or node."""


class RefusedError(CrewcallError):
    """The request contradicts what is there, such as a field that is fixed for a cluster's life."""


class WaitTimeoutError(CrewcallError, asyncio.TimeoutError):
    """What was waited for did not come in time. It may still come."""


class SoftwareError(CrewcallError):
    """The Python environment of the cluster cannot be used or built."""


class ProviderError(CrewcallError):
    """The provider refused or failed, or what runs there keeps failing."""


class ControllerError(CrewcallError, ConnectionError):
    """The controller cannot be started or reached."""


class ProgramError(CrewcallError, OSError):
    """The ``crewcall`` program itself cannot be found or run."""


# The exit codes of the command line; its reference explains them.
_BY_EXIT: dict[int, type[CrewcallError]] = {
    2: DocumentError,
    3: DocumentError,
    4: ClusterNotFoundError,
    5: RefusedError,
    6: WaitTimeoutError,
    7: SoftwareError,
    8: ProviderError,
    9: ControllerError,
}

_BY_CODE: dict[str, type[CrewcallError]] = {
    "notFound": ClusterNotFoundError,
    "invalid": DocumentError,
    "conflict": RefusedError,
    "refused": RefusedError,
    "elsewhere": RefusedError,
    "unsupported": RefusedError,
    "timeout": WaitTimeoutError,
    "provider": ProviderError,
    "unreachable": ControllerError,
}


def from_exit(error: Mapping[str, Any]) -> CrewcallError:
    """Make the exception for a command's last JSON line.

    Args:
        error: What the line has under ``error``: ``exit``, ``message``, ``seen`` and ``hint``.
    """
    kind = _BY_EXIT.get(int(error.get("exit") or 1), CrewcallError)
    return kind(str(error["message"]), hint=error.get("hint"), seen=error.get("seen") or ())


def from_code(error: Mapping[str, Any]) -> CrewcallError:
    """Make the exception for an error of the controller.

    Args:
        error: Its ``code``, ``message`` and ``hint``.
    """
    kind = _BY_CODE.get(str(error.get("code")), CrewcallError)
    return kind(str(error["message"]), hint=error.get("hint"))


def _rebuild(kind: type[CrewcallError], message: str, hint: str | None, seen: Sequence[str]) -> CrewcallError:
    return kind(message, hint=hint, seen=seen)
