"""What a machine does for Crewcall: fetches its secrets, runs one container, and ends with it.

Runs as the systemd unit `crewcall`, which powers the machine off when this program ends, for whatever reason.
Python 3.9 or later, standard library only.
"""

import base64
import datetime
import gzip
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

IMDS = "http://169.254.169.254/latest/"
FILES = "/run/crewcall/files"
WORK = "/var/lib/crewcall"
HOPELESS = ("manifest unknown", "not found", "denied")
USER = 1000
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def say(text):
    """Report a step; the unit's output goes to the journal and to the console, where EC2 shows it."""
    print(f"crewcall: {text}", flush=True)


class Failed(Exception):
    """The node cannot run; the text says why."""


def imds(path, method="GET", headers=None, timeout=5):
    """Ask the instance metadata service; None for what it does not have (404)."""
    request = urllib.request.Request(IMDS + path, method=method, headers=headers or {})
    try:
        with DIRECT.open(request, timeout=timeout) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def metadata(path):
    """Ask for metadata, with a token of its own: they are cheap, and none can expire."""
    token = imds("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return imds("meta-data/" + path, headers={"X-aws-ec2-metadata-token": token})


def patiently(what, ask, seconds):
    """Repeat until an answer comes; Failed with the last error after so many seconds."""
    end, pause = time.monotonic() + seconds, 1.0
    while True:
        try:
            return ask()
        except (OSError, ValueError, KeyError) as error:
            detail = error.read().decode(errors="replace")[:300] if hasattr(error, "read") else ""
            if time.monotonic() + pause > end:
                raise Failed(f"{what}: {error} {detail}".strip()) from error
            time.sleep(pause)
            pause = min(pause * 2, 10)


def signed(key, text):
    """One step of AWS' signature."""
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def login():
    """Credentials of the machine's own role."""
    role = (metadata("iam/security-credentials/") or "").split("\n")[0].strip()
    if not role:
        raise ValueError("the machine has no instance profile yet")
    return json.loads(metadata("iam/security-credentials/" + role))


def parameters(node, names):
    """Read up to ten parameters of AWS Systems Manager with the machine's own role (Signature Version 4)."""
    keys = login()
    url, region = node["ssm"], node["region"]
    body = json.dumps({"Names": names, "WithDecryption": True})
    host = url.split("://", 1)[1].rstrip("/")
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": host,
        "x-amz-date": stamp,
        "x-amz-security-token": keys["Token"],
        "x-amz-target": "AmazonSSM.GetParameters",
    }
    listed = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    digest = hashlib.sha256(body.encode()).hexdigest()
    canonical = f"POST\n/\n\n{lines}\n{listed}\n{digest}"
    scope = f"{day}/{region}/ssm/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in (day, region, "ssm", "aws4_request", f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"):
        key = signed(key, part)
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, "
        f"SignedHeaders={listed}, Signature={key.hex()}"
    )
    request = urllib.request.Request(url, data=body.encode(), headers=headers)
    with DIRECT.open(request, timeout=20) as reply:
        found = {one["Name"]: one["Value"] for one in json.load(reply)["Parameters"]}
    # What was written a moment ago may not be there yet: a KeyError, and asked for again.
    return [found[name] for name in names]


def place(name, text):
    """Put a file where the container sees it, for its user alone."""
    path = os.path.join(FILES, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o400)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.chown(path, USER, USER)


def fetch(node):
    """Secrets and files from the cluster's parameters; secret environment variables are returned."""
    names = [node["secrets"], *node["files"]]
    # In as few calls as may be: many machines that boot at once are throttled.
    batches = [names[begin : begin + 10] for begin in range(0, len(names), 10)]
    secrets, *chunks = [
        text
        for batch in batches
        for text in patiently(
            "cannot read the cluster's secrets", lambda batch=batch: parameters(node, batch), 300
        )
    ]
    secrets = json.loads(secrets)
    for name, text in secrets.get("tls", {}).items():
        place("tls/" + name, text)
    files = json.loads(gzip.decompress(base64.b64decode("".join(chunks))))
    for name, text in files.items():
        place(name, text)
    return secrets.get("env", {})


def docker(*arguments):
    """Run docker; Failed with its last words."""
    done = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failed(f"docker {arguments[0]}: {done.stdout.strip()[-600:]}")


