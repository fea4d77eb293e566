"""The operator as Helm installs it, in a pod of the image that the project builds."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import release
from chart import CHART, DEFINITIONS, helm
from conftest import Kubectl, eventually

DEFINITION = "crd/computeclusters.crewcall.dev"
BOUND = "120s"


@pytest.fixture(scope="module")
def definitions(kubeconfig: str) -> Iterator[bool]:
    """The definition of ComputeCluster; whether it is of this module, and goes with it."""
    kubectl = Kubectl("default", kubeconfig)
    if kubectl.run("get", DEFINITION, check=False).returncode == 0:
        yield False
        return
    helm("install", "crewcall-crds", str(DEFINITIONS), "-n", "default", kubeconfig=kubeconfig)
    kubectl("wait", "--for=condition=Established", "--timeout=60s", DEFINITION)
    yield True
    helm("uninstall", "crewcall-crds", "-n", "default", check=False, kubeconfig=kubeconfig)
    kubectl("delete", DEFINITION, "--timeout=60s")


class Installed:
    """A release of the chart in the test's namespace."""

    def __init__(self, kubectl: Kubectl, image: str, *values: str) -> None:
        self.kubectl = kubectl
        self.name = kubectl.namespace
        repository, _, digest = image.partition("@")
        self.fixed = [
            f"image.repository={repository}",
            f"image.digest={digest}",
            f"defaultImage={os.environ['CREWCALL_TEST_IMAGE']}",
            f"fullnameOverride={self.name}",
            *values,
        ]
        self.upgrade("--install")

    def upgrade(self, *arguments: str) -> str:
        """Installs or changes it, and waits until its pods are ready; the notes."""
        given = [part for value in self.fixed for part in ("--set", value)]
        waiting = ("--wait", "--timeout", BOUND)
        return self._helm("upgrade", self.name, str(CHART), *given, *waiting, *arguments).partition("NOTES:")[
            2
        ]

    def uninstall(self) -> None:
        """Removes it."""
        self._helm("uninstall", self.name, "--wait", "--timeout", BOUND)

    def _helm(self, *arguments: str) -> str:
        done = helm(*arguments, "-n", self.name, check=False, kubeconfig=self.kubectl.kubeconfig)
        said = self.kubectl.run("logs", f"deployment/{self.name}", "--tail=20", check=False).stdout
        assert done.returncode == 0, f"helm {arguments[0]}: {done.stderr}\n{said}"
        return done.stdout

    def pods(self) -> list[dict]:
        """The operator's pods."""
        selector = f"app.kubernetes.io/component=operator,app.kubernetes.io/instance={self.name}"
        return json.loads(self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]

    def ask(self, path: str) -> str:
        """What one of the operator's pods answers."""
        address = self.pods()[0]["status"]["podIP"]
        with urllib.request.urlopen(f"http://{address}:8080{path}", timeout=10) as reply:
            return reply.read().decode()

    def left(self) -> list[str]:
        """What there is of it in the namespace and in the cluster; a Lease is the operator's own."""
        kinds = "deployments,replicasets,pods,services,serviceaccounts,roles,rolebindings"
        labelled = ("-l", f"app.kubernetes.io/instance={self.name}", "-o", "name")
        return self.kubectl("get", f"{kinds},clusterroles,clusterrolebindings", *labelled).split()


