"""An account on the test double of EC2, as both sides have it: what they call, and what it has."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

CALLER_KEY = "AKIATESTTESTTESTTEST"
"""Both sides' key. The double takes any."""

OWN_KEY = "AKIABENCHBENCHBENCHB"
"""That of this program, whose calls are nobody's cost."""

MACHINE_IMAGE = "ami-0c0ffee0000b0b024"
"""Has Docker, as all images of the double."""

PAGE = 1_000
"""The longest page that EC2 answers with."""

Calls = dict[str, int]
"""Numbers of calls by their action."""


class Account:
    """An account behind an endpoint.

    Args:
        url: Of the double.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def environment(self) -> dict[str, str]:
        """Return the variables that clients use it by."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": CALLER_KEY,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def calls(self) -> Calls:
        """Return what the side that is measured has called since `forget_calls`."""
        return self._calls(lambda key: key == CALLER_KEY)

    def calls_of_machines(self) -> Calls:
        """Return what instances have called with the credentials of their roles."""
        return self._calls(lambda key: key is not None and key.startswith("ASIA"))

    def _calls(self, of: Callable[[str | None], bool]) -> Calls:
        return dict(Counter(call["action"] for call in self.asked("log") if of(call["access_key"])))

    def forget_calls(self) -> None:
        """Count calls anew."""
        self.tell("forget-calls", {})

    def asked(self, verb: str) -> Any:
        """Return what the double tells."""
        with urllib.request.urlopen(f"{self.url}/_control/{verb}", timeout=60) as reply:
            return json.load(reply)

    def tell(self, verb: str, body: dict[str, Any]) -> None:
        """Tell the double something."""
        request = urllib.request.Request(f"{self.url}/_control/{verb}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60):
            pass

    def query(self, action: str, **parameters: str | int) -> ElementTree.Element:
        """Call EC2 and return its answer.

        Raises:
            urllib.error.HTTPError: It was refused.
        """
        form = urlencode({"Action": action, "Version": "2016-11-15", **parameters})
        # The double judges no signatures.
        signed = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={OWN_KEY}/20261123/us-east-1/ec2/aws4_request"
        }
        request = urllib.request.Request(f"{self.url}/", form.encode(), signed)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return ElementTree.fromstring(reply.read())

    def instances(self, *states: str) -> list[str]:
        """Return the ids of the instances in those states."""
        report = self.asked("report")["instances"]
        return [name for name, instance in report.items() if instance["state"] in states]

    def user_data(self, instance: str) -> bytes:
        """Return what an instance was started with."""
        answer = self.query("DescribeInstanceAttribute", InstanceId=instance, Attribute="userData")
        return base64.b64decode(text(answer, "value"))

    def console(self, instance: str) -> str:
        """Return what an instance has written to its console."""
        output = text(self.query("GetConsoleOutput", InstanceId=instance), "output")
        return base64.b64decode(output).decode(errors="replace")

    def run(self, count: int, user_data: bytes) -> list[str]:
        """Launch plain instances and return their ids."""
        answer = self.query(
            "RunInstances",
            MinCount=count,
            MaxCount=count,
            ImageId=MACHINE_IMAGE,
            InstanceType="m5.large",
            UserData=base64.b64encode(user_data).decode(),
        )
        return [found.text or "" for found in answer.iter() if found.tag.endswith("}instanceId")]

    def terminate(self, instances: list[str]) -> None:
        """Terminate instances."""
        numbered = {f"InstanceId.{number}": name for number, name in enumerate(instances, 1)}
        self.query("TerminateInstances", **numbered)


def text(answer: ElementTree.Element, tag: str) -> str:
    """Return the text of the first element with that tag; empty if there is none."""
    return next((found.text or "" for found in answer.iter() if found.tag.endswith(f"}}{tag}")), "")


@contextlib.contextmanager
def imagined(double: Path) -> Iterator[Account]:
    """Run a double of its own whose instances are imagined: they run after 3 s and end in 2 s."""
    with subprocess.Popen(
        [str(double), "--listen", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            if process.stdout is None or not (url := process.stdout.readline().strip()):
                raise RuntimeError(f"{double} did not start")
            account = Account(url)
            account.tell("settings", {"page": PAGE})
            yield account
        finally:
            process.terminate()
