"""The wheel: built, installed into a fresh environment, used, removed; and the source distribution.

``python tests/package.py MATURIN FOLDER`` needs a Python with ``venv``. FOLDER keeps what was built. The
wheel has the program as cargo's ``dev`` profile makes it; ``CARGO_TARGET_DIR`` says where cargo works.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*words: object, **more: object) -> str:
    """Run a command; what it prints."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def only(folder: Path, pattern: str) -> Path:
    """Find the one file of that name."""
    (found,) = folder.glob(pattern)
    return found


def check_content(wheel: Path) -> None:
    """See that the program and the package are there, and nothing that is for tests."""
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith(".data/scripts/crewcall") for name in names), names
    for name in ("__init__.py", "cluster.py", "py.typed"):
        assert f"crewcall/{name}" in names, names
    stray = [name for name in names if "__pycache__" in name or "test" in name]
    assert not stray, stray
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB, of the dev profile")


def check_program(program: Path, home: Path) -> None:
    """See that the command is the Rust program itself and starts no Python."""
    assert program.read_bytes()[:4] == b"\x7fELF", "the command is a script"
    # With nothing on the PATH it could not find a Python either.
    bare = {"PATH": "", "HOME": str(home)}
    assert run(program, "--version", env=bare).startswith("crewcall "), "a version"


USE = """
from distributed import Client
from crewcall import Cluster, __version__
with Cluster(workers=1) as cluster, Client(cluster) as client:
    print(__version__, client.submit(abs, -7).result(timeout=120))
"""


def check_installed(wheel: Path, root: Path) -> None:
    """Install, use, remove; nothing but the user's state may be left."""
    venv, home = root / "venv", root / "home"
    home.mkdir()
    run(sys.executable, "-m", "venv", venv)
    before = {path for path in venv.rglob("*") if "__pycache__" not in path.parts}
    python = venv / "bin" / "python"
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "dask==2026.8.0", "distributed==2026.8.0")
    with_dask = {path for path in venv.rglob("*") if "__pycache__" not in path.parts}
    assert with_dask > before
    run(*pip, "install", wheel)
    check_program(venv / "bin" / "crewcall", home)
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(root / "run")}
    (root / "run").mkdir(mode=0o700)
    version, answer = run(python, "-c", USE, env=kept, cwd=home).split()
    assert answer == "7"
    assert f"-{version}-" in wheel.name
    run(venv / "bin" / "crewcall", "controller", "stop", env=kept)
    run(*pip, "uninstall", "--yes", "crewcall")
    left = {path for path in venv.rglob("*") if "__pycache__" not in path.parts} - with_dask
    assert not left, left
    at_home = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert all(name.startswith((".local/state/crewcall/", ".cache/crewcall/")) for name in at_home), at_home


def check_source(archive: Path) -> None:
    """See that the program can be built from the source distribution: its manifest and all it names."""
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    for name in ("Cargo.toml", "Cargo.lock", "pyproject.toml", "src/main.rs", "python/crewcall/cluster.py"):
        assert name in names, f"{name} is missing"
    assert "src/engine/dask/python/crewcall_preload.py" in names
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(archive, folder)
        (root,) = Path(folder).iterdir()
        run("cargo", "metadata", "--locked", "--offline", "--format-version", "1", cwd=root)


def main() -> None:
    """Build and check everything."""
    maturin, folder = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    features = ("--no-default-features", "--features", "local,failpoints")
    run(maturin, "build", "--quiet", "--profile", "dev", *features, "--out", folder, cwd=ROOT)
    run(maturin, "sdist", "--out", folder, cwd=ROOT)
    wheel = only(folder, "*.whl")
    check_content(wheel)
    check_source(only(folder, "*.tar.gz"))
    with tempfile.TemporaryDirectory(prefix="cw-wheel-", dir="/tmp") as root:
        check_installed(wheel, Path(root))


if __name__ == "__main__":
    main()
