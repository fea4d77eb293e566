"""Names, addresses and paths of a test cluster. A machine has one, and others only by number."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""`tests/kubernetes` of the checkout that runs this."""

INSTANCE = int(os.environ.get("CREWCALL_TEST_KUBERNETES_INSTANCE") or 0)
"""0 to 3: clusters of different numbers can be on one machine at the same time."""

NAME = f"crewcall-test-{INSTANCE}" if INSTANCE else "crewcall-test"
"""Of the network namespace, of the link into it (at most 15 characters) and of the cgroup."""

NODE = "node1"
HOST_ADDRESS = f"10.250.{77 + INSTANCE}.1"
NODE_ADDRESS = f"10.250.{77 + INSTANCE}.2"
POD_NETWORK = f"10.{244 - 2 * INSTANCE}.0.0/16"
FAKE_POD_NETWORK = f"10.{245 - 2 * INSTANCE}.0.0/16"
SERVICE_NETWORK = f"10.{96 + INSTANCE}.0.0/16"
KUBERNETES_SERVICE = f"10.{96 + INSTANCE}.0.1"
CLUSTER_DOMAIN = "cluster.local"

API_PORT = 6443
REGISTRY_PORT = 5000
PRIVATE_REGISTRY_PORT = 5001
REGISTRY_USER = "crewcall"
REGISTRY_PASSWORD = "open-sesame"
"""No secret: the private registry holds the same images, and asks only so that pull secrets can be tested."""

SERVER = f"https://{NODE_ADDRESS}:{API_PORT}"
REGISTRY = f"{NODE_ADDRESS}:{REGISTRY_PORT}"
PRIVATE_REGISTRY = f"{NODE_ADDRESS}:{PRIVATE_REGISTRY_PORT}"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"

STATE = Path(f"/var/lib/{NAME}-kubernetes")
"""All that a running cluster writes. Gone when it is down."""

LOCKS = Path("/run/lock")
"""Holds the two locks below; empty files, which stay."""

CHANGES = LOCKS / f"{NAME}-kubernetes.lock"
"""Held while the cluster is brought up or down."""

USERS = LOCKS / f"{NAME}-kubernetes-users.lock"
"""Held, shared, by each `run`; what would take the cluster away needs it alone."""

KUBECONFIG = STATE / "kubeconfig"
"""An administrator's, for tests on this machine."""

CNI_PLUGINS = Path("/usr/lib/cni")


def cache() -> Path:
    """Where binaries and images are kept between runs, outside the tree."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("CREWCALL_TEST_CACHE") or f"{home}/crewcall-tests").resolve()


def images() -> Path:
    """The directory that the registry serves."""
    return cache() / "kubernetes" / "registry"
