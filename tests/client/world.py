"""A made-up world for a session: publishers, gateways and a network, and what must hold in it.

A gateway does what docs/protocol.md says, in a few lines and without a socket. Messages are under
way until somebody says ``carry``; connections can be cut at any moment. ``check`` compares what
each subscriber was given with what was published: nothing twice, and nothing missing without a gap
where it is missing.

Out of what a client can tell, and so not done here: gateways hear of everything at the same time if
they count each for itself, or if there are subscriptions to patterns, of which no epoch is told.
"""

from __future__ import annotations

import json
from collections import deque
from random import Random
from typing import Any

from wsgate.client.actions import Dial, Finish, Hang, Say
from wsgate.client.credentials import Credentials, Way
from wsgate.client.interests import Interest
from wsgate.client.items import Gap, Update
from wsgate.client.mailbox import Mailbox
from wsgate.client.session import Session
from wsgate.rules import DEFAULT_RULES, Kind, matches

RING = 6


def is_event(channel: str) -> bool:
    rule = DEFAULT_RULES.match(channel)
    return rule is not None and rule.kind is Kind.EVENT


class Socket:
    """One connection, seen from the gateway."""

    def __init__(self, gateway: Gateway, id: int) -> None:
        self.gateway = gateway
        self.id = id
        self.names: dict[str, None] = {}
        self.to_gateway: deque[str] = deque()
        self.to_client: deque[Any] = deque()  # messages, and a close code at the end
        self.told_to_leave = False
        self.silent_upto: dict[str, int] = {}

    def wants(self, channel: str) -> bool:
        return any(matches(name, channel) for name in self.names)

    def send(self, message: dict[str, Any]) -> None:
        if not self.to_client or type(self.to_client[-1]) is not int:
            self.to_client.append(message)