def test_installed_used_upgraded_and_removed(
    kubectl: Kubectl, operator_image: str, definitions: bool, tmp_path: Path
) -> None:
    here = f"watch.namespaces={{{kubectl.namespace}}}"
    installed = Installed(kubectl, operator_image, here, "metrics.service.enabled=true")
    assert installed.ask("/healthz") and installed.ask("/readyz")

    release.apply(kubectl, "demo", workers=2)
    release.has_workers(kubectl, "demo", 2)
    before = release.pods(kubectl, "demo")
    with release.client(kubectl, "demo", tmp_path) as client:
        assert sum(client.gather(client.map(lambda x: x * x, range(100)))) == 328350
        assert "crewcall" in installed.ask("/metrics")

        first = {pod["metadata"]["uid"] for pod in installed.pods()}
        installed.upgrade("--set", "replicas=2,logging.level=crewcall=debug")
        second = {
            pod["metadata"]["uid"] for pod in installed.pods() if "deletionTimestamp" not in pod["metadata"]
        }
        assert len(second) == 2 and not first & second
        assert release.pods(kubectl, "demo") == before
        kubectl("scale", "computecluster/demo", "--replicas=3")
        release.has_workers(kubectl, "demo", 3)

        grown = release.pods(kubectl, "demo")
        installed.uninstall()
        eventually("the operator to be gone", lambda: not installed.left())
        assert release.pods(kubectl, "demo") == grown
        assert client.submit(sum, [1, 2, 3]).result(timeout=30) == 6
    if definitions:
        helm("uninstall", "crewcall-crds", "-n", "default", kubeconfig=kubectl.kubeconfig)
        assert "computecluster.crewcall.dev/demo" in kubectl("get", "computeclusters", "-o", "name")
        helm("install", "crewcall-crds", str(DEFINITIONS), "-n", "default", kubeconfig=kubectl.kubeconfig)
        assert release.pods(kubectl, "demo") == grown

    # Nobody has to be there to remove it.
    kubectl("delete", "computecluster", "demo")
    eventually(
        "nothing to be left of the cluster", lambda: not release.objects_of(kubectl, "demo"), release.BOUND
    )


def test_an_operator_of_all_namespaces_looks_after_each(
    kubectl: Kubectl, operator_image: str, definitions: bool, tmp_path: Path
) -> None:
    if not definitions:
        pytest.skip("somebody else's clusters may be here")
    installed = Installed(kubectl, operator_image)
    other = Kubectl(f"{kubectl.namespace}-other", kubectl.kubeconfig)
    kubectl("create", "namespace", other.namespace)
    try:
        for namespace in (kubectl, other):
            release.apply(namespace, "twin", workers=1)
        for namespace in (kubectl, other):
            release.has_workers(namespace, "twin", 1)
        with release.client(other, "twin", tmp_path) as client:
            assert client.submit(sum, [1, 2]).result(timeout=30) == 3
        for namespace in (kubectl, other):
            namespace("delete", "computecluster", "twin")
            eventually(
                "the twin to be gone", lambda n=namespace: not release.objects_of(n, "twin"), release.BOUND
            )
    finally:
        kubectl("delete", "namespace", other.namespace, "--wait=false")
        installed.uninstall()


def test_an_operator_of_one_namespace_leaves_others_alone(
    kubectl: Kubectl, operator_image: str, definitions: bool
) -> None:
    installed = Installed(
        kubectl, operator_image, f"watch.namespaces={{{kubectl.namespace}}}", "rbac.userRoles=false"
    )
    other = Kubectl(f"{kubectl.namespace}-other", kubectl.kubeconfig)
    kubectl("create", "namespace", other.namespace)
    try:
        release.apply(other, "alone", workers=1)
        release.apply(kubectl, "mine", workers=1)
        release.has_workers(kubectl, "mine", 1)
        assert "status" not in other.get("computecluster", "alone")
        assert not release.objects_of(other, "alone")
        cluster_wide = [name for name in installed.left() if name.startswith("clusterrole")]
        assert cluster_wide == []
        kubectl("delete", "computecluster", "mine")
    finally:
        kubectl("delete", "namespace", other.namespace, "--wait=false")
        installed.uninstall()


def test_whoever_is_given_the_role_for_clients_reads_that_secret_alone(
    kubectl: Kubectl, operator_image: str, definitions: bool
) -> None:
    installed = Installed(kubectl, operator_image, f"watch.namespaces={{{kubectl.namespace}}}")
    try:
        release.apply(kubectl, "demo", workers=0)
        eventually(
            "the role",
            lambda: "role.rbac.authorization.k8s.io/demo-client" in release.objects_of(kubectl, "demo"),
        )
        kubectl("create", "rolebinding", "of-jane", "--role=demo-client", "--user=jane")

        def may(secret: str) -> bool:
            done = kubectl.run("auth", "can-i", "get", f"secrets/{secret}", "--as=jane", check=False)
            return done.stdout.strip() == "yes"

        eventually("jane to read it", lambda: may("demo-client"))
        assert not any(may(secret) for secret in ("demo-ca", "demo-scheduler-tls", "demo-worker-tls"))
        kubectl("delete", "computecluster", "demo")
    finally:
        installed.uninstall()
