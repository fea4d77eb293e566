"""The machine image that instances boot: Debian with cloud-init, curl, Python and a container runtime.

It is a directory, which instances share and write beside. Made once for each recipe.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import settings

RELEASE = "bookworm"
PACKAGES = [
    "ca-certificates",
    "cloud-init",
    "crun",
    "curl",
    "dbus",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "netbase",
    "podman",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
    "udev",
    "uidmap",
]

# What takes long at boot, or speaks to devices that are not there.
_MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "cloud-init-hotplugd.socket",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "getty@tty1.service",
    "podman-auto-update.service",
    "podman-auto-update.timer",
    "podman-restart.service",
    "podman.service",
    "podman.socket",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
]

_FILES = {
    # One source, and no comment on its line: the script that looks for sources then takes it without probing.
    "etc/cloud/cloud.cfg.d/90-source.cfg": """\
datasource_list: [ Ec2 ]
datasource:
  Ec2: { strict_id: false, metadata_urls: [ "http://169.254.169.254" ], max_wait: 30, timeout: 5 }
network: { config: disabled }
""",
    "etc/cloud/cloud.cfg.d/91-modules.cfg": """\
cloud_init_modules: [ bootcmd, write-files, set_hostname, update_etc_hosts, ca-certs, users-groups ]
cloud_config_modules: [ runcmd ]
cloud_final_modules:
  - write-files-deferred
  - scripts-per-boot
  - scripts-per-instance
  - scripts-user
  - final-message
  - power-state-change
""",
    # cloud-init asks for tokens only where it recognises AWS; see below.
    "etc/ec2-uuid": "ec2e1916-9099-7caf-fd21-012345abcdef\n",
    # Asking a name server that does not answer takes cloud-init half a minute.
    "etc/resolv.conf": "",
    "etc/machine-id": "",
    # A machine in a namespace has no CAP_SYS_RESOURCE, no keyrings, and leaves cgroups alone.
    "etc/containers/containers.conf": """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
keyring = false
netns = "host"
cgroups = "disabled"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
runtime = "crun"
events_logger = "file"
""",
    "etc/containers/storage.conf": """\
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
[storage.options]
# Images that a machine has from its boot on, if somebody has made a store of them for all.
additionalimagestores = ["/usr/lib/crewcall/pulled"]
""",
    "etc/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
    # Every image comes from the registry beside the double.
    "etc/containers/registries.conf": "".join(
        f"""\
[[registry]]
prefix = "{prefix}"
location = "{settings.GATEWAY}:{settings.REGISTRY_PORT}"
insecure = true
"""
        for prefix in (
            "docker.io",
            "ghcr.io",
            "public.ecr.aws",
            f"{settings.GATEWAY}:{settings.REGISTRY_PORT}",
        )
    )
    + f"""\
[[registry]]
prefix = "{settings.GATEWAY}:{settings.PRIVATE_REGISTRY_PORT}"
location = "{settings.GATEWAY}:{settings.PRIVATE_REGISTRY_PORT}"
insecure = true
""",
    "etc/containers/registries.conf.d/50-search.conf": 'unqualified-search-registries = ["docker.io"]\n',
}

# What Amazon's images for containers have is called docker.
_DOCKER = '#!/bin/sh\nexec podman "$@"\n'
_DOCKER_UNIT = """\
[Unit]
Description=Stands for the Docker daemon, which podman does not need
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
"""


class ImageError(Exception):
    """The image could not be made."""


def recipe() -> str:
    """Names the image by the packages that it is made of; how they are set up is another matter."""
    return hashlib.sha256(" ".join([RELEASE, *PACKAGES]).encode()).hexdigest()[:16]


def path() -> Path:
    """The root directory of the image, whether it is there or not."""
    return settings.cache() / "ec2" / recipe() / "rootfs"


def build() -> Path:
    """Makes the image unless it is there, removes those of other recipes, and returns its root directory.

    Raises:
        ImageError: A command failed; the message has its last words.
    """
    root = path()
    if not (root.parent / "complete").exists():
        _install(root)
    configured = root.parent / "configured"
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if not configured.exists() or configured.read_text() != source:
        _configure(root)
        configured.write_text(source)
    return root


def _install(root: Path) -> None:
    began = time.monotonic()
    for old in root.parent.parent.glob("*/rootfs"):
        shutil.rmtree(old.parent)
    # One that was not finished has gone with them.
    root.parent.mkdir(parents=True)
    mirror = _mirror()
    _run("debootstrap", "--variant=minbase", "--include=ca-certificates", RELEASE, str(root), mirror)
    with _inside(root):
        _chroot(root, "apt-get", "update", "-q")
        _chroot(root, "apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES)
        _chroot(root, "apt-get", "clean")
        versions = _chroot(root, "dpkg-query", "-W")
    (root.parent / "packages").write_text(versions)
    (root.parent / "complete").touch()
    print(f"machine image: {time.monotonic() - began:.0f} s", file=sys.stderr)


def _mirror() -> str:
    """The mirror that this machine uses."""
    sites = _run("apt-get", "indextargets", "--format", "$(SITE)").split()
    debian = [site for site in sorted(set(sites)) if "debian" in site and "security" not in site]
    return debian[0] if debian else "http://deb.debian.org/debian"


@contextmanager
def _inside(root: Path) -> Iterator[None]:
    """Lets packages be installed: file systems, name service, and no service that starts."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    mounted = []
    try:
        for name in ("proc", "sys", "dev", "dev/pts"):
            _run("mount", "--bind", f"/{name}", str(root / name))
            mounted.append(root / name)
        yield
    finally:
        for point in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(point)], check=False)
        policy.unlink(missing_ok=True)


def _configure(root: Path) -> None:
    for name, text in _FILES.items():
        file = root / name
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (root / "usr/lib/crewcall/pulled").mkdir(parents=True, exist_ok=True)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    docker = root / "usr/local/bin/docker"
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "docker.service").write_text(_DOCKER_UNIT)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "docker.service").unlink(missing_ok=True)
    (wants / "docker.service").symlink_to("/etc/systemd/system/docker.service")
    # In a container it looks at nothing but this file, which cannot be made there.
    source = root / "usr/lib/python3/dist-packages/cloudinit/sources/DataSourceEc2.py"
    text = source.read_text().replace("/sys/hypervisor/uuid", "/etc/ec2-uuid")
    if "/etc/ec2-uuid" not in text:
        raise ImageError(f"{source}: recognises AWS by other means than it used to")
    source.write_text(text)
    shutil.rmtree(source.parent / "__pycache__", ignore_errors=True)


def _chroot(root: Path, *command: str) -> str:
    environment = "PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive"
    return _run("chroot", str(root), "/usr/bin/env", "-i", *environment.split(), *command)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        words = (done.stdout + done.stderr).strip()[-2000:]
        raise ImageError(f"{' '.join(command[:8])} failed: {words}")
    return done.stdout
