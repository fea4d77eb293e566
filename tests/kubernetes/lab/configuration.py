"""Configuration files and command lines of every component."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from . import credentials, settings, tools

_STATE = settings.STATE
SOCKET = _STATE / "containerd.sock"
COMPONENTS = _STATE / "components.json"
CGROUP = f"/{settings.NAME}"

HIDDEN = ["/run", "/var/log", "/var/lib/cni"]
"""Directories that the cluster gets empty ones of its own for."""

# Every image name leads to the registry here, so that documents with public names run unchanged.
_MIRROR = f"""\
server = "http://127.0.0.1:{settings.REGISTRY_PORT}"
[host."http://127.0.0.1:{settings.REGISTRY_PORT}"]
  capabilities = ["pull", "resolve"]
"""
_PRIVATE_MIRROR = f"""\
server = "http://{settings.PRIVATE_REGISTRY}"
[host."http://{settings.PRIVATE_REGISTRY}"]
  capabilities = ["pull", "resolve"]
"""

AUDIT_LOG = _STATE / "log" / "audit.log"
"""One line for each call that anybody but the cluster's own components made."""

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "None",
            "users": [
                "coredns",
                "kwok",
                "system:anonymous",
                "system:apiserver",
                "system:kube-controller-manager",
                "system:kube-proxy",
                "system:kube-scheduler",
            ],
        },
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {"level": "Metadata"},
    ],
}

_COREFILE = f"""\
{settings.CLUSTER_DOMAIN}:53 in-addr.arpa:53 {{
  bind {settings.NODE_ADDRESS}
  errors
  kubernetes {settings.CLUSTER_DOMAIN} in-addr.arpa {{
    kubeconfig {credentials.kubeconfig("coredns")}
    ttl 2
    pods insecure
  }}
}}
# A block of its own: in one with kubernetes, template would answer first.
.:53 {{
  bind {settings.NODE_ADDRESS}
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
"""


def write() -> None:
    """Writes all of it below the state directory."""
    for name in (
        "cni/net.d",
        "hosts/_default",
        f"hosts/{settings.PRIVATE_REGISTRY.replace(':', '_')}_",
        "log",
    ):
        (_STATE / name).mkdir(parents=True, exist_ok=True)
    (_STATE / "containerd.toml").write_text(_containerd())
    (_STATE / "hosts/_default/hosts.toml").write_text(_MIRROR)
    # containerd spells a registry with a port as HOST_PORT_.
    (_STATE / f"hosts/{settings.PRIVATE_REGISTRY.replace(':', '_')}_/hosts.toml").write_text(_PRIVATE_MIRROR)
    (_STATE / "cni/net.d/10-crewcall.conflist").write_text(json.dumps(_network(), indent=1))
    (_STATE / "resolv.conf").write_text(f"nameserver {settings.NODE_ADDRESS}\n")
    (_STATE / "Corefile").write_text(_COREFILE)
    (_STATE / "kubelet.json").write_text(json.dumps(_kubelet(), indent=1))
    (_STATE / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY, indent=1))
    (_STATE / "proxy.json").write_text(json.dumps(_proxy(), indent=1))
    COMPONENTS.write_text(json.dumps(_init(), indent=1))


def _init() -> dict:
    """What `init.py` reads."""
    return {
        "path": tools.system_path(),
        "hidden": HIDDEN,
        "service_network": settings.SERVICE_NETWORK,
        "cgroup": CGROUP,
        "authority": str(credentials.certificate("ca")),
        "certificate": str(credentials.certificate("admin")),
        "key": str(credentials.key("admin")),
        "ready": f"https://127.0.0.1:{settings.API_PORT}/readyz",
        "components": _components(),
    }


def _containerd() -> str:
    return f"""\
version = 3
root = "{_STATE}/containerd"
state = "{_STATE}/containerd-state"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{settings.PAUSE_IMAGE}"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{_STATE}/hosts"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # Inside a container or a sandbox there is no CAP_SYS_RESOURCE to lower a score.
  restrict_oom_score_adj = true
  max_container_log_line_size = 65536
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{settings.CNI_PLUGINS}"]
    conf_dir = "{_STATE}/cni/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "{tools.find("runc")}"
        SystemdCgroup = false
        Root = "{_STATE}/runc"
"""


def _network() -> dict:
    addresses = {
        "type": "host-local",
        "dataDir": f"{_STATE}/cni/addresses",
        "ranges": [[{"subnet": settings.POD_NETWORK}]],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": settings.NAME, "plugins": [bridge, ports]}


def _kubelet() -> dict:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": CGROUP,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(credentials.certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(credentials.certificate("kubelet-server")),
        "tlsPrivateKeyFile": str(credentials.key("kubelet-server")),
        "clusterDNS": [settings.NODE_ADDRESS],
        "clusterDomain": settings.CLUSTER_DOMAIN,
        "resolvConf": str(_STATE / "resolv.conf"),
        "enforceNodeAllocatable": ["pods"],
        # A full disk of a developer is no reason to evict.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "imagefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "localStorageCapacityIsolation": False,
        "maxPods": 250,
        "serializeImagePulls": False,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "volumePluginDir": str(_STATE / "kubelet/volume-plugins"),
        "podLogsDir": str(_STATE / "pod-logs"),
    }


