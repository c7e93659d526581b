"""A crowd of clients that check what they get and are told to go: a process on one epoll.

A client that is told ``reconnect`` comes back when it is due and leaves then, if the crowd moves;
otherwise it stays until it is closed. If the crowd moves, who is closed or cut off comes back, too.

Commands on standard input: ``mark`` prints the totals so far, ``report`` what became of each
client; the end of input ends it.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import itertools
import json
import os
import select
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.processes.line import Line, Stage

CLIENTS_PER_SOURCE: Final = 2000
FIRST_SOURCE: Final = 20
IN_FLIGHT_MAX: Final = 256
AGAIN_S: Final = 0.05
"""After an attempt that failed: a client that asked at once would ask in a loop."""
KNOWN_MAX: Final = 20_000

now_s = time.monotonic


@dataclass(slots=True)
class Client:
    number: int
    channel: int
    line: Line | None = None
    """The one that it listens to; while it moves, the one that it is about to leave."""
    attempt: Line | None = None
    asked_s: float = 0.0
    """When it began to try; 0 while it does not."""
    seen: list[tuple[int, int]] = field(default_factory=list)
    """First and last publication of each connection that is over."""
    told: list[tuple[float, int]] = field(default_factory=list)
    closed: list[tuple[float, int]] = field(default_factory=list)
    gone: bool = False


class Crowd:
    def __init__(self, args: argparse.Namespace) -> None:
        self._port: int = args.port
        self._channels: list[str] = args.channels.split(",")
        self._size: int = args.size
        self._moves: bool = args.moves
        self._poll = select.epoll()
        self._lines: dict[int, Line] = {}
        self._due: list[tuple[float, int, Client, Line | None]] = []
        self._turn = itertools.count()
        self._new = deque(Client(i, i % len(self._channels)) for i in range(args.connections))
        self._clients = list(self._new)
        self._in_flight = 0
        self._known: dict[bytes, tuple[int, int]] = {}
        self._sent_ns: dict[tuple[int, int], int] = {}
        self.subscribed = 0
        self.deliveries = 0
        self.outcomes: Counter[str] = Counter()
        """Of attempts to connect and subscribe."""
        self.longest_s = 0.0
        """From the first attempt until subscribed."""
        self.faults: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.gone = 0

    # ------------------------------------------------------------------------------ what lines tell

    def upgraded(self, line: Line) -> None:
        line.say({"type": "subscribe", "channels": [self._channels[line.who.channel]]})

    def heard(self, line: Line, payload: bytes) -> None:
        found = self._known.get(payload)
        if found is None:
            found = self._understand(line, payload)
            if found is None:
                return
        channel, number = found
        self.deliveries += 1
        if channel != line.who.channel:
            self.faults["unasked"] += 1
        elif number == line.next:
            line.next += 1
        elif not line.next:
            line.first, line.next = number, number + 1
        elif number > line.next:
            self.faults["lost"] += number - line.next
            line.next = number + 1
        else:
            self.faults["duplicates" if number + 1 == line.next else "reordered"] += 1

    def closed(self, line: Line) -> None:
        if line is line.who.line:
            line.who.closed.append((now_s(), line.code))

    def ended(self, line: Line, how: str) -> None:
        client: Client = line.who
        if line.next:
            client.seen.append((line.first, line.next - 1))
        if line is client.attempt:
            client.attempt = None
            self._in_flight -= 1
            self.outcomes[how] += 1
            self._later(AGAIN_S, client, client.line)
        elif line is client.line:
            client.line = None
            self.subscribed -= 1
            self.ends[how] += 1
            if client.attempt is not None:
                return
            if self._moves:
                self._later(0.0, client, None)
            else:
                client.gone = True
                self.gone += 1

    # -------------------------------------------------------------------------------- what is said

    def _understand(self, line: Line, payload: bytes) -> tuple[int, int] | None:
        """Channel and number of a publication. All get the same bytes, so once is enough."""
        try:
            message = json.loads(payload)
            kind = message["type"]
            if kind == "token_comment":
                return self._publication(message, payload)
        except (ValueError, LookupError, TypeError):
            self.faults["damaged"] += 1
            return None
        if kind == "subscribed":
            self._subscribed(line, message)
        elif kind == "reconnect":
            self._told(line, message["after_ms"])
        elif kind == "gap":
            self.faults["gaps"] += 1
        elif kind != "feed":
            self.faults["damaged"] += 1
        return None

    def _publication(self, message: dict[str, Any], payload: bytes) -> tuple[int, int]:
        data = message["data"]
        channel, number = int(data["c"]), int(data["n"])
        begin = payload.index(b'"data":') + len(b'"data":')
        if message["channel"] != self._channels[channel] or len(payload) - begin - 1 != self._size:
            raise ValueError("not what was published")
        self._sent_ns[channel, number] = data["t"]
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[payload] = channel, number
        return channel, number

    def _subscribed(self, line: Line, message: dict[str, Any]) -> None:
        client: Client = line.who
        if line is not client.attempt:
            return
        if "errors" in message:
            self.faults["refused"] += 1
        self.outcomes["subscribed"] += 1
        self.longest_s = max(self.longest_s, now_s() - client.asked_s)
        client.asked_s = 0.0
        self._in_flight -= 1
        client.attempt = None
        if client.line is None:
            self.subscribed += 1
        else:
            client.line.close()
        client.line = line

    def _told(self, line: Line, after_ms: int) -> None:
        client: Client = line.who
        client.told.append((now_s(), after_ms))
        if self._moves:
            self._later(after_ms / 1000, client, line)

    # ------------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        ready = False
        while True:
            for descriptor, _ in self._poll.poll(self._wait_s(), 1024):
                if descriptor == sys.stdin.fileno():
                    if not self._command():
                        return
                elif descriptor in self._lines:
                    self._ready(descriptor)
            # Only when all of these were looked at: a new line may get an old one's descriptor.
            self._open_due()
            if not ready and not self._new and not self._in_flight and not self._due:
                ready = True
                self._print("ready", self._totals())

    def _ready(self, descriptor: int) -> None:
        line = self._lines[descriptor]
        line.ready()
        if line.stage is Stage.ENDED:
            del self._lines[descriptor]

    def _wait_s(self) -> float:
        if self._new and self._in_flight < IN_FLIGHT_MAX:
            return 0.0
        return max(0.0, self._due[0][0] - now_s()) if self._due else 1.0

    def _open_due(self) -> None:
        while self._new and self._in_flight < IN_FLIGHT_MAX:
            self._open(self._new.popleft())
        while self._due and self._due[0][0] <= now_s():
            _, _, client, line = heapq.heappop(self._due)
            if client.attempt is None and client.line is line:
                self._open(client)

    def _later(self, after_s: float, client: Client, line: Line | None) -> None:
        """Have the client come anew, if it still has that line then."""
        heapq.heappush(self._due, (now_s() + after_s, next(self._turn), client, line))

    def _open(self, client: Client) -> None:
        source = f"127.0.0.{FIRST_SOURCE + client.number // CLIENTS_PER_SOURCE}"
        line = Line(self, client, self._poll, source, self._port)
        client.attempt = line
        client.asked_s = client.asked_s or now_s()
        self._lines[line.fileno()] = line
        self._in_flight += 1

    # -------------------------------------------------------------------------------------- answers

    def _command(self) -> bool:
        commands = os.read(sys.stdin.fileno(), 4096).decode()
        for command in commands.split():
            self._print(command, self._totals() if command == "mark" else self._report())
        return bool(commands)

    def _totals(self) -> dict[str, Any]:
        return {
            "subscribed": self.subscribed,
            "moving": self._in_flight + len(self._due),
            "gone": self.gone,
            "deliveries": self.deliveries,
            "outcomes": self.outcomes,
            "longest_s": self.longest_s,
            "faults": self.faults,
            "ends": self.ends,
        }

    def _report(self) -> dict[str, Any]:
        return {
            **self._totals(),
            "sent_ns": [[*where, sent_ns] for where, sent_ns in self._sent_ns.items()],
            "clients": [self._became(client) for client in self._clients],
        }

    def _became(self, client: Client) -> dict[str, Any]:
        seen = list(client.seen)
        if client.line is not None and client.line.next:
            seen.append((client.line.first, client.line.next - 1))
        return {
            "channel": client.channel,
            "seen": seen,
            "told": client.told,
            "closed": client.closed,
        }

    @staticmethod
    def _print(event: str, told: dict[str, Any]) -> None:
        print(json.dumps({"event": event, **told}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--channels", required=True, help="each client has one, in turn")
    parser.add_argument("--size", type=int, required=True, help="bytes of a payload")
    parser.add_argument("--moves", action="store_true")
    crowd = Crowd(parser.parse_args())
    gc.disable()  # nothing here forms cycles that matter, and a pause would look like the gateway's
    crowd.run()


if __name__ == "__main__":
    main()
