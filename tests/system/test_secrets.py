"""No secret shows anywhere, through a session with every way in and every kind of trouble."""

from __future__ import annotations

import io
import logging
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from tests.support.client import UPGRADE, Client, request
from tests.support.feed import run, until
from tests.support.gateway import LocalGateway, worker
from tests.support.issuer import SECRET, encoded, token
from tests.support.nats import NatsServer, Publisher
from wsgate import log
from wsgate.settings import Settings

STATE = "token.abc.update"
PASSWORD = "nats-password-XYZZY"
SERVER = f"authorization {{ user: gateway, password: {PASSWORD} }}"

GOOD, RENEWAL, REVOKED = (token("HS256", jti=f"token-{n}", channels=["token.>"]) for n in range(3))
FORGED, EXPIRED = token("HS256", "k2"), token("HS256", exp=1)
STRANGE_KEY = token("ES256", "k9", "kid-of-nobody")
TOKENS = (GOOD, RENEWAL, REVOKED, FORGED, EXPIRED, STRANGE_KEY)


def marks() -> set[str]:
    """Pieces of secrets, each long enough to be of nothing else."""
    found = {PASSWORD, SECRET.decode(), encoded(SECRET)[:16], repr(SECRET)[2:20]}
    for text in TOKENS:
        _, payload, signature = text.split(".")
        found |= {signature[:16], payload[-16:], payload[:40]}
    return found


def objects_of(root: object) -> Iterator[object]:
    """Everything of ours that hangs on ``root``, however deep."""
    seen: set[int] = set()
    left = [root]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, str | bytes | int | float | type):
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            left += one
        elif type(one).__module__.partition(".")[0] in ("wsgate", "nats"):
            yield one
            slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
            names = {*getattr(one, "__dict__", ()), *slots, *vars(type(one))}
            for name in names:
                try:
                    value = getattr(one, name)
                except Exception:
                    continue
                if not callable(value) or type(value).__module__.startswith("wsgate"):
                    left.append(value)


class Session:
    """Goes every way in, and keeps all that comes back."""

    def __init__(self, gateway: LocalGateway, admin_port: int) -> None:
        self.gateway = gateway
        self.admin_port = admin_port
        self.seen: list[str] = []
        self.clients: list[Client] = []
        self.statuses: list[int] = []

    async def enter(self, path: str = "/", offer: str | None = None) -> Client:
        headers = UPGRADE if offer is None else {**UPGRADE, "Sec-WebSocket-Protocol": offer}
        client = await Client.dial(self.gateway.port)
        self.clients.append(client)
        answer = await client.ask(request(path, headers))
        self.statuses.append(answer.status)
        self.seen.append(repr(answer))
        return client

    async def refused(self, path: str, offer: str | None = None) -> None:
        client = await self.enter(path, offer)
        received, close = await client.until_close(answer=True)
        self.seen += [repr(received), repr(close)]

    async def hear(self, client: Client) -> Any:
        message = await client.message()
        self.seen.append(repr(message))
        return message

    async def admin(self, method: str, path: str, bearer: str = "") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers) as answer,
        ):
            return answer.status, f"{answer.headers} {await answer.text()}"


MALFORMED = [
    f"GET /?auth={GOOD} HTTP/9.9\r\n\r\n",
    f"GET /?auth={GOOD}\r\n\r\n",
    f"GET /?auth={GOOD} HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    f"{GOOD} / HTTP/1.1\r\n\r\n",
    f"POST /ticket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {GOOD}\x01\r\n\r\n",
    f"POST /ticket HTTP/1.1\r\nHost: x\r\nAuthorization {GOOD}\r\n\r\n",
    f"POST /ticket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {GOOD * 40}\r\n\r\n",
    f"POST /ticket HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol : wsgate.auth.{GOOD}\r\n\r\n",
]


async def send_nonsense(session: Session) -> None:
    """To both ports. The answers are the sender's own affair: only the log is searched."""
    for port in (session.gateway.port, session.admin_port):
        for text in MALFORMED:
            client = await Client.dial(port)
            await client.send(text.encode())
            client.socket.shutdown(socket.SHUT_WR)
            await client.ended()
            client.close()


