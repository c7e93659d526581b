"""Clients with credentials, good and bad, while keys come, go and cannot be had, in any order.

Whatever happens, nobody gets a publication that no good credential of theirs permits.
"""

from __future__ import annotations

import asyncio
import json
from random import Random

import jwt

from tests.fuzz.inmemory import LIMITS, Client, Gateway, upgrade
from tests.fuzz.tape import Tape
from tests.fuzz.timeless import run
from tests.support.frames import TEXT, frame
from wsgate.auth.authenticator import Authenticator
from wsgate.auth.identity import Identity
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import Key, KeySet, KeysUnusable
from wsgate.auth.limits import KeyLimits
from wsgate.auth.options import TokenOptions
from wsgate.auth.permissions import NOTHING, Permissions
from wsgate.auth.tickets import Tickets
from wsgate.rules import covers

KEY_LIMITS = KeyLimits(
    refresh_interval_s=1.0, unknown_key_interval_s=0.05, unknown_key_waiters_max=2,
    backoff_base_s=0.05, backoff_cap_s=0.2,
)  # fmt: skip
SECRETS = {name: name.encode() * 20 for name in ("k1", "k2", "never")}
KEYS = {name: Key("HS256", SECRETS[name], name) for name in ("k1", "k2")}
SUBJECTS = ["ann", "bob"]
PERMITTED = [[], ["token.a.*"], ["token.*.update"], ["global.>", "token.b.comment"], [">"]]
LIVES_S = [None, 0.1, 0.4, -1.0]
CHANNELS = [
    "token.a.update", "token.b.update", "token.b.comment", "global.trending", "global.>",
    "token.*.update", "token.a.*",
]  # fmt: skip
NAPS_S = [0, 0, 0.001, 0.05, 0.1, 0.3]
EXPIRY_NOTICED_S = 0.2
STEPS_MAX = 150


def fuzz(data: bytes) -> None:
    run(lambda: _fuzz(Tape(data)))


class _Issuer:
    """Where keys come from: as its state is at the moment, which a step may change."""

    name = "issuer"
    remote = True

    def __init__(self) -> None:
        self.names: list[str] | None = ["k1"]

    def interval_s(self, limits: KeyLimits) -> float | None:
        return limits.refresh_interval_s

    async def load(self, limits: KeyLimits) -> KeySet | None:
        await asyncio.sleep(0.02)
        if self.names is None:
            raise KeysUnusable("the issuer is away")
        return KeySet([KEYS[name] for name in self.names])


