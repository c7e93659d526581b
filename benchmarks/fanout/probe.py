"""One plain WebSocket client that subscribes and reads the reply: does the server work?"""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from typing import Any

from benchmarks.fanout.child import Child, Failure

REQUEST = (
    "GET /ws{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _masked(text: bytes) -> bytes:
    """A text frame of 126 to 65,535 bytes."""
    mask = b"\x12\x34\x56\x78"
    body = bytes(byte ^ mask[i & 3] for i, byte in enumerate(text))
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + mask + body


def _message(stream: Any) -> dict[str, Any]:
    head = stream.read(2)
    if head[:1] == b"\x88":
        raise OSError(f"closed {int.from_bytes(stream.read(2), 'big')}")
    if len(head) < 2 or head[0] != 0x81:
        raise OSError("not a text frame")
    length = head[1]
    if length >= 126:
        length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
    message: dict[str, Any] = json.loads(stream.read(length))
    return message


def subscribe(port: int, channel: str, query: str = "") -> dict[str, Any]:
    """The server's reply to a subscription; OSError where there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
        connection.sendall(REQUEST.format(port=port, query=query).encode())
        stream = connection.makefile("rb")
        status = stream.readline()
        if not status:
            raise ConnectionResetError("ended before it answered")
        if b" 101 " not in status:
            raise OSError(f"upgrade refused: {status!r}")
        while stream.readline().strip():
            pass
        command = f'{{"type":"subscribe","channels":["{channel}"]}}'
        connection.sendall(_masked(command.ljust(126).encode()))
        while (reply := _message(stream))["type"] not in ("subscribed", "error"):
            pass
        return reply


def http_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def accepts(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def serves(port: int, channel: str, seq_min: int = 0, query: str = "") -> bool:
    """Whether a subscription is granted, with the channel at that position or later."""
    try:
        reply = subscribe(port, channel, query)
    except (OSError, ValueError):
        return False
    granted = reply.get("channels", {}).get(channel)
    return granted is not None and granted.get("seq", 0) >= seq_min


def wait_until(what: str, condition: Any, child: Child, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        child.check_alive()
        if time.monotonic() > deadline:
            raise Failure(f"{child.name}: not {what} within {timeout_s:.0f} s")
        time.sleep(0.02)