def _proxy() -> dict:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(credentials.kubeconfig("proxy"))},
        "mode": "iptables",
        "clusterCIDR": settings.POD_NETWORK,
        "hostnameOverride": settings.NODE,
        "bindAddress": settings.NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # These would set sysctls that are the machine's, and read-only in a network namespace.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }


def _components() -> list[dict]:
    """In the order of their start; what has `after_api` waits until the API server answers."""
    config = {name: str(credentials.kubeconfig(name)) for name in ("controller-manager", "scheduler", "kwok")}
    before = {
        "registry": [
            sys.executable,
            str(Path(__file__).parent / "registry.py"),
            *(str(settings.images()), str(settings.REGISTRY_PORT), str(settings.PRIVATE_REGISTRY_PORT)),
        ],
        "etcd": [
            *_binary("etcd"),
            f"--data-dir={_STATE}/etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
        ],
        "containerd": [*_binary("containerd"), f"--config={_STATE}/containerd.toml"],
        "apiserver": [*_binary("kube-apiserver"), *_api_server_flags()],
    }
    after = {
        "controller-manager": [
            *_binary("kube-controller-manager"),
            *_kubeconfig_flags(config["controller-manager"]),
            f"--service-account-private-key-file={credentials.key('service-accounts')}",
            f"--root-ca-file={credentials.certificate('ca')}",
            "--use-service-account-credentials=true",
            f"--cluster-signing-cert-file={credentials.certificate('ca')}",
            f"--cluster-signing-key-file={credentials.key('ca')}",
        ],
        "scheduler": [*_binary("kube-scheduler"), *_kubeconfig_flags(config["scheduler"])],
        "kubelet": [
            *_binary("kubelet"),
            f"--config={_STATE}/kubelet.json",
            f"--kubeconfig={credentials.kubeconfig('kubelet')}",
            f"--root-dir={_STATE}/kubelet",
            f"--cert-dir={_STATE}/kubelet/pki",
            f"--hostname-override={settings.NODE}",
            f"--node-ip={settings.NODE_ADDRESS}",
        ],
        "proxy": [*_binary("kube-proxy"), f"--config={_STATE}/proxy.json"],
        "coredns": [*_binary("coredns-mini"), "-conf", str(_STATE / "Corefile")],
        "kwok": [
            *_binary("kwok"),
            f"--kubeconfig={config['kwok']}",
            f"--config={tools.home() / 'share' / 'kwok.yaml'}",
            f"--cidr={settings.FAKE_POD_NETWORK}",
            f"--node-ip={settings.FAKE_POD_NETWORK.replace('.0/16', '.1')}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        ],
    }
    return [{"name": name, "command": command, "after_api": False} for name, command in before.items()] + [
        {"name": name, "command": command, "after_api": True} for name, command in after.items()
    ]


def _binary(name: str) -> list[str]:
    return [str(tools.binary(name))]


def _kubeconfig_flags(path: str) -> list[str]:
    # The limits on their own calls would else be the ceiling of every measurement.
    names = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    limits = ["--kube-api-qps=1000", "--kube-api-burst=2000"]
    return [
        *(f"--{name}={path}" for name in names),
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        *limits,
    ]


def _api_server_flags() -> list[str]:
    pair = credentials.certificate, credentials.key
    (serving, serving_key), (kubelet, kubelet_key), (proxy, proxy_key) = (
        tuple(part(name) for part in pair) for name in ("apiserver", "apiserver-kubelet", "front-proxy")
    )
    authority = credentials.certificate("ca")
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={settings.NODE_ADDRESS}",
        "--bind-address=0.0.0.0",
        f"--secure-port={settings.API_PORT}",
        f"--service-cluster-ip-range={settings.SERVICE_NETWORK}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={authority}",
        f"--tls-cert-file={serving}",
        f"--tls-private-key-file={serving_key}",
        f"--kubelet-client-certificate={kubelet}",
        f"--kubelet-client-key={kubelet_key}",
        f"--kubelet-certificate-authority={authority}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={credentials.DIRECTORY / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={credentials.key('service-accounts')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--requestheader-client-ca-file={authority}",
        f"--proxy-client-cert-file={proxy}",
        f"--proxy-client-key-file={proxy_key}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
        "--event-ttl=1h",
        f"--audit-policy-file={_STATE / 'audit-policy.json'}",
        f"--audit-log-path={AUDIT_LOG}",
        *filter(None, os.environ.get("CREWCALL_TEST_API_SERVER_FLAGS", "").split(" ")),
    ]