def pull(image):
    """Pull the image, a few times: registries limit how often."""
    known = subprocess.run(["docker", "image", "inspect", image], capture_output=True)
    for pause in (2, 10, 30, None):
        if known.returncode == 0:
            return
        try:
            docker("pull", "--quiet", image)
            return
        except Failed as error:
            # An image that is not there, or not for us, will not be there in half a minute.
            if pause is None or any(word in str(error) for word in HOPELESS):
                raise
            say(f"pulling again in {pause} s: {error}")
            time.sleep(pause)


def guard():
    """Keep everybody but root from the instance metadata service, and so from the machine's credentials."""
    rule = ["to", "169.254.169.254/32", "uidrange", "1-4294967294", "prohibit"]
    done = subprocess.run(["ip", "rule", "add", *rule], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"cannot shut the instance metadata service off: {done.stderr.strip()}")


def notify(text):
    """Tell systemd that this program is alive."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + path[1:] if path.startswith("@") else path)
            channel.sendall(text.encode())


def expiry(node):
    """When the machine is to be gone, in seconds of the epoch; None: never.

    By its tag, which may change; by what it was started with where the tags cannot be read.
    """
    try:
        known = metadata("tags/instance/") is not None
        text = metadata("tags/instance/crewcall:expires-at") if known else node["expiresAt"]
    except (OSError, ValueError):
        text = node["expiresAt"]
    if not text:
        return None
    moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def watch(node, container):
    """Until the container ends: look for a spot notice and for the end of the machine's time."""
    turn, stopping = 0, False
    while container.poll() is None:
        notify("WATCHDOG=1")
        if not stopping and turn % 5 == 0:
            reason = taken_back(node, turn)
            if reason:
                say(reason)
                stopping = True
                threading.Thread(target=stop, args=(node,), daemon=True).start()
        turn += 1
        time.sleep(1)
    return container.returncode


def taken_back(node, turn):
    """Why the container has to go now; None: it may stay."""
    try:
        if node["spot"] and metadata("spot/instance-action"):
            return "spot notice: EC2 takes this machine back"
    except (OSError, ValueError):
        pass
    if turn % 60 == 0:
        end = expiry(node)
        if end is not None and time.time() > end - node["expiryMargin"]:
            return "the cluster's maximum lifetime is over"
    return None


def stop(node):
    """SIGTERM to the container, SIGKILL after the drain."""
    subprocess.run(["docker", "stop", "-t", str(node["stopSeconds"]), "crewcall"], capture_output=True)


def run(node, instance):
    """All of a node's life."""
    if os.path.exists(WORK + "/started"):
        raise Failed("the machine was rebooted: a name is never used for a second process")
    os.makedirs(WORK + "/work", exist_ok=True)
    open(WORK + "/started", "w").close()
    os.chown(WORK + "/work", USER, USER)
    secrets = fetch(node)
    os.chown(FILES, USER, USER)
    if node["guard"]:
        guard()
    say(f"pulling the image {node['image']}")
    pull(node["image"])
    environment = {**node["environment"], **secrets}
    arguments = [argument.replace("{instance}", instance) for argument in node["argv"]]
    options = ["--name", "crewcall", "--network", "host", "--user", f"{USER}:{USER}", "--cap-drop", "ALL"]
    options += ["--security-opt", "no-new-privileges", "-v", f"{FILES}:/etc/crewcall:ro"]
    options += ["-v", f"{WORK}/work:/tmp", "--workdir", "/tmp", *node["options"]]
    options += ["--entrypoint", arguments[0]]
    for name in environment:
        options += ["-e", name]
    say("starting")
    container = subprocess.Popen(
        ["docker", "run", *options, node["image"], *arguments[1:]], env={**os.environ, **environment}
    )
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop, args=(node,), daemon=True).start())
    code = watch(node, container)
    say(f"ended with exit code {code}")
    return code


def main():
    """Run the node that the file names; what the machine then does is the unit's."""
    with open(sys.argv[1]) as file:
        node = json.load(file)
    notify("READY=1")
    say("booted")
    try:
        if not shutil.which("docker"):
            raise Failed("the machine image has no docker")
        instance = patiently("cannot ask for the instance's id", lambda: metadata("instance-id"), 60)
        return run(node, instance)
    except Failed as error:
        say(f"failed: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
