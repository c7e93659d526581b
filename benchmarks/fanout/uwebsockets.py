"""uWebSockets as a gateway: its topics do the fan-out, and a little Python brings the publications.

It is driven as well as socketify allows: by uWebSockets' own loop, which sleeps until a socket is
ready. socketify's usual way, asyncio beside it, spins, and takes a whole core for any load. NATS is
looked at each millisecond, in which uWebSockets gathers what a socket is owed.
"""

from __future__ import annotations

import argparse
import json
import socket
from typing import Any, Final

from socketify import App, CompressOptions, OpCode

LOOK_MS: Final = 1
BACKLOG_BYTES: Final = 1 << 24  # of a connection; past it uWebSockets drops what it is owed
READ_BYTES: Final = 1 << 20
KINDS: Final = {b"update": b"token_update", b"comment": b"token_comment"}


class Feed:
    """Publications from NATS, in the envelope that the gateway gives them."""

    def __init__(self, port: int, app: Any) -> None:
        self._app = app
        self._rest = b""
        self._seq: dict[bytes, int] = {}
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB token.> 1\r\n')
        self._socket.setblocking(False)

    def look(self, _: Any) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("NATS closed the connection")
        data = self._rest + data
        done = 0
        while (end := data.find(b"\r\n", done)) >= 0:
            line = data[done:end]
            if line.startswith(b"MSG "):
                _, subject, _, size = line.split(b" ")
                after = end + 2 + int(size)
                if len(data) < after + 2:
                    break
                self._publish(subject, data[end + 2 : after])
                end = after
            elif line == b"PING":
                self._socket.sendall(b"PONG\r\n")
            done = end + 2
        self._rest = data[done:]

    def _publish(self, channel: bytes, payload: bytes) -> None:
        before = self._seq.get(channel, 0)
        self._seq[channel] = before + 1
        kind = KINDS[channel.rpartition(b".")[2]]
        envelope = b'{"type":"%b","channel":"%b","seq":%d,"prev":%d,"data":%b}'
        message = envelope % (kind, channel, before + 1, before, payload)
        self._app.publish(channel, message, OpCode.TEXT)

    def position(self, channel: str) -> dict[str, Any]:
        return {"epoch": "uws", "seq": self._seq.get(channel.encode(), 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--nats", type=int, required=True)
    args = parser.parse_args()
    app = App()
    feed = Feed(args.nats, app)

    def on_message(ws: Any, message: Any, _opcode: Any) -> None:
        channels = json.loads(message)["channels"]
        for channel in channels:
            ws.subscribe(channel)
        positions = {channel: feed.position(channel) for channel in channels}
        reply = json.dumps({"type": "subscribed", "channels": positions}, separators=(",", ":"))
        ws.send(reply, OpCode.TEXT)

    behaviour = {
        "compression": CompressOptions.DISABLED,
        "max_backpressure": BACKLOG_BYTES,
        "idle_timeout": 120,
        "message": on_message,
    }
    app.ws("/ws", behaviour)
    app.listen({"port": args.port, "host": "127.0.0.1"}, lambda _config: None)
    loop = app.loop.uv_loop
    timer = loop.create_timer(LOOK_MS, LOOK_MS, feed.look, None)
    try:
        loop.run()
    finally:
        timer.stop()


if __name__ == "__main__":
    main()
