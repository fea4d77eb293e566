"""Images that are made elsewhere, in the directory that the registry serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from . import settings


def push(layout: Path, name: str) -> None:
    """Has the registry serve the one image of a layout.

    Args:
        layout: A directory with an image layout of the Open Container Initiative.
        name: Repository and tag, `crewcall/crewcall:test`, without a registry.
    """
    repository, _, tag = name.rpartition(":")
    served = settings.images()
    (digest,) = (image["digest"] for image in json.loads((layout / "index.json").read_text())["manifests"])
    for blob in (layout / "blobs" / "sha256").iterdir():
        target = served / "blobs" / "sha256" / blob.name
        if not target.exists():
            temporary = target.with_suffix(".pushed")
            shutil.copyfile(blob, temporary)
            temporary.rename(target)
    directory = served / "repositories" / repository
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{tag}"
    temporary.write_text(digest)
    temporary.rename(directory / tag)
