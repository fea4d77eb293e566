"""The image that is made for the operator."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import chart
from conftest import Kubectl, pod

CONTROLLER = chart.ROOT / "images" / "controller"
MEGABYTES = 40
"""As it travels; a first bound, far below what an image with a distribution has."""


def made(output: Path, *arguments: str) -> dict:
    """What `image.py` prints."""
    command = [sys.executable, str(CONTROLLER / "image.py"), *arguments, str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def blob(layout: Path, described: dict) -> Path:
    return layout / "blobs" / "sha256" / described["digest"].removeprefix("sha256:")


def image_of(layout: Path) -> tuple[dict, tarfile.TarFile]:
    """The configuration and the one layer of a layout."""
    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(layout, manifest).read_text())
    (layer,) = manifest["layers"]
    return json.loads(blob(layout, manifest["config"]).read_text()), tarfile.open(blob(layout, layer))


def test_the_image_holds_the_program_and_no_more(operator_layout: Path) -> None:
    configuration, layer = image_of(operator_layout)
    with layer:
        files = {member.name: member for member in layer.getmembers() if not member.isdir()}
    libraries = {name for name in files if re.match(r"(usr/)?lib", name)}
    assert set(files) - libraries == {
        "etc/group",
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        "usr/local/bin/crewcall",
        "usr/share/doc/crewcall/LICENSE-APACHE",
        "usr/share/doc/crewcall/LICENSE-MIT",
    }
    assert all((file.uid, file.mtime, file.mode & 0o6022) == (0, 0, 0) for file in files.values())
    assert configuration["config"]["User"] == "65532:65532"
    size = sum(path.stat().st_size for path in (operator_layout / "blobs" / "sha256").iterdir())
    shared = f"with {len(libraries)} shared libraries" if libraries else "static"
    print(f"the operator's image has {size / 1e6:.1f} MB, {shared}")
    assert size < MEGABYTES * 1e6


def test_the_same_program_gives_the_same_image(tmp_path: Path) -> None:
    program = shutil.which("true")
    first = made(tmp_path / "first", "--binary", program)
    assert made(tmp_path / "second", "--binary", program) == first
    other = made(tmp_path / "first", "--binary", shutil.which("false"))
    assert other["digest"] != first["digest"]
    assert len(list((tmp_path / "first" / "blobs" / "sha256").iterdir())) == 3


def test_an_archive_is_the_layout(tmp_path: Path) -> None:
    program = shutil.which("true")
    assert made(tmp_path / "image.tar", "--binary", program) == made(tmp_path / "image", "--binary", program)
    with tarfile.open(tmp_path / "image.tar") as archive:
        assert {"index.json", "oci-layout"} < set(archive.getnames())


def test_docker_is_told_to_make_the_same(tmp_path: Path) -> None:
    made(tmp_path, "--binary", shutil.which("true"))
    configuration = image_of(tmp_path)[0]["config"]
    said = (CONTROLLER / "Dockerfile").read_text().partition("FROM scratch\n")[2]
    words = dict(line.split(" ", 1) for line in said.splitlines())
    assert words["USER"] == configuration["User"]
    assert words["WORKDIR"] == configuration["WorkingDir"]
    assert words["ENV"].split() == configuration["Env"]
    assert json.loads(words["ENTRYPOINT"]) == configuration["Entrypoint"]


def test_the_program_runs_in_a_restricted_pod(kubectl: Kubectl, operator_image: str) -> None:
    repository, _, digest = operator_image.partition("@")
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    created = pod("version", f"{repository}@{digest}", ["/usr/local/bin/crewcall"])
    (container,) = created["spec"]["containers"]
    del container["command"]
    container |= {"args": ["--version"], "securityContext": security}
    # The image says who runs it.
    created["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    kubectl.create(created)
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", "pod/version")
    version = re.search(r'^version = "(.+)"$', (chart.ROOT / "Cargo.toml").read_text(), flags=re.M)[1]
    assert kubectl("logs", "version").split() == ["crewcall", version]
    assert os.environ["CREWCALL_TEST_REGISTRY"] in repository
