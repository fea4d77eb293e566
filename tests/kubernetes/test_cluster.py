"""The test cluster does what tests of Crewcall rely on, and nothing of it is pretended."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import Kubectl, cluster, eventually, pod, service
from distributed import Client

IMAGES = ["CREWCALL_TEST_IMAGE", "CREWCALL_TEST_IMAGE_OLDEST"]
OWN_CLUSTER = "CREWCALL_TEST_REGISTRY" not in os.environ
SCHEDULER = ["python", "-m", "distributed.cli.dask_scheduler", "--host", "0.0.0.0"]
WORKER = ["python", "-m", "distributed.cli.dask_worker", "tcp://scheduler:8786", "--nthreads", "1"]
READY = {"readinessProbe": {"tcpSocket": {"port": 8786}, "periodSeconds": 1}}
WAITS = ["python", "-c", "import time; time.sleep(1000)"]

only_here = pytest.mark.skipif(
    OWN_CLUSTER, reason="needs the registry or the routes of the cluster made here"
)


def image() -> str:
    return os.environ["CREWCALL_TEST_IMAGE"]


def test_the_node_is_ready(kubectl: Kubectl) -> None:
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    conditions = [{c["type"]: c["status"] for c in node["status"]["conditions"]} for node in nodes]
    assert any(c["Ready"] == "True" for c in conditions)


@pytest.mark.parametrize("variable", IMAGES)
def test_a_worker_in_a_restricted_pod_reaches_its_scheduler_by_name(kubectl: Kubectl, variable: str) -> None:
    kubectl.create(service("scheduler", 8786, 8787))
    kubectl.pod("scheduler", os.environ[variable], SCHEDULER, container=READY)
    kubectl.pod("worker", os.environ[variable], WORKER)
    kubectl.ready("scheduler", "worker")
    count = "from distributed import Client; print(len(Client('scheduler:8786').scheduler_info()['workers']))"
    eventually(
        "the worker to register",
        lambda: kubectl("exec", "scheduler", "--", "python", "-c", count).strip() == "1",
    )
    assert kubectl("exec", "worker", "--", "id", "-u").strip() == "1000"


@only_here
def test_this_machine_computes_through_the_service_address(kubectl: Kubectl) -> None:
    kubectl.create(service("scheduler", 8786, 8787))
    kubectl.pod("scheduler", image(), SCHEDULER, container=READY)
    kubectl.pod("worker", image(), WORKER)
    kubectl.ready("scheduler")
    address = kubectl.get("service", "scheduler")["spec"]["clusterIP"]
    with Client(f"tcp://{address}:8786", timeout=20) as client:
        client.wait_for_workers(1, timeout=30)
        assert sum(client.gather(client.map(lambda x: x * x, range(100)))) == 328350
        assert client.submit(socket.gethostname).result() == "worker"
    with urllib.request.urlopen(f"http://{address}:8787/health", timeout=10) as reply:
        assert reply.read() == b"ok"


def test_names_resolve_inside_and_nothing_else_does(kubectl: Kubectl) -> None:
    kubectl.create(service("scheduler", 8786))
    kubectl.pod("client", image(), WAITS)
    kubectl.ready("client")
    resolve = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
    full = f"scheduler.{kubectl.namespace}.svc.cluster.local"
    address = kubectl.get("service", "scheduler")["spec"]["clusterIP"]
    for name in ("scheduler", f"scheduler.{kubectl.namespace}.svc", full):
        assert kubectl("exec", "client", "--", "python", "-c", resolve, name).strip() == address
    unknown = kubectl.run("exec", "client", "--", "python", "-c", resolve, "unknown.invalid", check=False)
    assert "gaierror" in unknown.stderr


@only_here
def test_a_service_address_without_a_listener_refuses_at_once(kubectl: Kubectl) -> None:
    kubectl.create(service("nobody", 8786))
    kubectl.pod("client", image(), WAITS)
    kubectl.ready("client")
    used = kubectl.get("service", "nobody")["spec"]["clusterIP"]
    never_given = ".".join([*used.split(".")[:2], "255", "250"])
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 8786), timeout=10)"
    for address in (used, never_given):
        inside = kubectl.run("exec", "client", "--", "python", "-c", connect, address, check=False)
        assert "ConnectionRefusedError" in inside.stderr, inside.stderr
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, 8786), timeout=10)


@only_here
def test_a_restricted_account_is_held_to_its_role(kubectl: Kubectl) -> None:
    config = cluster("access", kubectl.namespace, "--without", "create/pods")
    assert config.returncode == 0, config.stderr
    restricted = Kubectl(kubectl.namespace, "/dev/stdin")

    def ask(*arguments: str) -> subprocess.CompletedProcess:
        return restricted.run(*arguments, given=config.stdout, check=False)

    assert ask("get", "pods").returncode == 0
    assert "yes" in ask("auth", "can-i", "create", "configmaps").stdout
    assert "no" in ask("auth", "can-i", "create", "pods").stdout
    refused = ask("run", "x", f"--image={image()}")
    assert 'cannot create resource "pods"' in refused.stderr
    elsewhere = ask("get", "pods", "-n", "default")
    assert 'cannot list resource "pods" in API group "" in the namespace "default"' in elsewhere.stderr


def test_a_pod_speaks_to_the_api_with_its_own_account(kubectl: Kubectl) -> None:
    kubectl.pod("client", image(), WAITS, spec={"automountServiceAccountToken": True})
    kubectl.ready("client")
    ask = """
