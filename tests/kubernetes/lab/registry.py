"""A read-only registry of container images: the pull half of the OCI distribution specification, version 1.1.

Run as `registry.py DIRECTORY PORT PRIVATE_PORT [ADDRESS]`. The directory holds `blobs/sha256/<hex>` and, for
each repository, `repositories/<name>/<tag>`, a file with the digest of a manifest. The second port serves the
same images to those who bring a token, which its token endpoint gives for user and password.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab import settings

_NAME = r"(?P<name>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MANIFEST = re.compile(rf"/v2/{_NAME}/manifests/(?P<reference>[A-Za-z0-9_][A-Za-z0-9._:-]{{0,127}})")
_BLOB = re.compile(rf"/v2/{_NAME}/blobs/(?P<reference>sha256:[0-9a-f]{{64}})")
_TAGS = re.compile(rf"/v2/{_NAME}/tags/list")
_TOKEN = "a-token-of-the-test-registry"
_CHUNK = 1 << 20


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(
        self, status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    directory: Path
    private: bool

    def do_GET(self) -> None:
        """Answers with a body."""
        try:
            self.route()
        except Refusal as refusal:
            headers = {"Content-Type": "application/json"} | refusal.headers
            self.answer(refusal.body, headers, refusal.status)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Refuses OAuth's way to a token, as many registries do; clients then take the other."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(b"{}", {"Content-Type": "application/json"}, HTTPStatus.METHOD_NOT_ALLOWED)

    def route(self) -> None:
        """Finds who answers a path."""
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if url.path == "/token" and self.private:
            self.token()
            return
        self.authorize(url.path)
        if url.path in ("/v2", "/v2/"):
            self.answer(b"{}", {"Content-Type": "application/json"})
        elif match := _MANIFEST.fullmatch(url.path):
            self.manifest(match["name"], match["reference"])
        elif match := _BLOB.fullmatch(url.path):
            self.blob(match["name"], match["reference"])
        elif match := _TAGS.fullmatch(url.path):
            self.tags(match["name"], query)
        else:
            raise Refusal(HTTPStatus.NOT_FOUND, "UNSUPPORTED", f"nothing is at {url.path}")

    def authorize(self, path: str) -> None:
        """Demands the token on the private port."""
        if not self.private or self.headers.get("Authorization") == f"Bearer {_TOKEN}":
            return
        names = re.match(rf"/v2/{_NAME}/(?:manifests|blobs|tags)/", path)
        scope = f',scope="repository:{names["name"]}:pull"' if names else ""
        challenge = f'Bearer realm="http://{self.headers.get("Host")}/token",service="crewcall-test"{scope}'
        headers = {"WWW-Authenticate": challenge}
        raise Refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "authentication required", headers)

    def token(self) -> None:
        """Gives the token to the one user there is."""
        pair = f"{settings.REGISTRY_USER}:{settings.REGISTRY_PASSWORD}"
        if self.headers.get("Authorization") != f"Basic {base64.b64encode(pair.encode()).decode()}":
            raise Refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "wrong user or password")
        body = {"token": _TOKEN, "access_token": _TOKEN, "expires_in": 300}
        self.answer(json.dumps(body).encode(), {"Content-Type": "application/json"})

    def repository(self, name: str) -> Path:
        """The directory with the tags of a repository."""
        path = self.directory / "repositories" / name
        if not any(entry.is_file() for entry in (path.iterdir() if path.is_dir() else ())):
            raise Refusal(
                HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f"repository name not known to registry: {name}"
            )
        return path

    def manifest(self, name: str, reference: str) -> None:
        """A manifest, by tag or digest."""
        repository = self.repository(name)
        digest = reference
        if not _DIGEST.fullmatch(reference):
            tag = repository / reference
            digest = tag.read_text().strip() if tag.is_file() else ""
        path = self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")
        if not digest or not path.is_file():
            raise Refusal(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", f"manifest unknown: {name}:{reference}")
        body = path.read_bytes()
        headers = {"Content-Type": json.loads(body)["mediaType"], "Docker-Content-Digest": digest}
        self.answer(body, headers)

    def blob(self, name: str, digest: str) -> None:
        """A layer or a configuration, or the rest of one."""
        self.repository(name)
        path = self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")
        if not path.is_file():
            raise Refusal(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", f"blob unknown to registry: {digest}")
        size = path.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2]) if wanted and wanted[2] else size - 1, size - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self.finish_headers(headers, last - first + 1)
        if self.command == "HEAD":
            return
        with path.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left > 0 and (chunk := file.read(min(_CHUNK, left))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def tags(self, name: str, query: dict[str, str]) -> None:
        """The tags in lexical order, all or a page."""
        tags = sorted(entry.name for entry in self.repository(name).iterdir() if entry.is_file())
        if "last" in query:
            tags = [tag for tag in tags if tag > query["last"]]
        page = tags[: int(query["n"])] if "n" in query else tags
        headers = {"Content-Type": "application/json"}
        if len(page) < len(tags) and page:
            headers["Link"] = f'</v2/{name}/tags/list?n={query["n"]}&last={page[-1]}>; rel="next"'
        self.answer(json.dumps({"name": name, "tags": page}).encode(), headers)

    def answer(self, body: bytes, headers: dict[str, str], status: HTTPStatus = HTTPStatus.OK) -> None:
        """Sends a whole reply."""
        self.send_response(status)
        self.finish_headers(headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def finish_headers(self, headers: dict[str, str], length: int) -> None:
        """Sends the headers."""
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(length))
        self.end_headers()


def serve(directory: Path, address: str, port: int, *, private: bool) -> ThreadingHTTPServer:
    """Opens a port; `serve_forever` of what is returned answers."""
    handler = type("BoundHandler", (Handler,), {"directory": directory, "private": private})
    server = ThreadingHTTPServer((address, port), handler)
    server.daemon_threads = True
    return server


def main() -> None:
    """Serves both ports until it is killed."""
    directory, port, private_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    address = sys.argv[4] if len(sys.argv) > 4 else "0.0.0.0"
    private = serve(directory, address, private_port, private=True)
    threading.Thread(target=private.serve_forever, daemon=True).start()
    serve(directory, address, port, private=False).serve_forever()


if __name__ == "__main__":
    main()
