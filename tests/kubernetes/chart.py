"""The charts, and what Helm makes of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts" / "crewcall"
DEFINITIONS = ROOT / "charts" / "crewcall-crds"
VALUES = Path(__file__).resolve().parent / "charts" / "values"
RENDERED = VALUES.parent / "rendered"
NAMED = ("--set", "image.repository=registry.example.com/crewcall")
BOUND = 180.0
UPDATE = bool(os.environ.get("CREWCALL_UPDATE"))


def helm(*arguments: str, check: bool = True, kubeconfig: str | None = None) -> subprocess.CompletedProcess:
    """Runs Helm, of which nothing outside the test is seen."""
    if "CREWCALL_TEST_HELM" not in os.environ:
        pytest.skip("CREWCALL_TEST_HELM names no helm")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))
    }
    done = subprocess.run(
        [os.environ["CREWCALL_TEST_HELM"], *arguments],
        capture_output=True,
        text=True,
        timeout=BOUND,
        env=environment | {"KUBECONFIG": kubeconfig or os.devnull},
    )
    assert not check or done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done


def template(*arguments: str, release: str = "crewcall", namespace: str = "crewcall-system") -> str:
    """What an installation would make, as YAML."""
    return helm("template", release, str(CHART), "--namespace", namespace, *arguments).stdout


def objects(text: str) -> list[dict[str, Any]]:
    """The objects in a text of Helm's."""
    return [document for document in yaml.safe_load_all(text) if document]


def one(rendered: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The object of a kind, of which there is one, or one of that name."""
    (found,) = (o for o in rendered if o["kind"] == kind and name in (None, o["metadata"]["name"]))
    return found


def compare(path: Path, text: str) -> None:
    """A recorded text is as it was, or is written anew with CREWCALL_UPDATE=1."""
    if UPDATE:
        path.write_text(text)
    assert path.read_text() == text, f"{path} is not current: see the difference, then CREWCALL_UPDATE=1"


def leaves(schema: dict[str, Any], root: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    """The values that a schema describes: path and description."""
    schema = _resolved(schema, root)
    if "description" in schema:
        return [(path, schema["description"])]
    parts = schema.get("properties", {})
    return [leaf for key, part in parts.items() for leaf in leaves(part, root, f"{path}.{key}".lstrip("."))]


def objects_of_schema(schema: dict[str, Any], root: dict[str, Any], path: str = "") -> list[tuple[str, dict]]:
    """The parts of a schema whose keys are known: path and part."""
    schema = _resolved(schema, root)
    found = [(path, schema)] if "properties" in schema else []
    for key, part in schema.get("properties", {}).items():
        found += objects_of_schema(part, root, f"{path}.{key}".lstrip("."))
    return found


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    return root["definitions"][schema["$ref"].rpartition("/")[2]] | {
        key: value for key, value in schema.items() if key != "$ref"
    }


def value_at(values: dict[str, Any], path: str) -> Any:
    """What stands at a path of values."""
    for key in path.split("."):
        values = values[key]
    return values


def table() -> str:
    """The table of values for people, of schema and values."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    lines = ["| value | default | what |", "|---|---|---|"]
    for path, description in leaves(schema, schema):
        if path != "global":
            default = json.dumps(value_at(values, path))
            lines.append(f"| `{path}` | `{default}` | {description} |")
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """The README with the table as it is to be."""
    marks = r"(<!-- values -->\n).*(<!-- end of values -->)"
    return re.sub(marks, lambda found: f"{found[1]}\n{table()}\n{found[2]}", readme, flags=re.DOTALL)