async def live_through(session: Session) -> str:
    """The ticket, which nobody but who asked for it may see."""
    status, answer = await session.admin("POST", "/ticket", GOOD)
    assert status == 201
    ticket = answer.rpartition('"ticket":"')[2].partition('"')[0]
    for text in (FORGED, EXPIRED, "x" + GOOD):
        status, answer = await session.admin("POST", "/ticket", text)
        assert status == 401
        session.seen.append(answer)

    await session.enter(f"/?ticket={ticket}")
    await session.refused(f"/?ticket={ticket}")
    for text in (FORGED, EXPIRED, STRANGE_KEY, GOOD + "x"):
        await session.refused(f"/{text}?auth={text}")
        await session.refused("/", f"wsgate.v1, wsgate.auth.{text}")
    for path, offer in [
        (f"/?auth={GOOD}&ticket={ticket}", None),
        (f"/?auth={GOOD}", f"wsgate.v1, wsgate.auth.{GOOD}"),
        ("/", f"wsgate.auth.{GOOD}"),
    ]:
        await session.enter(path, offer)
        assert session.statuses[-1] == 400

    client = await session.enter("/", f"wsgate.v1, wsgate.auth.{GOOD}")
    for text in (FORGED, EXPIRED, STRANGE_KEY, RENEWAL):
        await client.say("auth", token=text, id=1)
        await session.hear(client)
    await client.send_text(f'{{"type":"auth","token":["{RENEWAL}"]}}')
    await client.send_text(f'{{"type":"auth","token":"{RENEWAL}"')
    await client.say("subscribe", channels=[STATE])
    types = [(await session.hear(client))["type"] for _ in range(3)]
    assert types == ["error", "error", "subscribed"]
    late = await session.enter()
    await late.say("auth", token=FORGED)
    received, _ = await late.until_close(answer=True)
    session.seen.append(repr(received))
    return ticket


def everything_shown(gateway: LocalGateway) -> Iterator[str]:
    kinds = set()
    for one in objects_of([gateway.app, gateway.tickets]):
        kinds.add(type(one).__name__)
        yield f"{one!r} {one}"
    # Or the search went past what it is for.
    assert kinds >= {
        *("Gateway", "Hub", "Login", "Authenticator", "KeySource", "KeySet", "Key", "Tickets"),
        *("Verifier", "Blueprint", "NatsSource", "NatsLink", "Upgrade", "Connection", "Session"),
        *("Identity", "Revocations"),
    }, kinds


def forget_loggers() -> None:
    """Loggers keep the configuration of their first line, which may have been another test's."""
    for name, module in list(sys.modules.items()):
        if name.startswith("wsgate."):
            vars(getattr(module, "log", lambda: None)).pop("bind", None)


@pytest.mark.parametrize("format", ["json", "text"])
def test_no_secret_shows(format: Any, tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", SERVER).start()
    output = io.BytesIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    shown: list[str] = []
    ticket = ""

    async def test() -> None:
        nonlocal ticket
        settings = Settings(
            ws_host="127.0.0.1",
            ws_port=0,
            ws_admin_port=0,
            ws_auth="jwt",
            ws_jwt_secret=SECRET.decode(),
            nats_url=[server.url],
            nats_user="gateway",
            nats_password=PASSWORD,
        )
        local = LocalGateway(settings, None)
        gateway = local.app
        await gateway.start()
        operators = AsyncExitStack()
        admin = await operators.enter_async_context(local.admin())
        session = Session(local, admin.port)
        try:
            await until(lambda: gateway.not_ready() == [], "a gateway that is ready")
            ticket = await live_through(session)
            await send_nonsense(session)
            shown.extend(everything_shown(local))
            with Publisher(server, "gateway", PASSWORD) as backend:
                backend.publish("wsgate.control.revoke", f'{{"nobody":"{GOOD}"}}'.encode())
                backend.publish("wsgate.control.revoke", b'{"subject":"user-1"}')
                backend.flush()
            assert gateway.authenticator is not None
            counts = gateway.authenticator.snapshot
            await until(lambda: counts()["revocations"] == 1, "the revocation")
            await session.refused(f"/?auth={REVOKED}")
            server.restart("authorization { user: gateway, password: another }")
            await until(
                lambda: all(int(one.snapshot()["errors"]) >= 2 for one in gateway.sources),
                "a login that is refused",
            )
            pages = [(await session.admin("GET", path))[1] for path in ("/metrics", "/readyz")]
            shown.extend(pages)
        finally:
            for client in session.clients:
                client.close()
            await operators.aclose()
            await gateway.stop()
        shown.extend(session.seen)

    try:
        forget_loggers()
        log.configure("debug", format, output)
        run(test())
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        forget_loggers()
        server.kill()
    logged = output.getvalue().decode()
    for event in ("connected", "control message refused", "nats_login_refused"):
        assert event in logged, "or the search went past what it is for"
    assert "ws_auth_refused_total" in "".join(shown)
    for mark in {*marks(), ticket[:16]}:
        assert mark, "nothing is in everything"
        for text in (logged, *shown):
            place = text.find(mark)
            assert place < 0, text[max(0, place - 300) : place + 300]


def test_no_secret_shows_when_the_start_fails(tmp_path: Path) -> None:
    """A key that cannot be used ends the start, in words without the key."""
    bad = tmp_path / "key.pem"
    bad.write_text(f"-----BEGIN PUBLIC KEY-----\n{PASSWORD}\n-----END PUBLIC KEY-----")

    async def test() -> None:
        settings = Settings(
            ws_host="127.0.0.1", ws_port=0, ws_admin_port=0, ws_auth="jwt", ws_jwt_keys=[str(bad)]
        )
        with pytest.raises(OSError) as caught:
            await worker(settings).start()
        assert str(caught.value.strerror).startswith("WS_JWT_KEYS cannot be used: ")
        lines = traceback.format_exception(caught.value)
        assert not [line for line in lines if PASSWORD in line]

    run(test())
