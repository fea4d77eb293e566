"""What the charts are made of, as Helm and the API server see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import chart
import pytest
import yaml
from chart import CHART, DEFINITIONS, NAMED, RENDERED, VALUES, helm, objects, one, template
from conftest import Kubectl, eventually

SETS = ["default", "namespaced", "everything"]
MONITORING = (
    "github.com/prometheus-operator/prometheus-operator@v0.86.1",
    "h1:pHUuiRErcFb3nFDox7RxoxpEN0FyT24GtYOkr2GBu04=",
)
MISTAKES = {
    "replica=2": "'replica' not allowed",
    "image.repo=x": "'repo' not allowed",
    "metrics.serviceMonitor.enable=true": "'enable' not allowed",
    "networkPolicy.egress.ports={1}": "'ports' not allowed",
    "affinity.podAffinities.a=b": "'podAffinities' not allowed",
    "replicas=two": "at '/replicas': got string, want integer",
    "image.pullPolicy=Sometimes": "at '/image/pullPolicy'",
    "image.repository=crewcall:0.1.0": "at '/image/repository'",
    "image.digest=0123": "at '/image/digest'",
    "watch.namespaces=team-a": "at '/watch/namespaces': got string, want array",
    "watch.namespaces={Team}": "at '/watch/namespaces/0'",
    "port=80": "at '/port'",
    "metrics.podMonitor.interval=soon": "at '/metrics/podMonitor/interval'",
    "logging.format=xml": "at '/logging/format'",
}


@pytest.mark.parametrize("values", SETS)
def test_helm_finds_no_fault(values: str) -> None:
    said = helm("lint", "--strict", str(CHART), "--values", str(VALUES / f"{values}.yaml")).stdout
    assert "0 chart(s) failed" in said and "WARNING" not in said


@pytest.mark.parametrize("values", SETS)
def test_what_is_rendered_is_as_recorded(values: str) -> None:
    rendered = template("--values", str(VALUES / f"{values}.yaml"))
    found = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects(rendered)]
    assert len(found) == len(set(found)), "an object is there twice"
    chart.compare(RENDERED / f"{values}.yaml", rendered)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_values_is_refused(mistake: str) -> None:
    refused = helm("template", "x", str(CHART), *NAMED, "--set", mistake, check=False)
    assert refused.returncode != 0
    assert MISTAKES[mistake] in refused.stderr


def test_without_a_repository_it_says_how_the_image_is_made() -> None:
    refused = helm("template", "x", str(CHART), check=False)
    assert refused.returncode != 0
    assert "image.repository is not set" in refused.stderr and "images/controller" in refused.stderr


def test_values_that_another_chart_passes_on_are_taken() -> None:
    assert template(*NAMED, "--set", "global.imageRegistry=x")


def test_the_set_of_everything_changes_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    changed = yaml.safe_load((VALUES / "everything.yaml").read_text())
    left_out = {"global", "watch.namespaces", "serviceAccount.create", "rbac.create", "rbac.userRoles"}
    left_out |= {"podDisruptionBudget.maxUnavailable"}
    for path, _ in chart.leaves(schema, schema):
        if path not in left_out:
            assert chart.value_at(changed, path) != chart.value_at(defaults, path), path


def test_schema_values_and_readme_say_the_same() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path, part in chart.objects_of_schema(schema, schema):
        assert part["additionalProperties"] is False, path
        if path and not path.endswith("Probe") and path not in ("affinity", "resources"):
            assert set(part["properties"]) == set(chart.value_at(values, path)), path
    assert set(schema["properties"]) - {"global"} == set(values)
    readme = CHART / "README.md"
    chart.compare(readme, chart.with_table(readme.read_text()))


def test_charts_and_program_have_one_version() -> None:
    program = re.search(r'^version = "(.+)"$', (chart.ROOT / "Cargo.toml").read_text(), flags=re.M)[1]
    for path in (CHART, DEFINITIONS):
        said = yaml.safe_load((path / "Chart.yaml").read_text())
        assert (said["version"], said["appVersion"]) == (program, program)


@pytest.mark.parametrize("release", ["a", "crewcall", "my-crewcall-2", "x" * 53])
def test_a_release_may_have_any_name(release: str) -> None:
    rendered = objects(template(*NAMED, "--set", "metrics.service.enabled=true", release=release))
    for found in rendered:
        assert len(found["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in found["metadata"]["labels"].values())
    subjects = {o["subjects"][0]["name"] for o in rendered if o["kind"].endswith("Binding")}
    assert subjects == {one(rendered, "ServiceAccount")["metadata"]["name"]}


def test_the_operators_pods_are_not_taken_for_those_of_a_cluster() -> None:
    # A cluster `crewcall` beside the release: its pods have these labels.
    of_a_cluster = {
        "app.kubernetes.io/name": "crewcall",
        "app.kubernetes.io/instance": "crewcall",
        "app.kubernetes.io/managed-by": "crewcall",
    }
    rendered = objects(template("--values", str(VALUES / "everything.yaml"), "--set", "fullnameOverride="))
    selectors = [
        one(rendered, "Deployment")["spec"]["selector"]["matchLabels"],
        one(rendered, "Service")["spec"]["selector"],
        one(rendered, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(rendered, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one(rendered, "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    pods = one(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"]
    # By these, network policies of clusters let the operator in.
    assert pods["app.kubernetes.io/part-of"] == "crewcall"
    assert pods["app.kubernetes.io/component"] == "operator"
    for selector in selectors:
        assert selector.items() <= pods.items()
        assert not selector.items() <= of_a_cluster.items()


def test_the_notes_say_the_next_command() -> None:
    def notes(*arguments: str) -> str:
        dry = ("install", "crewcall", str(CHART), "--dry-run=client", "-n", "x", *NAMED, *arguments)
        return helm(*dry).stdout.partition("NOTES:")[2]

    said = notes()
    assert "kubectl -n x rollout status deployment/crewcall" in said
    assert "kubectl apply -f examples/kubernetes.yaml" in said
    assert "in all namespaces" in said and "Set defaultImage" in said
    said = notes("--set", "watch.namespaces={team-a,team-b}", "--set", "defaultImage=y")
    assert "in team-a, team-b." in said and "kubectl -n team-a apply" in said
    assert "Set defaultImage" not in said
    assert (chart.ROOT / "examples/kubernetes.yaml").exists()


@pytest.fixture(scope="module")
def monitoring(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The definitions of ServiceMonitor and PodMonitor: those that are there, else their project's."""
    kubectl = Kubectl("default", kubeconfig)
    kinds = ("servicemonitors", "podmonitors")
    there = [f"crd/{kind}.monitoring.coreos.com" for kind in kinds]
    if kubectl.run("get", *there, check=False).returncode == 0:
        yield
        return
    directory = _module(MONITORING, tmp_path_factory.mktemp("module")) / "example" / "prometheus-operator-crd"
    files = [part for kind in kinds for part in ("-f", str(directory / f"monitoring.coreos.com_{kind}.yaml"))]
    kubectl("apply", "--server-side", *files)
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *there)
    yield
    kubectl("delete", "--wait=false", *there)