import ssl, urllib.request
at = "/var/run/secrets/kubernetes.io/serviceaccount/"
context = ssl.create_default_context(cafile=at + "ca.crt")
for path in "/version", "/api/v1/pods":
    request = urllib.request.Request("https://kubernetes.default.svc" + path)
    request.add_header("Authorization", "Bearer " + open(at + "token").read())
    try:
        print(urllib.request.urlopen(request, context=context).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""
    assert kubectl("exec", "client", "--", "python", "-c", ask).split() == ["200", "403"]


def test_logs_exec_and_port_forward_work(kubectl: Kubectl) -> None:
    serve = ["python", "-u", "-m", "http.server", "8000", "--directory", "/etc"]
    probe = {"readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1}}
    kubectl.pod("server", image(), serve, container=probe)
    kubectl.ready("server")
    assert "Serving HTTP" in kubectl("logs", "server")
    forward = subprocess.Popen(
        [
            *(
                os.environ["CREWCALL_TEST_KUBECTL"],
                f"--kubeconfig={kubectl.kubeconfig}",
                "-n",
                kubectl.namespace,
            ),
            *("port-forward", "pod/server", ":8000"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = forward.stdout.readline().split(":")[1].split(" ")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/passwd", timeout=10) as reply:
            assert b"root" in reply.read()
    finally:
        forward.kill()
        forward.wait()


def test_a_pod_has_its_grace_and_no_more(kubectl: Kubectl) -> None:
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: {})
print("on", flush=True)
while True:
    time.sleep(1)
"""
    kubectl.pod("obeys", image(), ["python", "-c", program.format("sys.exit()")])
    kubectl.pod("ignores", image(), ["python", "-c", program.format("None")])
    kubectl.ready("obeys", "ignores")
    for name in ("obeys", "ignores"):
        eventually("the handler", lambda name=name: "on" in kubectl("logs", name))
    began = time.monotonic()
    kubectl("delete", "pod", "obeys", "--grace-period=30")
    assert time.monotonic() - began < 15
    began = time.monotonic()
    kubectl("delete", "pod", "ignores", "--grace-period=4")
    assert 3.5 < time.monotonic() - began < 20


def test_a_pod_that_takes_too_much_memory_says_so(kubectl: Kubectl) -> None:
    limits = {"resources": {"limits": {"memory": "64Mi", "cpu": "1"}}}
    kubectl.pod("greedy", image(), ["python", "-c", "b = bytearray(1 << 30)"], container=limits)

    def reason() -> str | None:
        states = kubectl.get("pod", "greedy")["status"].get("containerStatuses", [])
        return next((s["state"]["terminated"]["reason"] for s in states if "terminated" in s["state"]), None)

    assert eventually("the container to end", reason) == "OOMKilled"


def test_an_impossible_pod_is_unschedulable(kubectl: Kubectl) -> None:
    kubectl.pod("huge", image(), WAITS, container={"resources": {"requests": {"cpu": "5000"}}})

    def message() -> str | None:
        conditions = kubectl.get("pod", "huge")["status"].get("conditions", [])
        return next((c["message"] for c in conditions if c.get("reason") == "Unschedulable"), None)

    assert "Insufficient cpu" in eventually("the scheduler's words", message)


def test_a_quota_refuses_in_its_own_words(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "one", "--hard=pods=1")
    kubectl.pod("first", image(), WAITS)
    second = json.dumps(pod("second", image(), WAITS))

    def refusal() -> str:
        done = kubectl.run("create", "-f", "-", given=second, check=False)
        return done.stderr if done.returncode else kubectl("delete", "pod", "second", "--now") and ""

    assert "exceeded quota: one" in eventually("the quota to count", refusal)


def waiting(kubectl: Kubectl, name: str) -> dict:
    states = kubectl.get("pod", name)["status"].get("containerStatuses", [])
    return next((s["state"]["waiting"] for s in states if "waiting" in s["state"]), {})


@only_here
def test_an_image_that_is_not_there_is_an_error_within_seconds(kubectl: Kubectl) -> None:
    kubectl.pod("wrong", "ghcr.io/dask/dask:1.0.0-py2.7", WAITS)
    state = eventually(
        "the pull to fail", lambda: (w := waiting(kubectl, "wrong")).get("message") and w, bound=20
    )
    assert state["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert "not found" in state["message"]


@only_here
def test_the_private_registry_wants_its_secret(kubectl: Kubectl) -> None:
    registry = os.environ["CREWCALL_TEST_PRIVATE_REGISTRY"]
    user, password = os.environ["CREWCALL_TEST_REGISTRY_LOGIN"].split(":")
    tag = image().split(":")[1]
    always = {"imagePullPolicy": "Always"}
    kubectl.pod("without", f"{registry}/dask/dask:{tag}", WAITS, container=always)
    login = [f"--docker-server={registry}", f"--docker-username={user}", f"--docker-password={password}"]
    kubectl("create", "secret", "docker-registry", "login", *login)
    kubectl.pod(
        "with",
        f"{registry}/dask/dask:{tag}",
        WAITS,
        container=always,
        spec={"imagePullSecrets": [{"name": "login"}]},
    )
    kubectl.ready("with")
    assert eventually(
        "the pull to fail",
        lambda: waiting(kubectl, "without").get("reason") in ("ErrImagePull", "ImagePullBackOff"),
    )


@only_here
def test_the_registry_answers_as_the_specification_says(kubeconfig: str) -> None:
    def get(host: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"http://{host}{path}", headers=headers)
            ) as reply:
                return reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    registry, private = os.environ["CREWCALL_TEST_REGISTRY"], os.environ["CREWCALL_TEST_PRIVATE_REGISTRY"]
    tag = image().split(":")[1]
    status, _, body = get(registry, "/v2/dask/dask/tags/list")
    tags = json.loads(body)["tags"]
    assert status == 200 and tag in tags and tags == sorted(tags)
    status, headers, body = get(registry, "/v2/dask/dask/tags/list?n=2")
    assert json.loads(body)["tags"] == tags[:2] and f"last={tags[1]}" in headers["Link"]
    status, headers, body = get(registry, f"/v2/dask/dask/manifests/{tag}")
    assert headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
    assert get(registry, f"/v2/dask/dask/manifests/{headers['Docker-Content-Digest']}")[2] == body
    status, _, body = get(registry, "/v2/dask/dask/manifests/none")
    assert status == 404 and json.loads(body)["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    status, _, body = get(registry, "/v2/no/such/tags/list")
    assert status == 404 and json.loads(body)["errors"][0]["code"] == "NAME_UNKNOWN"

    status, headers, _ = get(private, "/v2/dask/dask/tags/list")
    assert status == 401 and headers["WWW-Authenticate"].startswith(f'Bearer realm="http://{private}/token"')
    basic = base64.b64encode(os.environ["CREWCALL_TEST_REGISTRY_LOGIN"].encode()).decode()
    assert get(private, "/token?service=x&scope=y", Authorization="Basic wrong")[0] == 401
    token = json.loads(get(private, "/token?service=x&scope=y", Authorization=f"Basic {basic}")[2])["token"]
    assert get(private, "/v2/dask/dask/tags/list", Authorization=f"Bearer {token}")[0] == 200


@only_here
def test_pods_run_on_fake_nodes_without_a_process(kubectl: Kubectl) -> None:
    assert cluster("kwok", "2").returncode == 0
    fake = {"nodeSelector": {"type": "kwok"}, "tolerations": [{"operator": "Exists"}]}
    kubectl.create(*(pod(f"fake-{number}", "none", ["none"], spec=fake) for number in range(20)))
    kubectl.ready(*(f"fake-{number}" for number in range(20)))
    assert kubectl.get("pod", "fake-0")["spec"]["nodeName"].startswith("fake-")


def test_a_deployment_and_its_service_come_up(kubectl: Kubectl) -> None:
    template = pod("web", image(), ["python", "-m", "http.server", "8000", "--directory", "/etc"])
    template["spec"]["restartPolicy"] = "Always"
    template = {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    kubectl.create(deployment, service("web", 8000))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    slices = ["get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json"]
    eventually(
        "both addresses",
        lambda: sum(len(s.get("endpoints") or []) for s in json.loads(kubectl(*slices))["items"]) == 2,
    )
