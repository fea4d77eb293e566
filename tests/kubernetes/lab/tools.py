"""The programs a cluster is made of: built from pinned Go modules, or taken from the system's packages."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import settings

MODULE = settings.CHECKOUT / "tools"
VERSION = "1.36.3"

COMMANDS = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "coredns-mini": "./coredns-mini",
    "etcd": "go.etcd.io/etcd/server/v3",
}

# CGO_ENABLED and -trimpath are in the keys of Go's cache: with other values every package compiles anew.
GO_ENVIRONMENT = {
    "GOFLAGS": "-buildvcs=false -trimpath",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "CGO_ENABLED": "0",
}

_VERSION_PACKAGE = "k8s.io/component-base/version"
# Without a version the API server reports one that clients cannot parse.
LINKER_FLAGS = " ".join(
    ["-s -w"]
    + [
        f"-X {_VERSION_PACKAGE}.{name}={value}"
        for name, value in {
            "gitVersion": f"v{VERSION}",
            "gitMajor": VERSION.split(".")[0],
            "gitMinor": VERSION.split(".")[1],
            "gitTreeState": "clean",
        }.items()
    ]
)

KWOK_STAGES = [
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
]
KWOK_OPTIONS = """\
kind: KwokConfiguration
apiVersion: config.kwok.x-k8s.io/v1alpha1
options: {nodePlayStageParallelism: 8, podPlayStageParallelism: 16}
"""

# What must be there, and the Debian package that has it.
SYSTEM = {
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
    "gcc": "gcc",
    "busybox": "busybox-static",
    str(settings.CNI_PLUGINS / "bridge"): "containernetworking-plugins",
}


class ToolError(Exception):
    """A program is missing, or could not be built."""


def key() -> str:
    """Names a build: a hash of all that goes into it."""
    digest = hashlib.sha256()
    for path in sorted(p for p in MODULE.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(MODULE)}\0".encode() + path.read_bytes() + b"\0")
    recipe = [COMMANDS, GO_ENVIRONMENT, LINKER_FLAGS, KWOK_STAGES, KWOK_OPTIONS]
    digest.update(json.dumps(recipe, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def home() -> Path:
    """The build of this checkout's module: `bin` and `share`."""
    return settings.cache() / "kubernetes" / key()


def binary(name: str) -> Path:
    """The path of a built program."""
    return home() / "bin" / name


def system_path() -> str:
    """A PATH with the built programs first, and those that only root's usually has."""
    return f"{home() / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"


def find(name: str) -> str:
    """The absolute path of a program of the system.

    Raises:
        ToolError: It is not installed.
    """
    found = shutil.which(name, path=system_path())
    if found is None:
        raise ToolError(f"{name} is not installed; it is in the package {SYSTEM.get(name, name)}")
    return found


def install_system_packages() -> None:
    """Installs those of `SYSTEM` that are missing, where apt can.

    Raises:
        ToolError: Some are missing, and cannot be installed here.
    """
    missing = sorted(
        {package for name, package in SYSTEM.items() if not shutil.which(name, path=system_path())}
    )
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise ToolError(f"missing from this system, by their Debian names: {', '.join(missing)}")
    print(f"installing {' '.join(missing)}", file=sys.stderr)
    install = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *missing]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(
        install, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode:
        subprocess.run(
            ["apt-get", "update", "--quiet"], env=environment, stdout=subprocess.DEVNULL, check=True
        )
        subprocess.run(install, env=environment, stdout=subprocess.DEVNULL, check=True)


def build() -> Path:
    """Builds what is not there yet, one program after the other, and returns `home()`.

    With empty caches this downloads about 1 GB of modules and takes 15 minutes of processor time; with Go's
    build cache filled it links for a minute.

    Raises:
        ToolError: There is no Go, or a build failed.
    """
    done = home() / "complete"
    if done.exists():
        return home()
    if not shutil.which("go"):
        raise ToolError("building Kubernetes needs Go 1.26 or newer on the path")
    for part in ("bin", "share"):
        (home() / part).mkdir(parents=True, exist_ok=True)
    for name, package in COMMANDS.items():
        if not binary(name).exists():
            _build_one(name, package)
    _share()
    done.touch()
    return home()


def _build_one(name: str, package: str) -> None:
    began = time.monotonic()
    temporary = binary(name).with_suffix(f".{os.getpid()}")
    _go("build", f"-ldflags={LINKER_FLAGS}", "-o", str(temporary), package)
    temporary.rename(binary(name))
    print(f"built {name} in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _share() -> None:
    """Files out of the modules: kwok 0.8 has no stages built in, and the pause image is one C file."""
    kwok = Path(_go("list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")) / "kustomize" / "stage"
    stages = [KWOK_OPTIONS, *((kwok / stage).read_text() for stage in KWOK_STAGES)]
    (home() / "share" / "kwok.yaml").write_text("---\n".join(stages))
    kubernetes = Path(_go("list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"))
    shutil.copyfile(kubernetes / "build" / "pause" / "linux" / "pause.c", home() / "share" / "pause.c")


def _go(*arguments: str) -> str:
    environment = os.environ | GO_ENVIRONMENT | {"GOCACHE": str(settings.cache() / "go-build")}
    done = subprocess.run(["go", *arguments], cwd=MODULE, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ToolError(f"go {' '.join(arguments)} failed in {MODULE}")
    return done.stdout.strip()
