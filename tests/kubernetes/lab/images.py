"""Images for tests, made without a container engine, in the directory that the registry serves.

A Dask image is a Python of this machine with the shared libraries that it needs, and Dask from the package
index. Its layout is what users of the public image expect: `python` and `dask` on the path, no fixed user,
nothing to write to but `/tmp`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import settings, tools

DASK_REPOSITORIES = ["dask/dask", "daskdev/dask"]
PUBLIC_REPOSITORY = "ghcr.io/dask/dask"

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_NEEDLESS = ["test", "tests", "idlelib", "turtledemo", "tkinter", "ensurepip", "pip", "setuptools", "wheel"]
_APPLETS = (
    "cat cp date echo env find grep head hostname id kill ls mkdir ps rm sh sleep stat tail tee test touch wc"
)
_QUESTIONS = """\
import json, os, sys, sysconfig
print(json.dumps({
    "minor": sysconfig.get_python_version(),
    "executable": os.path.realpath(sys.executable),
    "library": sysconfig.get_path("stdlib"),
}))
"""


class ImageError(Exception):
    """An image could not be made."""


@dataclass(frozen=True)
class DaskImage:
    """One version of Dask, and the Pythons that it may run on, the best first."""

    version: str
    requirements: tuple[str, ...]
    pythons: tuple[str, ...]
    aliases: tuple[str, ...] = ()


# What tests/run installs for clients, so that both ends are the same.
NEWEST = DaskImage(
    "2026.8.0",
    ("dask[distributed]==2026.8.0", "bokeh==3.9.2", "numpy"),
    (sys.executable, "python3"),
    aliases=("latest",),
)
OLDEST = DaskImage(
    "2022.10.2",
    ("distributed==2022.10.2", "dask==2022.10.2", "numpy<2", "pandas<2", "tornado==6.1", "bokeh<3"),
    ("python3.10", "~/.pyenv/versions/3.10*/bin/python", "python3.11", "python3"),
)


def dask_tag(image: DaskImage) -> str:
    """The tag that names Dask's version and Python's, as those of the public image do."""
    return f"{image.version}-py{_interpreter(image)['minor']}"


def build() -> None:
    """Makes all images that are not there, or were made otherwise.

    Raises:
        ImageError: A Python is missing, or a command failed.
    """
    (settings.images() / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    _unless_made("pause", _pause, {"pause": ["3.10"]}, tools.VERSION)
    build_common()
    _prune()


def build_common() -> None:
    """Makes those that are of use without Kubernetes: BusyBox and Dask.

    Raises:
        ImageError: A Python is missing, or a command failed.
    """
    (settings.images() / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    _unless_made("busybox", _busybox, {"library/busybox": ["latest", "1"]}, "")
    for image in (NEWEST, OLDEST):
        python, tag = _interpreter(image), dask_tag(image)
        tags = [tag, image.version]
        for alias in image.aliases:
            tags += [alias, f"{alias}-py{python['minor']}"]
        repositories = dict.fromkeys(DASK_REPOSITORIES, tags)
        recipe = f"{image.requirements}"
        _unless_made(f"dask-{tag}", lambda root, image=image: _dask(root, image), repositories, recipe)


def _unless_made(name: str, make: object, repositories: dict[str, list[str]], recipe: str) -> None:
    """Makes an image and tags it, unless a stamp says that the same recipe made it."""
    source = Path(__file__).read_bytes() + repr((sorted(repositories.items()), recipe)).encode()
    key = hashlib.sha256(source).hexdigest()
    stamp = settings.images() / "stamps" / name
    if stamp.exists() and stamp.read_text() == key:
        return
    began = time.monotonic()
    with _scratch(name) as root:
        configuration = make(root)
        digest, size = _write(root, configuration)
    for repository, tags in repositories.items():
        directory = settings.images() / "repositories" / repository
        directory.mkdir(parents=True, exist_ok=True)
        for tag in tags:
            (directory / tag).write_text(digest)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(key)
    print(f"image {name}: {size / 1e6:.0f} MB in {time.monotonic() - began:.0f} s", file=sys.stderr)


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    """A directory for the root of an image; what is beside it, is gone afterwards too."""
    directory = settings.cache() / "kubernetes" / f"making-{name}"
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "root").mkdir(parents=True)
    try:
        yield directory / "root"
    finally:
        shutil.rmtree(directory)


def _pause(root: Path) -> dict:
    source = tools.home() / "share" / "pause.c"
    _run(tools.find("gcc"), "-Os", "-static", "-s", "-DVERSION=test", "-o", str(root / "pause"), str(source))
    return {"Entrypoint": ["/pause"], "User": "65535:65535", "Env": ["PATH=/"]}


def _busybox(root: Path) -> dict:
    _base(root)
    listed = _run(str(root / "usr/bin/busybox"), "--list").split()
    for applet in listed:
        if not (root / "usr/bin" / applet).exists():
            (root / "usr/bin" / applet).symlink_to("busybox")
    return {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}


def _base(root: Path) -> None:
    """A merged /usr, a shell, and the few files that the C library reads."""
    for directory in ("usr/bin", "usr/lib", "usr/local/bin", "etc/ssl/certs", "root", "tmp"):
        (root / directory).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    links = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib", "usr/lib64": "lib"}
    # Loaders look where their own distribution puts libraries; all of these are one place here.
    for link, target in (links | {f"usr/lib/{platform.machine()}-linux-gnu": "."}).items():
        (root / link).symlink_to(target)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    shutil.copy(tools.find("busybox"), root / "usr/bin/busybox")
    for applet in _APPLETS.split():
        (root / "usr/bin" / applet).symlink_to("busybox")


def _dask(root: Path, image: DaskImage) -> dict:
    _base(root)
    python = _interpreter(image)
    library = root / "usr/local/lib" / f"python{python['minor']}"
    needless = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "config-*", *_NEEDLESS)
    shutil.copytree(python["library"], library, ignore=needless)
    executable = root / "usr/local/bin" / f"python{python['minor']}"
    shutil.copy(python["executable"], executable)
    for link in ("python", "python3"):
        (executable.parent / link).symlink_to(executable.name)

    environment = root.parent / "environment"
    _run(python["executable"], "-m", "venv", str(environment))
    pip = [str(environment / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "install", "--quiet", "--no-compile", *image.requirements)
    packages = environment / "lib" / library.name / "site-packages"
    leave = shutil.ignore_patterns(
        "__pycache__", "pip*", "setuptools*", "_distutils_hack", "distutils-precedence.pth"
    )
    shutil.copytree(packages, library / "site-packages", ignore=leave)
    # Debian's Python looks for packages in a directory of this name.
    (library / "dist-packages").symlink_to("site-packages")
    for script in ("dask", "dask-scheduler", "dask-worker"):
        _script(environment / "bin" / script, executable.parent / script)
    _shared_libraries(root, [executable, *library.rglob("*.so*")])
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    if authorities.exists():
        shutil.copy(authorities, root / "etc/ssl/certs")
    # Times are not kept in the layer, so compiled files must not depend on them.
    _run(
        *(str(environment / "bin/python"), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(root), "-p", "/", str(library)),
        check=False,
    )
    return {
        "Cmd": ["python"],
        "Env": [
            "PATH=/usr/local/bin:/usr/bin",
            "LANG=C.UTF-8",
            "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
        ],
    }


def _script(source: Path, target: Path) -> None:
    """A console script with the interpreter of the image."""
    if source.exists():
        target.write_text("#!/usr/local/bin/python\n" + source.read_text().split("\n", 1)[1])
        target.chmod(0o755)


def _shared_libraries(root: Path, binaries: list[Path]) -> None:
    """Copies what these are linked with and the image lacks."""
    wanted = [str(path) for path in binaries if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    lines = _run("ldd", *wanted, check=False).splitlines()
    found = {
        Path(word)
        for line in lines
        for word in line.split()
        if word.startswith("/") and not word.endswith(":")
    }
    # Loaded by name when a thread is cancelled.
    found.add(Path(_run(tools.find("gcc"), "-print-file-name=libgcc_s.so.1").strip()))
    for path in found:
        target = root / "usr/lib" / path.name
        if path.is_file() and not path.is_relative_to(root) and not target.exists():
            shutil.copy(path, target)


_interpreters: dict[DaskImage, dict[str, str]] = {}


def _interpreter(image: DaskImage) -> dict[str, str]:
    """What the first of the image's Pythons says of itself."""
    if image not in _interpreters:
        for pattern in image.pythons:
            path = Path(pattern).expanduser()
            candidates = (
                sorted(str(p) for p in Path("/").glob(str(path)[1:])) if path.is_absolute() else [pattern]
            )
            for candidate in candidates:
                # A command that is there may be a shim that does not run.
                answer = subprocess.run([candidate, "-c", _QUESTIONS], capture_output=True, text=True)
                if answer.returncode == 0:
                    _interpreters[image] = json.loads(answer.stdout)
                    return _interpreters[image]
        raise ImageError(f"no Python for Dask {image.version}; looked for {', '.join(image.pythons)}")
    return _interpreters[image]


