"""Kubeconfigs with few rights."""

from __future__ import annotations

import urllib.error

from . import api, credentials

SERVICE_ACCOUNT = "crewcall"
TOKEN_SECONDS = 24 * 60 * 60

# What an agentless controller does in its one namespace.
RULES: list[tuple[str, str, list[str]]] = [
    ("", "pods", ["create", "delete", "get", "list", "patch", "watch"]),
    ("", "pods/log", ["get"]),
    ("", "pods/portforward", ["create", "get"]),
    ("", "configmaps", ["create", "delete", "get", "list", "patch", "watch"]),
    ("", "secrets", ["create", "delete", "get", "list", "patch"]),
    ("", "services", ["create", "delete", "get", "list", "patch"]),
    ("", "events", ["list", "watch"]),
    ("networking.k8s.io", "networkpolicies", ["create", "delete", "get", "list", "patch"]),
]


class AccessError(Exception):
    """The rights asked for cannot be given."""


def kubeconfig(namespace: str, *, without: list[str]) -> str:
    """A kubeconfig for a service account that may do `RULES` in one namespace, and nothing anywhere else.

    Args:
        namespace: Made if it is not there.
        without: Rights to leave out, each `VERB/RESOURCE`, as in `create/pods`.

    Raises:
        AccessError: A right to leave out is none of `RULES`, or the API server refused.
    """
    group = "rbac.authorization.k8s.io"
    roles = f"/apis/{group}/v1/namespaces/{namespace}"
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    name = {"metadata": {"name": SERVICE_ACCOUNT}}
    role = name | {"rules": _rules(without)}
    binding = name | {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": SERVICE_ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": namespace}],
    }
    try:
        api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        api.create(accounts, name)
        api.create(f"{roles}/roles", role)
        api.call("PUT", f"{roles}/roles/{SERVICE_ACCOUNT}", role)
        api.create(f"{roles}/rolebindings", binding)
        token = api.call(
            "POST", f"{accounts}/{SERVICE_ACCOUNT}/token", {"spec": {"expirationSeconds": TOKEN_SECONDS}}
        )
    except urllib.error.HTTPError as error:
        raise AccessError(f"{error.url}: {error.code}: {error.read().decode()}") from error
    except OSError as error:
        raise AccessError(f"the cluster does not answer: {error}") from error
    return credentials.config(SERVICE_ACCOUNT, {"token": token["status"]["token"]}, namespace)


def _rules(without: list[str]) -> list[dict]:
    known = {f"{verb}/{resource}" for _, resource, verbs in RULES for verb in verbs}
    if unknown := set(without) - known:
        raise AccessError(
            f"no such right: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    rules = []
    for group, resource, verbs in RULES:
        left = [verb for verb in verbs if f"{verb}/{resource}" not in without]
        if left:
            rules.append({"apiGroups": [group], "resources": [resource], "verbs": left})
    return rules
