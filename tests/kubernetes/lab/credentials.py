"""Certificates and kubeconfigs of a cluster: one authority, one certificate for each who takes part."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import settings, tools

DIRECTORY = settings.STATE / "pki"
DAYS = "3650"

_API_NAMES = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
_API_ADDRESSES = [settings.KUBERNETES_SERVICE, "127.0.0.1", settings.NODE_ADDRESS]


@dataclass(frozen=True)
class Identity:
    """Who a certificate speaks for: RBAC takes user and group from the subject."""

    name: str
    subject: str
    alternatives: str = ""
    kubeconfig: bool = False


IDENTITIES = [
    Identity(
        "apiserver",
        "/CN=kube-apiserver",
        ",".join(
            [f"DNS:{name}" for name in [*_API_NAMES, f"kubernetes.default.svc.{settings.CLUSTER_DOMAIN}"]]
            + [f"IP:{address}" for address in _API_ADDRESSES]
        ),
    ),
    # Without a certificate of this authority for its address, exec, logs and port-forward fail.
    Identity(
        "kubelet-server",
        f"/CN={settings.NODE}",
        f"DNS:{settings.NODE},IP:{settings.NODE_ADDRESS},IP:127.0.0.1",
    ),
    Identity("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    Identity("front-proxy", "/CN=front-proxy-client"),
    Identity("admin", "/O=system:masters/CN=admin", kubeconfig=True),
    Identity("controller-manager", "/CN=system:kube-controller-manager", kubeconfig=True),
    Identity("scheduler", "/CN=system:kube-scheduler", kubeconfig=True),
    Identity("kubelet", f"/O=system:nodes/CN=system:node:{settings.NODE}", kubeconfig=True),
    Identity("proxy", "/CN=system:kube-proxy", kubeconfig=True),
    Identity("coredns", "/O=system:masters/CN=coredns", kubeconfig=True),
    Identity("kwok", "/O=system:masters/CN=kwok", kubeconfig=True),
]


def certificate(name: str) -> Path:
    """The certificate of the identity `name`, or of the authority, `ca`."""
    return DIRECTORY / f"{name}.crt"


def key(name: str) -> Path:
    """The private key that goes with `certificate`."""
    return DIRECTORY / f"{name}.key"


def kubeconfig(name: str) -> Path:
    """The kubeconfig of a component."""
    return DIRECTORY / f"{name}.kubeconfig"


def create() -> None:
    """Makes the authority, all identities, and the keys that sign the tokens of service accounts."""
    DIRECTORY.mkdir(parents=True, mode=0o700)
    _elliptic_key("ca")
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    request = ["-x509", "-new", "-key", str(key("ca")), "-subj", "/CN=crewcall-test-ca", "-days", DAYS]
    _openssl("req", *request, "-addext", usage, "-out", str(certificate("ca")))
    for identity in IDENTITIES:
        _issue(identity)
        if identity.kubeconfig:
            write_private(kubeconfig(identity.name), client_certificate_config(identity.name))
    write_private(settings.KUBECONFIG, client_certificate_config("admin"))
    _openssl("genrsa", "-out", str(key("service-accounts")), "2048")
    _openssl(
        "rsa", "-in", str(key("service-accounts")), "-pubout", "-out", str(DIRECTORY / "service-accounts.pub")
    )


def _elliptic_key(name: str) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key(name)))


def _issue(identity: Identity) -> None:
    _elliptic_key(identity.name)
    request, extensions = DIRECTORY / "request", DIRECTORY / "extensions"
    lines = ["keyUsage=digitalSignature,keyEncipherment", "extendedKeyUsage=serverAuth,clientAuth"]
    if identity.alternatives:
        lines.append(f"subjectAltName={identity.alternatives}")
    extensions.write_text("\n".join(lines) + "\n")
    _openssl("req", "-new", "-key", str(key(identity.name)), "-subj", identity.subject, "-out", str(request))
    signer = ["-CA", str(certificate("ca")), "-CAkey", str(key("ca")), "-CAcreateserial", "-days", DAYS]
    signed = ["-extfile", str(extensions), "-out", str(certificate(identity.name))]
    _openssl("x509", "-req", "-in", str(request), *signer, *signed)
    request.unlink()
    extensions.unlink()


def client_certificate_config(name: str) -> str:
    """A kubeconfig for an identity, with everything it needs inside."""
    user = {"client-certificate-data": _encoded(certificate(name)), "client-key-data": _encoded(key(name))}
    return config(name, user, "default")


def config(name: str, user: dict[str, str], namespace: str) -> str:
    """A kubeconfig of this cluster, as JSON, which is YAML."""
    cluster = {"server": settings.SERVER, "certificate-authority-data": _encoded(certificate("ca"))}
    context = {"cluster": settings.NAME, "user": name, "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": settings.NAME, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": settings.NAME, "context": context}],
        "current-context": settings.NAME,
    }
    return json.dumps(document, indent=1) + "\n"


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(*arguments: str) -> None:
    done = subprocess.run([tools.find("openssl"), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise tools.ToolError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
