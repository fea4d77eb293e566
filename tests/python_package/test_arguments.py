"""Arguments, documents and errors: what is said, and by whom."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import crewcall as package
import dask
import pytest
from crewcall import (
    Cluster,
    ClusterNotFoundError,
    CrewcallError,
    DocumentError,
    ProgramError,
    RefusedError,
    SoftwareError,
    UnknownFieldError,
)
from crewcall.document import FIELDS, source
from support import crewcall, names


def document(*arguments: object, **fields: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(source(arguments[0] if arguments else None, fields).text)
    return found


def test_every_field_of_a_document_has_its_argument() -> None:
    schema = json.loads(crewcall("schema"))
    spec = schema["$defs"]["ClusterSpec"]["properties"]
    metadata = schema["$defs"]["Metadata"]["properties"]
    expected = {("spec", field) for field in spec} | {("metadata", field) for field in metadata}
    assert set(FIELDS.values()) == expected
    arguments = inspect.signature(Cluster.__init__).parameters
    assert set(FIELDS) <= set(arguments)
    assert Cluster.__doc__ is not None
    assert all(f"    {field}: " in Cluster.__doc__ for field in FIELDS), "each is described"


def test_numbers_words_and_times_are_short_for_what_a_document_says() -> None:
    made = document(
        name="x", provider="local", workers=3, worker_groups={"big": 1}, idle_timeout=timedelta(minutes=5)
    )
    assert made == {
        "apiVersion": "crewcall.dev/v1alpha1",
        "kind": "ComputeCluster",
        "metadata": {"name": "x"},
        "spec": {
            "provider": {"local": {}},
            "workers": {"replicas": 3},
            "workerGroups": {"big": {"replicas": 1}},
            "idleTimeout": "300s",
        },
    }


def test_arguments_go_over_a_document() -> None:
    whole = {"metadata": {"name": "a"}, "spec": {"workers": {"min": 0, "max": 3, "threads": 2}, "tls": True}}
    made = document(whole, name="b", workers=1)
    assert made["metadata"] == {"name": "b"}
    assert made["spec"] == {"workers": {"replicas": 1, "threads": 2}, "tls": True}
    over = source("some.yaml", {"workers": {"min": 1, "max": 2}, "environment": {"image": "i"}})
    assert over.file == "some.yaml"
    assert json.loads(over.text)["spec"] == {
        "workers": {"replicas": None, "min": 1, "max": 2},
        "environment": {"packages": None, "interpreter": None, "image": "i"},
    }


def test_a_cluster_without_a_name_gets_a_new_one() -> None:
    assert document()["metadata"] != document()["metadata"]


def test_dasks_configuration_has_defaults_where_there_is_no_document() -> None:
    with dask.config.set({"crewcall.defaults": {"provider": "local", "workers": 2, "idle-timeout": "1h"}}):
        assert document(name="x")["spec"] == {
            "provider": {"local": {}},
            "workers": {"replicas": 2},
            "idleTimeout": "1h",
        }
        assert document({"spec": {}}, name="x")["spec"] == {}
    with dask.config.set({"crewcall.defaults": {"worker": 2}}), pytest.raises(UnknownFieldError):
        document(name="x")


@pytest.mark.parametrize(
    ("argument", "hint"),
    [("wrokers", "did you mean `workers`"), ("n_workers", "workers=N"), ("zzz", "known are ")],
)
def test_an_unknown_argument_names_what_was_meant(argument: str, hint: str) -> None:
    with pytest.raises(UnknownFieldError, match=argument) as caught:
        Cluster(**{argument: 1})
    assert isinstance(caught.value, TypeError)
    assert caught.value.hint is not None and hint in caught.value.hint


def test_a_wrong_value_is_explained_by_the_program(name: str) -> None:
    with pytest.raises(DocumentError, match=r"spec\.workers\.replicas.*whole number"):
        Cluster(name=name, workers={"replicas": "many"})
    with pytest.raises(DocumentError, match="at least 128MiB"):
        Cluster(name=name, workers={"replicas": 1, "memory": 5})
    # With EC2 in the program a region is missing, without it the provider.
    with pytest.raises((DocumentError, RefusedError), match=r"AWS region|provider `ec2`"):
        Cluster(name=name, provider="ec2")
    with pytest.raises(SoftwareError, match="/no/such/python") as caught:
        Cluster(name=name, environment={"interpreter": "/no/such/python"})
    assert caught.value.hint
    assert name not in names()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="there is no such file"):
        Cluster(tmp_path / "none.yaml")


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterNotFoundError, match="no cluster named none") as caught:
        Cluster.from_name("none")
    assert "crewcall list" in str(caught.value)


def test_a_missing_program_says_how_to_get_it() -> None:
    with (
        dask.config.set({"crewcall.program": "/no/such/program"}),
        pytest.raises(ProgramError, match="/no/such/program"),
    ):
        Cluster(workers=1)


def test_errors_travel_between_processes() -> None:
    error = DocumentError("what", hint="next", seen=["line"])
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, DocumentError) and isinstance(again, CrewcallError)
    assert str(again) == str(error) == "what\n  line\nhint: next"


def test_importing_the_package_starts_nothing_and_brings_no_other() -> None:
    program = """
import sys, threading
import distributed, distributed.deploy.cluster
before = set(sys.modules)
import crewcall
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(name for name in new if name not in sys.stdlib_module_names), threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['crewcall'] 1"


def test_what_is_exported_exists() -> None:
    for exported in package.__all__:
        if exported != "__version__":  # That of an installed package.
            assert getattr(package, exported).__doc__