class Gateway:
    """``shared``: it counts as all the others do; else for itself, in an epoch of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sockets: list[Socket] = []
        self.heard = 0
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.begin()

    def begin(self) -> None:
        self.world.epochs += 1
        self.epoch = "all" if self.world.shared else f"e{self.world.epochs}"
        if not self.world.shared:
            self.history = {}
            self.heard = len(self.world.published)

    def hear(self) -> None:
        """Of the next that was published."""
        if self.heard == len(self.world.published):
            return
        self.heard += 1
        channel, truth = self.world.published[self.heard - 1]
        history = self.history.setdefault(channel, [])
        prev = history[-1]["seq"] if history else 0
        seq = self.heard if self.world.shared else prev + 1
        message = {"type": "x", "channel": channel, "seq": seq, "prev": prev, "data": truth}
        history.append(message)
        for socket in self.sockets:
            if socket.wants(channel) and seq > socket.silent_upto.get(channel, 0):
                socket.send(message)

    def last(self, channel: str) -> int:
        return self.history[channel][-1]["seq"] if self.history.get(channel) else 0

    def obey(self, socket: Socket, text: str) -> None:
        command = json.loads(text)
        kind, id = command["type"], command["id"]
        if kind == "unsubscribe":
            for name in command["channels"]:
                socket.names.pop(name, None)
            left = [one for one in socket.to_client if type(one) is int or "seq" not in one]
            kept = [
                one
                for one in socket.to_client
                if type(one) is not int and "seq" in one and socket.wants(one["channel"])
            ]
            socket.to_client = deque(one for one in socket.to_client if one in left or one in kept)
            socket.send({"type": "unsubscribed", "id": id, "channels": command["channels"]})
        elif kind == "ping":
            socket.send({"type": "pong", "id": id})
        elif command.get("recover") and not self.world.recovers:
            socket.send({"type": "error", "id": id, "code": "not_supported", "message": ""})
        else:
            self.subscribe(socket, command)

    def subscribe(self, socket: Socket, command: dict[str, Any]) -> None:
        reply: dict[str, Any] = {}
        values: dict[str, dict[str, Any]] = {}
        for name in command["channels"]:
            socket.names[name] = None
            if "*" in name or ">" in name:
                reply[name] = {}
            else:
                reply[name] = {"epoch": self.epoch, "seq": self.last(name)}
            for channel, history in self.history.items():
                if matches(name, channel) and not is_event(channel):
                    values[channel] = history[-1]
        for channel, position in (command.get("recover") or {}).items():
            if not any(matches(name, channel) for name in command["channels"]):
                continue
            reply[channel] = {"epoch": self.epoch, "seq": self.last(channel)}
            history = self.history.get(channel, [])
            after = [one for one in history if one["seq"] > position["seq"]]
            known = history[-RING:]
            whole = not after or after[0] in known
            good = position["epoch"] == self.epoch and whole
            reply[channel]["recovered"] = good
            values.pop(channel, None)
            if good and is_event(channel):
                socket.silent_upto[channel] = position["seq"]
                values |= {f"{channel} {one['seq']}": one for one in after}
            elif good and after:
                values[channel] = after[-1]
        # Clients ignore what they do not know.
        granted = {"names": command["channels"], "published": self.heard}
        socket.send(
            {"type": "subscribed", "id": command["id"], "channels": reply, "granted": granted}
        )
        for message in values.values():
            socket.send(message)


class World:
    def __init__(self, seed: int, *, shared: bool, recovers: bool, gateways: int = 2) -> None:
        self.shared = shared
        self.recovers = recovers
        self.published: list[tuple[str, int]] = []
        self.epochs = 0
        self.now = 0.0
        self.random = Random(seed)
        self.gateways = [Gateway(self) for _ in range(gateways)]
        self.dials: list[int] = []
        self.sockets: dict[int, Socket] = {}
        self.subscribers: list[Subscriber] = []
        self.end: Exception | None = None
        self.session = Session(
            Credentials(None, False, Way.SUBPROTOCOL), random=self.random, channels_max=100
        )
        self.session.begin(self.now)
        self.act()

    # what happens

    def act(self) -> None:
        for action in self.session.actions:
            match action:
                case Dial(id):
                    self.dials.append(id)
                case Say(id, text):
                    if id in self.sockets:
                        self.sockets[id].to_gateway.append(text)
                case Hang(id):
                    self.dials = [one for one in self.dials if one != id]
                    self.drop(id)
                case Finish(error):
                    self.end = error
        self.session.actions.clear()
        for subscriber in self.subscribers:
            subscriber.read()

    @property
    def lags(self) -> bool:
        names = [name for one in self.subscribers for name in one.interest.names]
        return self.shared and not any("*" in name or ">" in name for name in names)

    def drop(self, id: int) -> None:
        socket = self.sockets.pop(id, None)
        if socket is not None and socket in socket.gateway.sockets:
            socket.gateway.sockets.remove(socket)

    def subscribe(self, *names: str) -> Subscriber:
        subscriber = Subscriber(self, names)
        self.subscribers.append(subscriber)
        self.session.subscribe(subscriber.interest, self.now)
        self.act()
        return subscriber

    def note_due(self, granted: dict[str, Any]) -> None:
        """What is published from then on is due to whoever has been told so."""
        for subscriber in self.subscribers:
            for name in granted["names"]:
                if name in subscriber.interest.names:
                    subscriber.due.setdefault(name, granted["published"])

    def publish(self, channel: str) -> None:
        self.published.append((channel, len(self.published) + 1))
        if not self.lags:
            for gateway in self.gateways:
                gateway.hear()
        else:
            self.random.choice(self.gateways).hear()
        self.act()

    def answer(self, gateway: int, *, good: bool = True) -> None:
        if not self.dials:
            return
        id = self.dials.pop(0)
        if not good:
            self.session.failed(id, self.now)
        else:
            chosen = self.gateways[gateway % len(self.gateways)]
            socket = self.sockets[id] = Socket(chosen, id)
            chosen.sockets.append(socket)
            self.session.opened(id, "wsgate.v1", self.now)
        self.act()

    def carry(self, place: int, count: int = 1) -> bool:
        """Some messages of one connection, both ways; whether there were any."""
        sockets = list(self.sockets.values())
        if not sockets:
            return False
        socket = sockets[place % len(sockets)]
        done = False
        for _ in range(count):
            if socket.to_gateway and socket in socket.gateway.sockets:
                done = True
                socket.gateway.obey(socket, socket.to_gateway.popleft())
            if socket.to_client and socket.id in self.sockets:
                done = True
                message = socket.to_client.popleft()
                if type(message) is int:
                    self.ends(socket, message)
                    break
                if "granted" in message:
                    self.note_due(message["granted"])
                self.session.received(socket.id, json.dumps(message), self.now)
                self.act()
        return done

    def ends(self, socket: Socket, code: int) -> None:
        self.drop(socket.id)
        self.session.closed(socket.id, code, "", self.now)
        self.act()

    def cut(self, place: int) -> None:
        sockets = list(self.sockets.values())
        if sockets:
            socket = sockets[place % len(sockets)]
            socket.to_client.clear()
            socket.to_gateway.clear()
            self.ends(socket, 1006)

    def dismiss(self, place: int) -> None:
        """First ask a client to leave, then end the connection, with what is owed before."""
        sockets = list(self.sockets.values())
        if not sockets:
            return
        socket = sockets[place % len(sockets)]
        if not socket.told_to_leave:
            socket.told_to_leave = True
            socket.send({"type": "reconnect", "after_ms": 1000})
        elif socket in socket.gateway.sockets:
            socket.send(1012)  # type: ignore[arg-type]
            socket.gateway.sockets.remove(socket)

    def overflow(self, place: int) -> None:
        """The client was too slow for the newest event it is owed."""
        sockets = list(self.sockets.values())
        socket = sockets[place % len(sockets)] if sockets else None
        if socket is None or not socket.to_client or type(socket.to_client[-1]) is int:
            return
        last = socket.to_client[-1]
        if "seq" in last and is_event(last["channel"]):
            socket.to_client[-1] = {"type": "gap", "channels": [last["channel"]]}

    def restart(self, place: int) -> None:
        gateway = self.gateways[place % len(self.gateways)]
        for socket in list(gateway.sockets):
            socket.to_client.clear()
            self.ends(socket, 1006)
        gateway.begin()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.session.tick(self.now)
        self.act()

    def settle(self) -> None:
        """Let everything arrive that is going to."""
        for gateway in self.gateways:
            while gateway.heard < len(self.published):
                gateway.hear()
        for _ in range(400):
            while any(self.carry(place) for place in range(len(self.sockets))):
                pass
            for socket in list(self.sockets.values()):
                if socket not in socket.gateway.sockets and not socket.to_client:
                    self.ends(socket, 1006)
            if self.dials:
                self.answer(0)
            elif not self.session.connected or len(self.sockets) > 1:
                self.wait(1.0)
            else:
                return
        raise AssertionError("it does not come to rest")

    def check(self) -> None:
        for subscriber in self.subscribers:
            subscriber.check()


class Subscriber:
    def __init__(self, world: World, names: tuple[str, ...]) -> None:
        self.world = world
        self.mailbox = Mailbox()
        self.interest = Interest(names, None, self.mailbox, lambda: None)
        self.due: dict[str, int] = {}  # by name, how much had been published when it was granted
        self.read_items: list[Update | Gap] = []

    def read(self) -> None:
        while (item := self.mailbox.take()) is not None:
            self.read_items.append(item)

    def check(self) -> None:
        channels = {channel for channel, _ in self.world.published}
        for channel in channels:
            if any(matches(name, channel) for name in self.due):
                (self._check_events if is_event(channel) else self._check_state)(channel)

    def _check_events(self, channel: str) -> None:
        since = min(n for name, n in self.due.items() if matches(name, channel))
        due = deque(t for c, t in self.world.published if c == channel and t > since)
        given = -1
        excused = False
        for item in self.read_items:
            if isinstance(item, Gap):
                excused = excused or any(matches(one, channel) for one in item.channels)
            elif item.channel == channel:
                assert item.data > given, f"{channel}: {item.data} after {given}"
                given = item.data
                while due and due[0] < given:
                    assert excused, f"{channel}: {due[0]} is missing before {given}"
                    due.popleft()
                if due and due[0] == given:
                    due.popleft()
                excused = False
        assert not due or excused, f"{channel}: {list(due)} are missing at the end"

    def _check_state(self, channel: str) -> None:
        latest = [truth for c, truth in self.world.published if c == channel][-1]
        given = [
            item.data
            for item in self.read_items
            if isinstance(item, Update) and item.channel == channel
        ]
        if self.world.shared:
            assert given == sorted(given)
        if latest > min(n for name, n in self.due.items() if matches(name, channel)):
            # A value that no gateway has any more cannot be had.
            known = [
                g.history[channel][-1]["data"]
                for g in self.world.gateways
                if g.history.get(channel)
            ]
            assert not known or (given and given[-1] >= max(known)) or self._excused(channel)

    def _excused(self, channel: str) -> bool:
        return any(
            isinstance(item, Gap) and any(matches(one, channel) for one in item.channels)
            for item in self.read_items
        )
