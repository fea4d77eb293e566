#!/usr/bin/env python3
"""The operator's image, made without a container engine.

It holds the program, certificates of public authorities, and nothing else: no shell, no package manager. The
program is linked statically where this machine has what that takes (``x86_64-unknown-linux-musl`` and
``musl-gcc``); where it has not, the shared libraries that it needs come with it.

What is written is an image layout of the Open Container Initiative, version 1.1: a directory, or, for a name
that ends in ``.tar``, an archive.
"""

from __future__ import annotations

import argparse
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
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PROFILE = "image"
USER = 65532
PROGRAM = "usr/local/bin/crewcall"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
CARGO_OPTIONS = ["--locked", "--no-default-features", "--features", "kubernetes", "--bin", "crewcall"]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.oci.image"


class ImageError(Exception):
    """The image could not be made."""


def main() -> int:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", type=Path, help="a program that is built already")
    parser.add_argument("--name", default="crewcall:latest", help="what the image is called in the layout")
    parser.add_argument("--root", action="store_true", help="write the files of the image, and no layout")
    parser.add_argument(
        "output", type=Path, help="a directory that is empty or of an image before, or a .tar"
    )
    given = parser.parse_args()
    try:
        binary = given.binary or build()
        with tempfile.TemporaryDirectory(prefix="crewcall-image-") as scratch:
            root = given.output if given.root else Path(scratch) / "root"
            fill(root, binary)
            if not given.root:
                print(json.dumps(write(root, given.output, given.name)))
    except ImageError as error:
        sys.exit(f"error: {error}")
    return 0


def build() -> Path:
    """Builds the program, static if it can be; its path.

    Raises:
        ImageError: Cargo failed.
    """
    target = f"{platform.machine()}-unknown-linux-musl"
    options = ["--profile", PROFILE, *CARGO_OPTIONS]
    directory = Path(os.environ.get("CARGO_TARGET_DIR") or CHECKOUT / "target")
    if can_link_statically(target):
        options += ["--target", target]
        directory /= target
    done = subprocess.run(["cargo", "build", *options], cwd=CHECKOUT)
    if done.returncode:
        raise ImageError(f"cargo build {' '.join(options)} failed")
    return directory / PROFILE / "crewcall"


def can_link_statically(target: str) -> bool:
    """Whether this machine has the target, which rustup may fetch, and a C compiler for it."""
    if not (shutil.which("musl-gcc") and shutil.which("rustup")):
        print("no musl-gcc or no rustup here: the image gets shared libraries", file=sys.stderr)
        return False
    added = subprocess.run(["rustup", "target", "add", target], cwd=CHECKOUT, capture_output=True, text=True)
    if added.returncode:
        print(f"no {target} here: the image gets shared libraries: {added.stderr.strip()}", file=sys.stderr)
    return added.returncode == 0


def fill(root: Path, binary: Path) -> None:
    """Puts the files of the image below a directory.

    Raises:
        ImageError: This machine has no certificates, or a library is missing.
    """
    if not AUTHORITIES.is_file():
        raise ImageError(f"{AUTHORITIES} is missing: install ca-certificates")
    licences = root / "usr/share/doc/crewcall"
    for directory in ((root / PROGRAM).parent, root / "etc/ssl/certs", root / "tmp", licences):
        directory.mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    copy(binary, root / PROGRAM, 0o755)
    copy(AUTHORITIES, root / AUTHORITIES.relative_to("/"), 0o644)
    for licence in CHECKOUT.glob("LICENSE-*"):
        copy(licence, licences / licence.name, 0o644)
    (root / "etc/passwd").write_text(f"crewcall:x:{USER}:{USER}::/tmp:/nonexistent\n")
    (root / "etc/group").write_text(f"crewcall:x:{USER}:\n")
    for library in libraries(binary):
        target = root / library.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(library, target, 0o755)


def copy(source: Path, target: Path, mode: int) -> None:
    """Copies the content of a file."""
    shutil.copyfile(source, target)
    target.chmod(mode)


def libraries(binary: Path) -> list[Path]:
    """The loader and the shared libraries of a program; none of a static one.

    Raises:
        ImageError: One is not on this machine.
    """
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, env={"LC_ALL": "C"} | PATHS)
    if "not found" in listed.stdout:
        raise ImageError(f"a library of {binary} is missing here: {listed.stdout.strip()}")
    words = [word for line in listed.stdout.splitlines() for word in line.split()]
    return [Path(word) for word in words if word.startswith("/") and not word.endswith(":")]


PATHS = {"PATH": os.environ.get("PATH", os.defpath)}


def write(root: Path, output: Path, name: str) -> dict[str, object]:
    """Writes the layout; the image's digest, and its size in bytes, as it travels."""
    with tempfile.TemporaryDirectory(prefix="crewcall-layout-") as scratch:
        layout = Path(scratch) if output.suffix == ".tar" else output
        if (layout / "index.json").exists():
            shutil.rmtree(layout / "blobs", ignore_errors=True)
        (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        content, layer = compressed(root)
        configuration = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {
                "User": f"{USER}:{USER}",
                "WorkingDir": "/tmp",
                "Entrypoint": [f"/{PROGRAM}"],
                "Env": ["PATH=/usr/local/bin", "HOME=/tmp", f"SSL_CERT_FILE={AUTHORITIES}"],
                "Labels": labels(),
            },
            "rootfs": {"type": "layers", "diff_ids": [content]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.manifest.v1+json",
            "config": blob(layout, encoded(configuration), f"{MEDIA}.config.v1+json"),
            "layers": [blob(layout, layer, f"{MEDIA}.layer.v1.tar+gzip")],
        }
        described = blob(layout, encoded(manifest), manifest["mediaType"])
        names = {
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            "io.containerd.image.name": name,
        }
        index = {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.index.v1+json",
            "manifests": [described | {"annotations": names}],
        }
        (layout / "index.json").write_bytes(encoded(index))
        (layout / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))
        if layout is not output:
            with tarfile.open(output, "w") as archive:
                for entry in sorted(layout.iterdir()):
                    archive.add(entry, entry.name, filter=anonymous)
    size = len(layer) + described["size"] + manifest["config"]["size"]
    return {"digest": described["digest"], "bytes": size, "name": name}


def labels() -> dict[str, str]:
    """What the image says of itself."""
    manifest = (CHECKOUT / "Cargo.toml").read_text().split("\n[", 2)[0]
    fields = dict(line.split(" = ", 1) for line in manifest.splitlines() if " = " in line)
    key = "org.opencontainers.image"
    return {
        f"{key}.title": "crewcall",
        f"{key}.description": json.loads(fields["description"]),
        f"{key}.version": json.loads(fields["version"]),
        f"{key}.licenses": json.loads(fields["license"]),
    }


def compressed(root: Path) -> tuple[str, bytes]:
    """The layer: the digest of its content, and its bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in sorted(root.iterdir()):
            archive.add(entry, entry.name, filter=anonymous)
    return digest(plain.getvalue()), gzip.compress(plain.getvalue(), 6, mtime=0)


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's and timeless, so that the same files make the same image."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def encoded(document: dict) -> bytes:
    """As JSON, always the same."""
    return json.dumps(document, sort_keys=True).encode()


def digest(content: bytes) -> str:
    """The name of a blob."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def blob(layout: Path, content: bytes, media: str) -> dict:
    """Writes a blob; its descriptor."""
    name = digest(content)
    (layout / "blobs/sha256" / name.removeprefix("sha256:")).write_bytes(content)
    return {"mediaType": media, "digest": name, "size": len(content)}


if __name__ == "__main__":
    sys.exit(main())