def _write(root: Path, configuration: dict) -> tuple[str, int]:
    """Writes an image of one layer into the registry's directory; its digest, and its size in bytes."""
    layer = root.parent / "layer.tar"
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as archive:
        for entry in sorted(root.iterdir()):
            archive.add(entry, entry.name, filter=_anonymous)
    content = hashlib.sha256()
    compressed = io.BytesIO()
    # The cheapest level: disks are slower than it, and the registry is near.
    with (
        layer.open("rb") as source,
        gzip.GzipFile(fileobj=compressed, mode="wb", compresslevel=1, mtime=0) as target,
    ):
        while chunk := source.read(1 << 20):
            content.update(chunk)
            target.write(chunk)
    document = {
        "architecture": _ARCHITECTURE,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{content.hexdigest()}"]},
        "config": {"WorkingDir": "/"} | configuration,
    }
    layer_digest = _blob(compressed.getvalue())
    encoded = json.dumps(document, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": _blob(encoded),
            "size": len(encoded),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer_digest,
                "size": len(compressed.getvalue()),
            }
        ],
    }
    return _blob(json.dumps(manifest, sort_keys=True).encode()), len(compressed.getvalue())


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's and timeless, so that the same files make the same layer."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _blob(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    path = settings.images() / "blobs" / "sha256" / digest
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(content)
        temporary.rename(path)
    return f"sha256:{digest}"


def _prune() -> None:
    """Removes blobs that no tag leads to."""
    blobs = settings.images() / "blobs" / "sha256"
    used = set()
    for tag in (settings.images() / "repositories").rglob("*"):
        if tag.is_file():
            digest = tag.read_text().removeprefix("sha256:")
            manifest = json.loads((blobs / digest).read_text())
            used |= {digest} | {
                part["digest"].removeprefix("sha256:") for part in [manifest["config"], *manifest["layers"]]
            }
    for path in blobs.iterdir():
        if path.name not in used:
            path.unlink()


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise ImageError(f"{' '.join(command[:6])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
