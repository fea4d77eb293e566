"""What the program cannot know of the Python that calls it."""

from __future__ import annotations

import os
import site
import sys
import sysconfig


def arguments() -> list[str]:
    """Words for ``crewcall create`` that name this Python and the folders it imports from."""
    words: list[str] = []
    if sys.executable:
        words += ["--python", sys.executable]
    for folder in import_path():
        words += ["--import-path", folder]
    return words


def import_path() -> list[str]:
    """Folders on ``sys.path`` that are the caller's, not the interpreter's; always with the current one."""
    own = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), *_user_site()]
    own += [os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)]
    own = [os.path.realpath(folder) for folder in own if folder]
    found: list[str] = []
    for entry in [*sys.path, ""]:
        folder = os.path.abspath(entry)
        real = os.path.realpath(folder)
        inside = any(real == known or real.startswith(known + os.sep) for known in own)
        if not inside and folder not in found and os.path.isdir(folder):
            found.append(folder)
    return found


def _user_site() -> list[str]:
    # Virtual environments may have a `site` without it.
    get = getattr(site, "getusersitepackages", None)
    return [get()] if get else []