def _module(module: tuple[str, str], directory: Path) -> Path:
    """Where the files of a Go module are, which are what they were."""
    name, digest = module
    # The sum is here, so nobody has to be asked for it.
    environment = os.environ | {"GONOSUMDB": "*", "GOFLAGS": "-mod=mod"}
    command = ["go", "mod", "download", "-json", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=directory, env=environment)
    except OSError as error:
        pytest.skip(f"no go here: {error}")
    assert done.returncode == 0, done.stdout + done.stderr
    downloaded = json.loads(done.stdout)
    assert downloaded["Sum"] == digest
    return Path(downloaded["Dir"])


@pytest.mark.parametrize("values", SETS)
def test_the_api_server_takes_every_object(kubectl: Kubectl, monitoring: None, values: str) -> None:
    arguments = ["--values", str(VALUES / f"{values}.yaml")]
    if values == "namespaced":
        arguments += ["--set", f"watch.namespaces={{{kubectl.namespace}}}"]
    rendered = template(*arguments, release=kubectl.namespace, namespace=kubectl.namespace)
    strict = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    done = kubectl.run(*strict, given=rendered)
    assert len(done.stdout.splitlines()) == len(objects(rendered))
    assert "arning" not in done.stderr


Right = tuple[str, str, str]
"""Verb, resource with its group (`roles.rbac.authorization.k8s.io`), and subresource or nothing."""


def allowed(
    kubectl: Kubectl, account: str, rights: list[Right], namespace: str, name: str = ""
) -> list[Right]:
    """Those of the rights that somebody has in a namespace (`""`: in all), on all objects or on one."""
    reviews = []
    for verb, resource, subresource in rights:
        plural, _, group = resource.partition(".")
        about = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
        spec = {"user": account, "resourceAttributes": about | {"namespace": namespace, "name": name}}
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        reviews.append(kind | {"spec": spec})
    asked = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answers = objects(kubectl.run("create", "-f", "-", "-o", "yaml", given=asked).stdout)
    answers = answers[0]["items"] if answers[0]["kind"] == "List" else answers
    assert len(answers) == len(rights)
    return [right for right, answer in zip(rights, answers, strict=True) if answer["status"]["allowed"]]


@pytest.fixture
def roles(kubectl: Kubectl) -> Iterator[str]:
    """The roles of an installation with every default; its account."""
    yield from _roles(kubectl)


