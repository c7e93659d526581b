"""Revocation from a backend, through a real NATS server, to the connections of a whole gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from tests.support.client import Client, request
from tests.support.feed import RecordingFeed, run, until
from tests.support.gateway import worker
from tests.support.issuer import SECRET, token
from tests.support.nats import NatsServer, Publisher, nats_server
from wsgate.app import Gateway
from wsgate.control import REVOKE_SUBJECT
from wsgate.settings import Settings
from wsgate.sources.nats import NatsSource
from wsgate.sources.nats_limits import NatsLimits

__all__ = ["nats_server"]

STATE = "token.abc.update"
QUICK = NatsLimits(
    heartbeat_interval_s=0.1,
    backoff_base_s=0.01,
    backoff_cap_s=0.1,
    denied_retry_s=0.1,
    log_interval_s=0.0,
)
DENIED = f"""authorization {{ users: [
    {{user: gateway, password: p, permissions: {{subscribe: {{deny: "{REVOKE_SUBJECT}"}}}}}},
    {{user: backend, password: p}}
] }}"""
ALLOWED = DENIED.replace(REVOKE_SUBJECT, "elsewhere")


@asynccontextmanager
async def gateway(server: NatsServer, **settings: Any) -> AsyncIterator[Gateway]:
    running = worker(
        Settings(ws_host="127.0.0.1", ws_port=0, ws_admin_port=0, nats_url=[server.url], **settings)
    )
    await running.start()
    try:
        await until(lambda: running.not_ready() == [], "a gateway that is ready")
        yield running
    finally:
        await running.stop()


async def insider(running: Gateway, subject: str) -> Client:
    client = await Client.dial(running.port)
    text = token("HS256", sub=subject, channels=["token.>"])
    answer = await client.ask(request(f"/?auth={text}"))
    assert answer.status == 101
    reply = await client.subscribe(STATE)
    assert "errors" not in reply
    return client


@pytest.mark.parametrize(
    "message", [{"subject": "user-1"}, {"subjects": ["user-1", "nobody"]}], ids=["one", "several"]
)
def test_a_backend_cuts_a_subject_off(nats_server: NatsServer, message: Any) -> None:
    async def test() -> None:
        async with gateway(nats_server, ws_auth="jwt", ws_jwt_secret=SECRET.decode()) as running:
            cut, stays = await insider(running, "user-1"), await insider(running, "user-2")
            with Publisher(nats_server) as backend:
                for nonsense in (b"", b"[]", b"{}", b'{"subject":7}', b'{"subject":"\xff"}'):
                    backend.publish(REVOKE_SUBJECT, nonsense)
                backend.publish(REVOKE_SUBJECT, json.dumps(message).encode())
                received, close = await cut.until_close(answer=True)
                assert (received, close.close_code) == ([], 4503)
                backend.publish(STATE, b"1")
                assert (await stays.message())["data"] == 1
            assert running.hub.controls_refused == 5
            assert running.hub.closed_by_reason == {"token_revoked": 1}
            assert not running.hub.refused, "it is no publication"
            stays.close()
            cut.close()

    run(test())


def test_without_authentication_nothing_listens_there(nats_server: NatsServer) -> None:
    async def test() -> None:
        async with gateway(nats_server) as running:
            client = await Client.connect(running.port)
            await client.subscribe(STATE)
            with Publisher(nats_server) as backend:
                backend.publish(REVOKE_SUBJECT, b'{"subject":"user-1"}')
                backend.publish(STATE, b"1")
                assert (await client.message())["data"] == 1
            (source,) = running.sources
            assert source.snapshot()["received"] == 1
            client.close()

    run(test())


def test_a_server_that_denies_it_is_reported_and_asked_again(tmp_path: Path) -> None:
    async def test(server: NatsServer) -> None:
        feed, log = RecordingFeed(), LogCapture()
        source = NatsSource(
            feed,
            [server.url],
            ["token.*.update"],
            user="gateway",
            password="p",
            control_subjects=[REVOKE_SUBJECT],
            limits=QUICK,
            log=structlog.wrap_logger(structlog.ReturnLogger(), processors=[log]),
        )
        await source.start()
        try:
            await feed.until_events(("live", "nats"))
            await until(lambda: source.snapshot()["denied"] == 1, "the denial")
            (told, *_) = (one for one in log.entries if one["event"] == "nats_subject_denied")
            assert told["subject"] == REVOKE_SUBJECT
            assert told["hint"] == "let this user subscribe to it on the server"
            server.reload(ALLOWED)
            granted = {"event": "nats_subject_granted", "subject": REVOKE_SUBJECT}
            await until(
                lambda: any(granted.items() <= one.items() for one in log.entries), "the grant"
            )
            with Publisher(server, "backend", "p") as backend:
                backend.publish(REVOKE_SUBJECT, b"payload")
                backend.flush()
                await feed.until(lambda: feed.controls, "the control message")
            assert feed.controls == [(REVOKE_SUBJECT, b"payload")]
            assert feed.messages == []
            assert not [one for one in feed.events if one[0] == "gap"], "no client missed any"
        finally:
            await source.stop()

    server = NatsServer(tmp_path / "nats", DENIED).start()
    try:
        run(test(server))
    finally:
        server.kill()


def test_it_is_heard_again_after_an_outage(nats_server: NatsServer) -> None:
    async def test() -> None:
        feed = RecordingFeed()
        source = NatsSource(
            feed,
            [nats_server.url],
            ["token.*.update"],
            control_subjects=[REVOKE_SUBJECT],
            limits=QUICK,
        )
        await source.start()
        try:
            await feed.until_events(("live", "nats"))
            nats_server.restart()
            again = ("live", "nats", "token.*.update")  # what clients may have missed, that is
            await feed.until_events(("live", "nats"), ("stale", "nats"), again)
            with Publisher(nats_server) as backend:
                backend.publish(REVOKE_SUBJECT, b"payload")
                backend.flush()
                await feed.until(lambda: feed.controls, "the control message")
        finally:
            await source.stop()

    run(test())
