"""The few calls to the API server that bringing a cluster up needs."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from . import credentials, settings


def call(method: str, path: str, body: dict | None = None, *, timeout: float = 10.0) -> Any:
    """One request as the administrator.

    Args:
        method: Of HTTP.
        path: With its query.
        body: Sent as JSON.
        timeout: Seconds without a byte after which it fails.

    Returns:
        The document of the reply, or its text where that is none.

    Raises:
        urllib.error.HTTPError: The API server refused.
        OSError: It was not reached.
    """
    context = ssl.create_default_context(cafile=str(credentials.certificate("ca")))
    context.load_cert_chain(credentials.certificate("admin"), credentials.key("admin"))
    request = urllib.request.Request(
        settings.SERVER + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    # The proxy that a machine's environment may name has no way to the cluster.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(request, timeout=timeout) as reply:
        text = reply.read().decode()
    try:
        return json.loads(text)
    except ValueError:
        return text


def create(path: str, body: dict) -> None:
    """Creates an object, unless one of its name is there."""
    try:
        call("POST", path, body)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise


def answers() -> bool:
    """Whether the API server is ready."""
    try:
        call("GET", "/readyz", timeout=2.0)
    except OSError:
        return False
    return True