@pytest.fixture
def roles_here(kubectl: Kubectl) -> Iterator[str]:
    """The roles of an installation for one namespace; its account."""
    yield from _roles(kubectl, "--set", f"watch.namespaces={{{kubectl.namespace}}}")


def _roles(kubectl: Kubectl, *arguments: str) -> Iterator[str]:
    """Makes all but the Deployment."""
    files = ("serviceaccount", "rbac", "user-roles")
    shown = [part for file in files for part in ("--show-only", f"templates/{file}.yaml")]
    fixed = (*NAMED, "--set", f"fullnameOverride={kubectl.namespace}")
    rendered = template(*fixed, *arguments, *shown, namespace=kubectl.namespace)
    kubectl.run("apply", "--server-side", "-f", "-", given=rendered)
    yield f"system:serviceaccount:{kubectl.namespace}:{kubectl.namespace}"
    kubectl.run("delete", "--wait=false", "-f", "-", given=rendered)


CLUSTERS = "computeclusters.crewcall.dev"
ROLES = "roles.rbac.authorization.k8s.io"
MAY: list[Right] = [
    *((verb, CLUSTERS, "") for verb in ("get", "list", "watch", "delete")),
    ("patch", CLUSTERS, "status"),
    *((verb, what, "") for verb in ("create", "list", "watch", "delete") for what in ("pods", "configmaps")),
    *((verb, what, "") for verb in ("create", "get", "list", "delete") for what in ("services", "secrets")),
    ("create", "networkpolicies.networking.k8s.io", ""),
    ("create", ROLES, ""),
    ("create", "events.events.k8s.io", ""),
    ("get", "pods", "log"),
]
MAY_NOT: list[Right] = [
    *((verb, CLUSTERS, "") for verb in ("create", "update", "patch")),
    *((verb, "secrets", "") for verb in ("update", "patch")),
    ("create", "rolebindings.rbac.authorization.k8s.io", ""),
    ("escalate", ROLES, ""),
    ("bind", ROLES, ""),
    ("create", "pods", "exec"),
    ("create", "deployments.apps", ""),
    ("create", "serviceaccounts", "token"),
    ("impersonate", "serviceaccounts", ""),
    ("get", "nodes", ""),
    ("list", "namespaces", ""),
]
LEASES: list[Right] = [(verb, "leases.coordination.k8s.io", "") for verb in ("get", "update")]


def test_the_operator_may_do_its_work_and_no_more(kubectl: Kubectl, roles: str) -> None:
    for namespace in (kubectl.namespace, "default"):
        assert allowed(kubectl, roles, MAY, namespace) == MAY
        assert allowed(kubectl, roles, MAY_NOT, namespace) == []
    assert allowed(kubectl, roles, MAY_NOT, "") == []
    lease = f"{kubectl.namespace}-operator"
    assert allowed(kubectl, roles, LEASES, kubectl.namespace, lease) == LEASES
    assert allowed(kubectl, roles, LEASES, kubectl.namespace, "of-others") == []
    assert allowed(kubectl, roles, LEASES, "kube-system", lease) == []


def test_an_operator_of_one_namespace_has_no_rights_elsewhere(kubectl: Kubectl, roles_here: str) -> None:
    assert allowed(kubectl, roles_here, MAY, kubectl.namespace) == MAY
    assert allowed(kubectl, roles_here, MAY_NOT, kubectl.namespace) == []
    assert allowed(kubectl, roles_here, MAY, "default") == []
    assert allowed(kubectl, roles_here, MAY, "") == []


def test_who_may_view_or_edit_sees_and_edits_clusters_but_no_secrets(kubectl: Kubectl, roles: str) -> None:
    reading: list[Right] = [(verb, CLUSTERS, "") for verb in ("get", "list", "watch")]
    writing: list[Right] = [(verb, CLUSTERS, "") for verb in ("create", "update", "patch", "delete")]
    writing.append(("patch", CLUSTERS, "scale"))
    for role in ("view", "edit"):
        kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user=who-may-{role}")
        own = kubectl(
            "get", "clusterrole", f"{kubectl.namespace}-{role}", "-o", "jsonpath={.rules[*].resources}"
        )
        assert "secrets" not in own

    def given(role: str, rights: list[Right]) -> bool:
        return allowed(kubectl, f"who-may-{role}", rights, kubectl.namespace) == rights

    # Kubernetes' controller adds rules to its roles some moments later.
    eventually(
        "the roles to have the chart's rules",
        lambda: given("view", reading) and given("edit", reading + writing),
    )
    forbidden = [*writing, ("get", "secrets", "")]
    assert allowed(kubectl, "who-may-view", forbidden, kubectl.namespace) == []
    assert allowed(kubectl, "who-may-edit", [("patch", CLUSTERS, "status")], kubectl.namespace) == []
    assert allowed(kubectl, "who-may-edit", reading, "default") == []