class _Scene:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.issuer = _Issuer()
        self.source = KeySource(self.issuer, limits=KEY_LIMITS, random=Random(0))
        self._clock = asyncio.get_running_loop().time
        options = TokenOptions(permissions_default=NOTHING, leeway_s=0.0)
        self.tickets = Tickets()
        self.authenticator = Authenticator(
            self.source, options, redeem=self._redeem, clock=self._clock
        )
        self.gateway = Gateway(authenticator=self.authenticator)
        assert self.gateway.hub.login is not None
        self.login = self.gateway.hub.login
        self.login._clock = self._clock
        self.permitted: dict[Client, list[str]] = {}

    def _credential(self) -> tuple[str, list[str]]:
        """A token, and what it permits, if it is good now: it is no better later."""
        tape, now_s = self.tape, self._clock()
        name = tape.one_of(["k1", "k1", "k2", "never"])
        patterns, lives_s = tape.one_of(PERMITTED), tape.one_of(LIVES_S)
        claims = {"sub": tape.one_of(SUBJECTS), "iat": now_s, "channels": patterns}
        if lives_s is not None:
            claims["exp"] = now_s + lives_s
        token = jwt.encode(claims, SECRETS[name], "HS256", {"kid": name})
        good = name in KEYS and (lives_s is None or lives_s > 0)
        return token, patterns if good else []

    def _ticket(self, identity: Identity) -> str:
        return self.tickets.issue(identity, 1.0, self._clock())

    async def _redeem(self, ticket: str) -> Identity | None:
        await asyncio.sleep(0.001)
        return self.tickets.redeem(ticket, self._clock())

    def step(self) -> None:
        tape = self.tape
        clients = [client for client in self.gateway.clients if client.open]
        step = tape.number(15)
        if step < 3 or not clients:
            if len(self.gateway.clients) < 2 * LIMITS.connections_max:
                self._connect()
        elif step < 6:
            client = tape.one_of(clients)
            token, patterns = self._credential()
            self.permitted[client] += patterns
            _send(client, {"type": "auth", "token": token})
        elif step < 9:
            channels = [tape.one_of(CHANNELS) for _ in range(1 + tape.number(2))]
            _send(tape.one_of(clients), {"type": "subscribe", "channels": channels})
        elif step < 11:
            payload = json.dumps("x" * tape.number(600)).encode()
            self.gateway.hub.publish(tape.one_of(CHANNELS[:4]), payload)
        elif step == 11:
            self.issuer.names = tape.one_of([["k1"], ["k2"], ["k1", "k2"], [], None])
        elif step == 12:
            self._revoke(tape.one_of(SUBJECTS))
        elif step == 13:
            tape.one_of(clients).read()
        elif step == 14:
            tape.one_of([tape.one_of(clients).vanish, tape.one_of(clients).end_of_file])()
        else:
            _send(tape.one_of(clients), {"type": "ping"})

    def _connect(self) -> None:
        client = self.gateway.connect()
        token, patterns = self._credential()
        path, headers = b"/", []
        match self.tape.number(4):
            case 0:
                patterns = []
            case 1:
                path = b"/?auth=" + token.encode()
            case 2:
                headers = [b"Sec-WebSocket-Protocol: wsgate.v1, wsgate.auth." + token.encode()]
            case 3:
                patterns = self.tape.one_of(PERMITTED)
                identity = Identity("ann", self._clock() + 0.3, Permissions(patterns))
                path = b"/?ticket=" + self._ticket(identity).encode()
            case 4:
                path = b"/?auth=" + token.encode() + b"&ticket=x"
                patterns = []
        if self.tape.number(1):
            headers.append(b"Sec-WebSocket-Extensions: permessage-deflate")
        self.permitted[client] = list(patterns)
        client.send(upgrade(path, *headers))

    def _revoke(self, subject: str) -> None:
        self.gateway.hub.revoke(subject)
        for connection in self.gateway.hub._connections.values():
            identity = connection.session.identity
            if identity is not None and identity.subject == subject:
                assert connection.end_reason is not None, "the revoked stays"

    def check(self) -> None:
        self.gateway.core.check()
        for connection in self.gateway.hub._connections.values():
            identity = connection.session.identity
            if connection.end_reason is None and identity is not None:
                ends_s = identity.expires_at_s
                assert ends_s is None or self._clock() < ends_s + EXPIRY_NOTICED_S, "outlived it"
        assert len(self.login._errands) <= 2 * LIMITS.connections_max

    async def finish(self) -> None:
        await self.gateway.finish()
        for client, patterns in self.permitted.items():
            for message in client.check():
                if channel := message.get("channel"):
                    assert any(covers(one, channel) for one in patterns), f"{channel}: {patterns}"


def _send(client: Client, command: dict[str, object]) -> None:
    client.send(frame(TEXT, json.dumps(command).encode()))


async def _fuzz(tape: Tape) -> None:
    scene = _Scene(tape)
    try:
        await scene.source.start()
        for _ in range(STEPS_MAX):
            if not tape:
                break
            scene.step()
            await asyncio.sleep(tape.one_of(NAPS_S))
            scene.check()
        if tape.number(1):
            await scene.gateway.hub.departures.drain(0.0)
        await scene.finish()
    finally:
        await scene.source.stop()
        await scene.gateway.stop()
