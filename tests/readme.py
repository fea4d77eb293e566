"""Runs the command blocks of README.md, in order, in one shell, as a newcomer with an empty home would.

A line that begins with ``$ `` is run; the lines below it, if any, are what it must print. ``tests/run``,
which runs this, is left out.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = {"tests/run"}
# What a newcomer has, too.
KEPT = ("PATH", "LANG", "PIP_CERT", "PIP_FIND_LINKS", "RUSTUP_TOOLCHAIN")


def steps(readme: str) -> list[tuple[str, str]]:
    """Find the commands and what each must print ("" for: not said)."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", readme, flags=re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif found:
                command, printed = found[-1]
                found[-1] = (command, printed + line + "\n")
    return [step for step in found if step[0] not in NOT_RUN]


def script(commands: list[str], results: Path) -> str:
    """Write the shell script: each command's standard output goes to a file named by its number."""
    lines = ["set -e"]
    for number, command in enumerate(commands):
        lines += [f"echo {shlex.quote('$ ' + command)} >&2", f"{command} > {results}/{number}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Return the exit code: 0 when every command succeeded and printed what README.md says."""
    found = steps((ROOT / "README.md").read_text())
    if len(found) < 10:
        print(f"only {len(found)} commands were found in README.md", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="cw-readme-") as folder:
        home = Path(folder)
        checkout, results = home / "checkout", home / "results"
        results.mkdir()
        shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns("target", ".git", "__pycache__"))
        target = os.environ.get("CARGO_TARGET_DIR")
        if target:
            (checkout / "target").symlink_to(target)
        kept = {
            name: os.environ[name]
            for name in ("PATH", "LANG", "PIP_FIND_LINKS", "PIP_CERT")
            if name in os.environ
        }
        cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
        rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
        environment = {**kept, "HOME": folder, "CARGO_HOME": cargo, "RUSTUP_HOME": rustup}
        shell = ["bash", "-c", script([command for command, _ in found], results)]
        try:
            ran = subprocess.run(shell, cwd=checkout, env=environment, timeout=900)
        finally:
            program = checkout / "target" / "debug" / "crewcall"
            if program.exists():
                for arguments in (["delete", "--all"], ["controller", "stop"]):
                    subprocess.run([program, *arguments], env=environment, capture_output=True, timeout=60)
        if ran.returncode:
            return ran.returncode
        for number, (command, expected) in enumerate(found):
            printed = (results / str(number)).read_text()
            if expected and printed != expected:
                print(f"$ {command}\nprinted\n{printed}instead of\n{expected}", file=sys.stderr)
                return 1
    print(f"{len(found)} commands of README.md do what it says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
