"""What the reading verbs take, with few and with many clusters on record, and what a plan takes."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import time
import uuid
from collections.abc import Iterator

from figures import Row, Spread
from installation import Installation
from session import Session

GOAL = 20.0
"""Milliseconds that a reading verb may take."""

PLAN_GOAL = 10.0
"""Milliseconds that a plan for 10,000 workers may take."""

PLAN_LINE = re.compile(r"plan for 10,000 workers, ([^:]+): ([0-9.]+)(µs|ms|s)\b")


def verbs(session: Session) -> list[Row]:
    """Time of ``get`` and ``list`` as whole processes, with 1 and with 1,000 records in the store."""
    rows = []
    with session.installation() as installation:
        installation.create("demo", 1)
        installation.wait_for_spare()
        # What it costs to start any process at all here.
        rows.append(_timed_row("a process that does nothing (`true`)", None, installation, ["true"]))
        for count in (1, 100 if session.quick else 1000):
            with _added_records(installation, count - 1):
                for verb in (["get", "demo"], ["list"]):
                    name = f"`crewcall {verb[0]}`, {count:,} cluster{'s' * (count > 1)} on record"
                    rows.append(_timed_row(name, GOAL, installation, [installation.binary, *verb]))
    return rows


def _timed_row(
    what: str, goal: float | None, installation: Installation, command: list[str], repeats: int = 21
) -> Row:
    """Return milliseconds from before the process is made to its end, the first left out."""
    walls, spent = [], []
    for _ in range(repeats):
        before, begun = _processor_time(), time.perf_counter()
        subprocess.run(
            command, env=installation.environment, stdout=subprocess.DEVNULL, check=True, timeout=60.0
        )
        walls.append((time.perf_counter() - begun) * 1000)
        spent.append((_processor_time() - before) * 1000)
    note = f"its processor time: {Spread.of(spent[1:]).text(' ms')}"
    return Row(what, "", goal, walls[1:], unit="ms", note=note)


def _processor_time() -> float:
    """Return the processor time of all ended children, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def _added_records(installation: Installation, count: int) -> Iterator[None]:
    """Put copies of the one record into the store, as those of a shared home's other machine are there.

    The controller reads and lists them like all others, but runs nothing for them.
    """
    folders = [installation.state / "clusters" / f"other-{number:04}" for number in range(count)]
    record = json.loads((installation.state / "clusters/demo/record.json").read_text())
    wanted = record["wanted"]
    wanted["machine"] = f"{wanted['machine']}-other"
    installation.verb("controller", "stop")
    try:
        for folder in folders:
            wanted["uid"] = uuid.uuid4().hex[:16]
            wanted["document"]["metadata"]["name"] = folder.name
            for part in (folder, folder / "tls", folder / "logs"):
                part.mkdir(mode=0o700)
            (folder / "record.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")
        listed = json.loads(installation.verb("list", "-o", "json").stdout)
        problems = [cluster for cluster in listed if "problem" in cluster]
        if len(listed) != count + 1 or problems:
            raise AssertionError(f"{len(listed)} of {count + 1} clusters are listed; {problems[:1]}")
        yield
    finally:
        installation.verb("controller", "stop")
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def plan(session: Session) -> list[Row]:
    """Time of a plan for 10,000 workers, as the command of `--plan-command` prints it."""
    if not session.plan_command:
        return [Row("plan() for 10,000 workers", "", PLAN_GOAL, note="no --plan-command", unit="ms")]
    done = subprocess.run(
        shlex.split(session.plan_command), capture_output=True, text=True, timeout=900.0, check=False
    )
    found: dict[str, list[float]] = {}
    for what, value, unit in PLAN_LINE.findall(done.stdout + done.stderr):
        found.setdefault(what, []).append(float(value) * {"µs": 0.001, "ms": 1.0, "s": 1000.0}[unit])
    if not found:
        raise AssertionError(f"no figures in what `{session.plan_command}` printed: {done.stderr[-500:]}")
    for what, values in found.items():
        print(f"  {what}: {statistics.median(values):.2f} ms", flush=True)
    return [
        Row(f"plan() for 10,000 workers, {what}", "", PLAN_GOAL, values, unit="ms")
        for what, values in found.items()
    ]
