"""From keyword arguments to a document. What is right and what is missing is not decided here."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import dask.config

from crewcall.errors import UnknownFieldError

# Keyword argument -> where the document has it.
FIELDS: dict[str, tuple[str, ...]] = {
    "name": ("metadata", "name"),
    "namespace": ("metadata", "namespace"),
    "labels": ("metadata", "labels"),
    "provider": ("spec", "provider"),
    "engine": ("spec", "engine"),
    "environment": ("spec", "environment"),
    "tls": ("spec", "tls"),
    "env": ("spec", "env"),
    "secret_env": ("spec", "secretEnv"),
    "scheduler": ("spec", "scheduler"),
    "workers": ("spec", "workers"),
    "worker_groups": ("spec", "workerGroups"),
    "wait_for": ("spec", "waitFor"),
    "idle_timeout": ("spec", "idleTimeout"),
    "max_lifetime": ("spec", "maxLifetime"),
    "drain_grace": ("spec", "drainGrace"),
    "drain_timeout": ("spec", "drainTimeout"),
}

# Fields of which exactly one inner field is given: another one takes its place.
_ONE_OF = {
    "provider": ("local", "kubernetes", "ec2"),
    "environment": ("packages", "interpreter", "image"),
}

# What other cluster classes call it.
_ELSEWHERE = {
    "n_workers": "workers=N",
    "threads_per_worker": 'workers={"replicas": N, "threads": N}',
    "nthreads": 'workers={"replicas": N, "threads": N}',
    "memory_limit": 'workers={"replicas": N, "memory": "2GiB"}',
    "worker_memory": 'workers={"replicas": N, "memory": "2GiB"}',
    "worker_cpu": 'workers={"replicas": N, "cpu": "2"}',
    "resources": 'workers={"replicas": N, "resources": {"GPU": 1}}',
    "worker_options": "workers={...}",
    "scheduler_options": "scheduler={...}",
    "environ": "env={...}",
    "package_sync": 'environment={"packages": [...]}',
    "software": 'environment={"packages": [...]}',
    "image": 'environment={"image": "..."}',
    "container": 'environment={"image": "..."}',
    "region": 'provider={"ec2": {"region": "..."}}',
    "tags": "labels={...}",
    "config": 'engine={"dask": {"config": {...}}}',
    "processes": "nothing: workers are always processes",
    "dashboard_address": "nothing: the port is chosen, and `dashboard_link` names it",
    "security": "nothing: TLS is on, and `tls=False` turns it off",
    "silence_logs": "quiet=True",
    "start_timeout": 'wait_for={"timeout": "10m"}',
}


class Source(NamedTuple):
    """A document: a file, or what one would say, and what goes over it.

    Attributes:
        file: The path of a YAML file, or ``None``.
        text: The document as JSON where there is no file; else a merge patch for it, or "".
    """

    file: str | None
    text: str


def source(document: str | os.PathLike[str] | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> Source:
    """Put a document and the keyword arguments that go over it together.

    Args:
        document: The path of a file, the content of one, or nothing: then ``crewcall.defaults`` counts,
            and a cluster without a name gets a new one.
        fields: Keyword arguments; ``None`` for those that were not given.
    """
    if isinstance(document, Mapping):
        return Source(None, json.dumps(_without_none(_merged(document, changes(fields))), indent=2))
    if document is not None:
        over = changes(fields)
        return Source(os.fspath(document), json.dumps(over) if over else "")
    given = {name: value for name, value in fields.items() if value is not None}
    defaults = {
        key.replace("-", "_"): value for key, value in dask.config.get("crewcall.defaults", {}).items()
    }
    refuse_unknown([name for name in defaults if name not in FIELDS], list(FIELDS))
    over = changes({"name": f"dask-{secrets.token_hex(4)}", **defaults, **given})
    whole = {"apiVersion": "crewcall.dev/v1alpha1", "kind": "ComputeCluster", **over}
    return Source(None, json.dumps(_without_none(whole), indent=2))


def changes(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Put keyword arguments where a document has them; those that are ``None`` are left out.

    ``workers`` and each of ``worker_groups`` may be a number, which means ``replicas`` and takes the
    bounds of an adaptive group away; ``provider`` may be a word, which means that provider without
    settings; times may be ``timedelta``.

    Returns:
        Part of a document, also fit as a merge patch; in it ``None`` takes a field away.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if value is None:
            continue
        section, field = FIELDS[name]
        found.setdefault(section, {})[field] = _value(name, value)
    return found


def refuse_unknown(names: list[str], known: list[str]) -> None:
    """Refuse keyword arguments that mean nothing.

    Args:
        names: Those that were given and are not known.
        known: All that are.

    Raises:
        UnknownFieldError: There is one; it says what may have been meant.
    """
    if not names:
        return
    name = names[0]
    if name in _ELSEWHERE:
        hint = f"here it is {_ELSEWHERE[name]}"
    else:
        import difflib  # Needed for mistakes only, and slow to import.

        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean `{close[0]}`?" if close else "known are " + ", ".join(sorted(known))
    raise UnknownFieldError(f"Cluster() has no argument `{name}`", hint=hint)


def _value(name: str, value: Any) -> Any:
    if name == "workers":
        return _group(value)
    if name == "worker_groups":
        return {group: _group(template) for group, template in dict(value).items()}
    if name == "provider" and isinstance(value, str):
        value = {value: {}}
    if name in _ONE_OF and isinstance(value, Mapping):
        return {**dict.fromkeys(_ONE_OF[name]), **value}
    if isinstance(value, timedelta):
        return f"{round(value.total_seconds())}s"
    return value


def _group(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"replicas": value, "min": None, "max": None}
    if isinstance(value, Mapping):
        sized = dict(value)
        if sized.get("replicas") is not None:
            return {"min": None, "max": None, **sized}
        if sized.get("max") is not None:
            return {"replicas": None, **sized}
        return sized
    return value


def _merged(document: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in over.items():
        known = merged.get(key)
        is_deeper = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(known, value) if is_deeper else value  # type: ignore[arg-type]
    return merged


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value
