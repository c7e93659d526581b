"""The NATS source and what a server refuses: logins, subjects, and one connection more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.feed import RecordingFeed, run, until
from tests.support.log import Log
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.nats_accounts import Accounts
from tests.support.nats_source import LIVE, LIVE_AGAIN, STALE, attempts, new_server, running

__all__ = ["nats_server", "new_server"]

PASSWORD_CONFIG = "authorization { user: gate, password: %s }"


def test_a_wrong_password_is_told_apart_and_forgiven(
    new_server: Callable[[str], NatsServer],
) -> None:
    async def test() -> None:
        server = new_server(PASSWORD_CONFIG % "changed").start()
        feed, log = RecordingFeed(), Log()
        login: dict[str, Any] = {"user": "gate", "password": "pa55-of-gate"}
        async with running(feed, server, log=log.logger, **login) as source:
            await attempts(source, 2)
            assert not source.connected and feed.events == []
            assert log.events() == {"nats_login_refused"}
            assert "NATS_PASSWORD" in log.entries[0]["hint"]
            server.restart(PASSWORD_CONFIG % login["password"])
            await feed.until_events(LIVE)
        assert login["password"] not in repr(log.entries)

    run(test())


def test_a_login_that_is_revoked_while_connected(new_server: Callable[[str], NatsServer]) -> None:
    async def test() -> None:
        server = new_server(PASSWORD_CONFIG % "right").start()
        feed, log = RecordingFeed(), Log()
        login: dict[str, Any] = {"user": "gate", "password": "right"}
        async with running(feed, server, log=log.logger, **login):
            await feed.until_events(LIVE)
            server.reload(PASSWORD_CONFIG % "other")
            await feed.until_events(LIVE, STALE)
            await until(lambda: "nats_login_refused" in log.events(), "a refusal")
            server.reload(PASSWORD_CONFIG % "right")
            await feed.until_events(LIVE, STALE, LIVE_AGAIN)

    run(test())


def test_a_login_within_the_url_is_decoded_and_never_logged(
    new_server: Callable[[str], NatsServer],
) -> None:
    async def test() -> None:
        server = new_server(PASSWORD_CONFIG % '"p@ss:w/rd"').start()
        url = server.url.replace("//", "//gate:p%40ss%3Aw%2Frd@")
        feed, log = RecordingFeed(), Log()
        # The URL's login is about this server; the other is for those whose URL has none.
        async with running(feed, url, log=log.logger, token="t0ken"):
            await feed.until_events(LIVE)
            server.kill()
            await feed.until_events(LIVE, STALE)
            await until(lambda: "nats_unreachable" in log.events(), "an attempt")
        for secret in ("p@ss", "p%40ss", "t0ken"):
            assert secret not in repr(log.entries)

    run(test())


def test_a_token(new_server: Callable[[str], NatsServer]) -> None:
    async def test() -> None:
        server = new_server("authorization { token: t0ken }").start()
        feed = RecordingFeed()
        async with running(feed, server, token="t0ken"):
            await feed.until_events(LIVE)

    run(test())


def test_a_creds_file_is_read_anew_for_each_attempt(
    new_server: Callable[[str], NatsServer], tmp_path: Path
) -> None:
    async def test() -> None:
        accounts = Accounts.make()
        server = new_server(accounts.server_config).start()
        creds_file = tmp_path / "gate.creds"
        creds_file.write_text("this is not a creds file")
        feed, log = RecordingFeed(), Log()
        async with running(feed, server, log=log.logger, creds_file=creds_file) as source:
            await attempts(source, 2)
            assert log.events() == {"nats_creds_unusable"}
            assert str(creds_file) in log.entries[0]["error"]
            creds_file.write_text(Accounts.make().creds)
            await until(lambda: "nats_login_refused" in log.events(), "a stranger's refusal")
            creds_file.write_text(accounts.creds.replace("\n", "\r\n"))
            await feed.until_events(LIVE)

    run(test())


def test_a_full_server_is_no_unreachable_one(nats_server: NatsServer) -> None:
    async def test() -> None:
        feed, log = RecordingFeed(), Log()
        with Publisher(nats_server):
            nats_server.reload("max_connections: 1")
            async with running(feed, nats_server, log=log.logger) as source:
                await attempts(source, 2)
                assert log.events() == {"nats_unusable"}
                assert "max_connections" in log.entries[0]["hint"]
                nats_server.reload("")
                await feed.until_events(LIVE)

    run(test())


PERMISSIONS_CONFIG = """authorization { users = [
    { user: gate, password: right, permissions: { subscribe: { allow: [%s] } } }
    { user: backend, password: right }
] }"""
SOME = PERMISSIONS_CONFIG % '"token.*.update"'
ALL = PERMISSIONS_CONFIG % '"token.*.update", "global.>"'
GATE: dict[str, Any] = {"user": "gate", "password": "right"}
BACKEND: dict[str, Any] = {"user": "backend", "password": "right"}


def test_a_denied_subject_leaves_the_others_alone_and_comes_back_when_granted(
    new_server: Callable[[str], NatsServer],
) -> None:
    async def test() -> None:
        server = new_server(SOME).start()
        feed, log = RecordingFeed(), Log()
        async with running(feed, server, log=log.logger, **GATE) as source:
            await feed.until_events(LIVE)
            assert source.snapshot()["denied"] == 1
            denied = next(one for one in log.entries if one["event"] == "nats_subject_denied")
            assert denied["subject"] == "global.>" and "NATS_SUBJECTS" in denied["hint"]
            with Publisher(server, **BACKEND) as publisher:
                publisher.publish("global.a", b"not for us")
                publisher.publish("token.a.update", b"for us")
                publisher.flush()
                await feed.until_received(b"for us")
                assert len(feed.messages) == 1
                server.reload(ALL)
                await feed.until_events(LIVE, ("gap", "nats", "global.>"))
                publisher.publish("global.a", b"for us now")
                publisher.flush()
                await feed.until_received(b"for us now")
            assert source.snapshot()["denied"] == 0
            assert "nats_subject_granted" in log.events()

    run(test())


def test_a_subject_that_is_denied_while_connected(
    new_server: Callable[[str], NatsServer],
) -> None:
    async def test() -> None:
        server = new_server(ALL).start()
        feed = RecordingFeed()
        async with running(feed, server, **GATE) as source:
            await feed.until_events(LIVE)
            server.reload(SOME)
            await until(lambda: source.snapshot()["denied"] == 1, "the denial")
            with Publisher(server, **BACKEND) as publisher:
                publisher.publish("token.a.update", b"still for us")
                publisher.flush()
            await feed.until_received(b"still for us")
            assert feed.events == [LIVE]

    run(test())
