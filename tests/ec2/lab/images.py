"""The images of containers that instances pull, which are those of the Kubernetes of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

from . import settings

_KUBERNETES = settings.CHECKOUT / "tests" / "kubernetes"
_BUILD = "import sys; sys.path.insert(0, sys.argv[1]); from lab import images; images.build_common()"
_NEEDED = ("dask/dask/2026.8.0", "dask/dask/2022.10.2", "library/busybox/latest")


class ImagesError(Exception):
    """The images could not be made."""


def directory() -> Path:
    """What the registry serves."""
    return settings.cache() / "kubernetes" / "registry"


def there() -> bool:
    """Whether all images are there, of whatever recipe."""
    return all((directory() / "repositories" / name).is_file() for name in _NEEDED)


def build() -> None:
    """Makes the images that are not there, or were made otherwise.

    Raises:
        ImagesError: What makes them failed; the message has its last words.
    """
    done = subprocess.run([sys.executable, "-c", _BUILD, str(_KUBERNETES)], capture_output=True, text=True)
    if done.returncode:
        raise ImagesError(f"container images: {done.stderr.strip()[-2000:]}")


def registry(log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts the registry that has them, on the address by which instances reach this machine."""
    program = _KUBERNETES / "lab" / "registry.py"
    ports = [str(settings.REGISTRY_PORT), str(settings.PRIVATE_REGISTRY_PORT)]
    return subprocess.Popen(
        [sys.executable, str(program), str(directory()), *ports, settings.GATEWAY],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        start_new_session=True,
    )
