"""What user data tells whoever reads it. Pure."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{200,}={0,2}")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def private_keys(data: bytes, depth: int = 4) -> int:
    """Return how many private keys can be read in `data`, packed or encoded up to `depth` times."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return 0
    found = len(_PRIVATE_KEY.findall(data))
    if depth:
        found += sum(private_keys(part, depth - 1) for part in _decoded(data))
    return found


def _decoded(data: bytes) -> list[bytes]:
    parts = []
    for run in _BASE64.findall(data):
        word = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            parts.append(base64.b64decode(word + b"=" * (-len(word) % 4)))
        except binascii.Error:
            continue
    return parts
