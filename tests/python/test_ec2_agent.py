"""The program that looks after a node on EC2, against a metadata service and parameters of its own."""

import base64
import datetime
import gzip
import importlib.util
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "src/provider/ec2/build/agent/crewcall_agent.py"
TOKEN = "a-token"
LOGIN = {"AccessKeyId": "AKID", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG", "Token": "session"}


class Answers(BaseHTTPRequestHandler):
    """The metadata service (IMDSv2) and Systems Manager on one port; `server.metadata` is by path."""

    def log_message(self, *_):
        """Nothing is printed."""

    def reply(self, code, text=""):
        """One answer."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        """A token."""
        self.reply(200, TOKEN)

    def do_GET(self):
        """Metadata, for whoever has the token."""
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return self.reply(401)
        path = self.path.removeprefix("/latest/meta-data/")
        found = self.server.metadata.get(path)
        return self.reply(404) if found is None else self.reply(200, found)

    def do_POST(self):
        """GetParameters: those that there are, in an order of its own."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((dict(self.headers), body))
        names, known = json.loads(body)["Names"], self.server.parameters
        found = [{"Name": name, "Value": known[name]} for name in reversed(names) if name in known]
        missing = [name for name in names if name not in known]
        self.reply(200, json.dumps({"Parameters": found, "InvalidParameters": missing}))


@pytest.fixture
def world(monkeypatch, tmp_path):
    """The agent as a module, and the server that it asks."""
    spec = importlib.util.spec_from_file_location("crewcall_agent", AGENT)
    agent = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.asked, server.parameters = [], {}
    server.metadata = {
        "instance-id": "i-0abc",
        "iam/security-credentials/": "a-role",
        "iam/security-credentials/a-role": json.dumps(LOGIN),
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(agent, "IMDS", f"http://127.0.0.1:{server.server_port}/latest/")
    monkeypatch.setattr(agent, "FILES", str(tmp_path / "files"))
    monkeypatch.setattr(agent, "USER", os.getuid())
    yield agent, server
    server.shutdown()


def node(server, **fields):
    """What a machine is started with."""
    ssm = f"http://127.0.0.1:{server.server_port}"
    return {"region": "eu-central-1", "ssm": ssm, "expiresAt": None, "spot": True, **fields}


def test_secrets_and_files_come_in_one_signed_call_and_are_for_their_user_alone(world, tmp_path):
    agent, server = world
    files = gzip.compress(json.dumps({"dask.yaml": "{}", "crewcall_preload.py": "pass"}).encode())
    text = base64.b64encode(files).decode()
    secrets = {"tls": {"tls.key": "a key"}, "env": {"TOKEN": "s3cret"}}
    server.parameters = {"/s": json.dumps(secrets), "/s.1": text[:40], "/s.2": text[40:]}
    environment = agent.fetch(node(server, secrets="/s", files=["/s.1", "/s.2"]))
    assert environment == {"TOKEN": "s3cret"}
    assert len(server.asked) == 1
    key = tmp_path / "files/tls/tls.key"
    assert key.read_text() == "a key" and key.stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "files/crewcall_preload.py").read_text() == "pass"


def test_calls_are_signed_as_the_aws_sdk_signs_them(world, monkeypatch):
    agent, _ = world

    class Then(datetime.datetime):
        """A clock that stands still."""

        @classmethod
        def now(cls, tz=None):
            """The one moment that there is."""
            return cls(2026, 11, 23, 9, 21, 10, tzinfo=tz)

    asked = []

    class Taken:
        """Takes calls, and the metadata service's as they are."""

        @staticmethod
        def open(request, timeout):
            """No answer to what is signed."""
            if request.get_method() == "POST":
                asked.append(request)
                raise OSError("taken")
            return direct.open(request, timeout=timeout)

    direct = agent.DIRECT
    monkeypatch.setattr(agent, "DIRECT", Taken)
    monkeypatch.setattr(agent.datetime, "datetime", Then)
    with pytest.raises(OSError, match="taken"):
        agent.parameters({"region": "eu-central-1", "ssm": "https://ssm.eu-central-1.amazonaws.com"}, ["/s"])
    # What botocore 1.44.5 makes of the same call at the same moment.
    expected = "c4f0a40d6dcd65a3dd38202541138f6c33d3d8dc3049ebce7a7b4ca78c9616c1"
    assert asked[0].get_header("Authorization").endswith("Signature=" + expected)


def test_a_parameter_that_is_not_there_is_said_with_no_value_of_the_others(world, monkeypatch):
    agent, server = world
    server.parameters = {}
    monkeypatch.setattr(agent.time, "sleep", lambda _: None)
    with pytest.raises(agent.Failed, match="cannot read the cluster's secrets"):
        agent.patiently(
            "cannot read the cluster's secrets", lambda: agent.parameters(node(server), ["/s"]), 0
        )


def test_a_machine_goes_when_ec2_says_so_or_its_time_is_over(world):
    agent, server = world
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = (now + datetime.timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    machine = node(server, expiryMargin=3600, expiresAt=stamp)
    assert "lifetime" in agent.taken_back(machine, 0), "half an hour before the tagged time is over"
    server.metadata["tags/instance/"] = "crewcall:expires-at"
    later = (now + datetime.timedelta(hours=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    server.metadata["tags/instance/crewcall:expires-at"] = later
    assert agent.taken_back(machine, 0) is None, "the tag says later than what it was started with"
    del server.metadata["tags/instance/crewcall:expires-at"]
    assert agent.taken_back(machine, 0) is None, "a machine without the tag has no end"
    server.metadata["spot/instance-action"] = json.dumps({"action": "terminate"})
    assert "spot notice" in agent.taken_back(machine, 1)
    assert agent.taken_back({**machine, "spot": False}, 1) is None
