"""Prints the status of the dashboard's page, the first word of its web socket, and what another site's page gets."""

import asyncio
import re
import sys
import urllib.request

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

port = sys.argv[1]
with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=60) as answer:
    status, page = answer.status, answer.read().decode()
token = re.search(r'"token":"([^"]+)"', page)[1]


async def connect(origin: str) -> str:
    """Return the kind of the first message."""
    request = HTTPRequest(f"ws://127.0.0.1:{port}/status/ws", headers={"Origin": origin})
    socket = await websocket_connect(request, subprotocols=["bokeh", token])
    return re.search(r'"msgtype":"(\w+)"', str(await socket.read_message()))[1]


word = asyncio.run(asyncio.wait_for(connect(f"http://127.0.0.1:{port}"), 60))
try:
    foreign = asyncio.run(asyncio.wait_for(connect("https://evil.example"), 60))
except HTTPClientError as error:
    foreign = error.code
print(status, word, foreign)
