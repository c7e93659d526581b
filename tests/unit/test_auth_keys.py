"""Keys kept fresh: origins, and a source through outages, rotations and crowds."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import structlog
from structlog.testing import LogCapture

from tests.support.feed import until
from tests.support.issuer import (
    SECRET,
    Issuer,
    encoded,
    jwk,
    jwks,
    private_key,
    private_pem,
    public_pem,
)
from tests.support.issuer import public_key as public
from tests.support.loop import on_loop
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import Key, KeySet, KeysUnusable, from_secret
from wsgate.auth.limits import KeyLimits
from wsgate.auth.origins import Files, Given, JwksUrl, Origin

FOR_EVER_S = 1e6
FAST = KeyLimits(
    refresh_interval_s=0.01,
    file_check_interval_s=0.01,
    unknown_key_interval_s=0.01,
    fetch_timeout_s=5.0,
    backoff_base_s=0.001,
    backoff_cap_s=0.01,
)
# Loads by itself only once: whatever comes after was asked for.
ASKED_ONLY = KeyLimits(
    refresh_interval_s=FOR_EVER_S, unknown_key_interval_s=0.01, fetch_timeout_s=5.0
)


class Log:
    def __init__(self) -> None:
        self._capture = LogCapture()
        self.logger = structlog.wrap_logger(None, processors=[self._capture])

    def of(self, event: str) -> list[dict[str, object]]:
        return [dict(entry) for entry in self._capture.entries if entry["event"] == event]


@asynccontextmanager
async def running(
    origin: Origin, limits: KeyLimits = FAST, log: Log | None = None
) -> AsyncIterator[KeySource]:
    log = log or Log()
    source = KeySource(origin, limits=limits, random=Random(1), log=log.logger)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()
        assert not [one for one in asyncio.all_tasks() if one.get_name() == "auth-keys"]


def names(source: KeySource) -> list[str | None]:
    return [key.kid for key in source.keys.keys]


class Loads:
    """An origin whose loads a test ends one by one."""

    name = "test"
    remote = True

    def __init__(self) -> None:
        self.begun = 0
        self._pending: asyncio.Future[KeySet | None] | None = None

    def interval_s(self, limits: KeyLimits) -> float | None:
        return limits.refresh_interval_s

    async def load(self, limits: KeyLimits) -> KeySet | None:
        self.begun += 1
        self._pending = asyncio.get_running_loop().create_future()
        return await self._pending

    async def end(self, outcome: KeySet | Exception | None) -> None:
        """Of the load under way, as soon as there is one."""
        await until(lambda: self._pending is not None, "a load")
        pending, self._pending = self._pending, None
        assert pending is not None
        if isinstance(outcome, Exception):
            pending.set_exception(outcome)
        else:
            pending.set_result(outcome)


def key_set(*kids: str) -> KeySet:
    return KeySet([Key("HS256", SECRET, kid) for kid in kids])


# Given outright


@on_loop
async def test_keys_that_are_given_are_there_at_once_and_never_change() -> None:
    async with running(Given(from_secret(SECRET))) as source:
        assert source.ready and not source.renewable
        assert not await source.refresh()
        assert not await source.refresh_for_unknown_key()
        assert source.snapshot()["keys"] == 1


# Files


@on_loop
async def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pem", tmp_path / "b.pem"
    first.write_bytes(public_pem(public("ES256")))
    second.write_bytes(public_pem(public("EdDSA")))
    async with running(Files([first, str(second)])) as source:
        assert source.ready, "before start() returns"
        before = source.keys
        assert [key.algorithm for key in before.keys] == ["ES256", "EdDSA"]
        checked = source.snapshot()["loads"]
        await until(lambda: source.snapshot()["loads"] > checked + 2)
        assert source.keys is before, "nothing has changed"
        # As a rotation does it: the path leads to another file from one moment to the next.
        new = tmp_path / "new.pem"
        new.write_bytes(public_pem(public("RS256")))
        new.replace(first)
        await until(lambda: source.keys is not before)
        assert [key.algorithm for key in source.keys.keys] == ["RS256", "EdDSA"]


@on_loop
async def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    for name in ("k1", "k2"):
        (tmp_path / name).write_bytes(jwks(jwk("ES256", name)))
    link = tmp_path / "jwks.json"
    link.symlink_to("k1")
    async with running(Files([link])) as source:
        assert names(source) == ["k1"]
        (tmp_path / "link").symlink_to("k2")
        (tmp_path / "link").replace(link)
        await until(lambda: names(source) == ["k2"])


@on_loop
async def test_a_file_that_breaks_leaves_the_old_keys(tmp_path: Path) -> None:
    file, log = tmp_path / "jwks.json", Log()
    file.write_bytes(jwks(jwk("ES256")))
    async with running(Files([file]), log=log) as source:
        before = source.keys
        file.write_text("{")
        await until(lambda: source.snapshot()["failures_in_a_row"] > 2)
        assert source.keys is before
        (complaint,) = log.of("auth_keys_failed")
        assert complaint["error"] == f"{file}: it is not JSON"
        assert complaint["log_level"] == "warning"
        file.write_bytes(jwks(jwk("ES256", "k2")))
        await until(lambda: names(source) == ["k2"])
        assert source.snapshot()["failures_in_a_row"] == 0
        file.unlink()
        await until(lambda: source.snapshot()["failures_in_a_row"] > 0)
        assert names(source) == ["k2"]


def _too_large(path: Path) -> None:
    path.write_bytes(b"{" + b" " * FAST.document_bytes_max)


def _private(path: Path) -> None:
    path.write_bytes(private_pem(private_key("ES256")))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: None, "cannot read .*keys: No such file"),
        (Path.mkdir, "keys is not a file"),
        (os.mkfifo, "keys is not a file"),
        (Path.touch, "keys: there is no PEM block"),
        (_too_large, "keys has more than 262144 bytes"),
        (_private, "keys: it is a private key"),
    ],
)
def test_files_that_cannot_be_used_fail_the_start(
    tmp_path: Path, make: Callable[[Path], object], complaint: str
) -> None:
    path = tmp_path / "keys"
    make(path)

    @on_loop
    async def start() -> None:
        source = KeySource(Files([path]), log=Log().logger)
        with pytest.raises(KeysUnusable, match=complaint):
            await source.start()
        assert not source.ready
        await source.stop()

    start()


def test_no_file_at_all() -> None:
    with pytest.raises(KeysUnusable, match="no file is named"):
        Files([])


@on_loop
async def test_a_file_may_hold_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b"\n " + jwks({"kty": "oct", "k": encoded(SECRET)}))
    async with running(Files([file])) as source:
        assert [key.algorithm for key in source.keys.keys] == ["HS256"]


# A URL


@on_loop
async def test_keys_are_fetched_and_rotated() -> None:
    async with Issuer(jwks(jwk("ES256"), {"kty": "?"})) as issuer:
        log = Log()
        async with running(JwksUrl(issuer.url), log=log) as source:
            await until(lambda: source.ready)
            assert names(source) == ["k1"]
            assert source.snapshot()["skipped"] == 1
            assert issuer.seen[0]["Accept-Encoding"] == "identity"
            before = source.keys
            await issuer.until_requests(issuer.requests + 3)
            assert source.keys is before, "the same document gives no new set"
            issuer.document = jwks(jwk("ES256"), jwk("EdDSA", "k2"))
            await until(lambda: names(source) == ["k1", "k2"])
            issuer.document = jwks(jwk("EdDSA", "k2"))
            await until(lambda: names(source) == ["k2"])
        said = log.of("auth_keys_loaded")
        assert [entry["keys"] for entry in said] == [1, 2, 1]
        assert said[0]["origin"] == issuer.url and said[0]["skipped"] == 1
        assert said[1]["algorithms"] == ["ES256", "EdDSA"] or said[1]["algorithms"] == [
            "EdDSA",
            "ES256",
        ]


@on_loop
async def test_a_start_does_not_wait_and_an_outage_changes_nothing() -> None:
    async with Issuer(jwks(jwk("ES256"))) as issuer:
        await issuer.close()
        log = Log()
        async with running(JwksUrl(issuer.url), log=log) as source:
            assert not source.ready
            assert source.snapshot()["age_s"] == -1
            await until(lambda: source.snapshot()["failures"] > 2)
            await issuer.open()
            await until(lambda: source.ready)
            before = source.keys
            await issuer.close()
            await until(lambda: source.snapshot()["failures_in_a_row"] > 2)
            assert source.keys is before and source.ready
            assert not await source.refresh()
            await issuer.open()
            await until(lambda: source.snapshot()["failures_in_a_row"] == 0)
            assert await source.refresh()
            assert source.snapshot()["age_s"] >= 0
        # One line for each of the two outages, however many attempts each had.
        first, second = log.of("auth_keys_failed")
        assert "no connection" in str(first["error"])
        assert (first["in_use"], second["in_use"]) == (0, 1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"status": 500}, "the answer is 500, not 200"),
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, "the answer is 302, not 200"),
        ({"document": b"<html>"}, "it is not JSON"),
        ({"document": b'{"keys":[]}'}, "none of the 0 keys"),
        ({"document": b" " * (FAST.document_bytes_max + 1)}, "has more than 262144 bytes"),
        ({"headers": {"Content-Encoding": "gzip"}, "document": b"\x1f\x8b"}, "it is not JSON"),
    ],
)
def test_answers_that_are_no_use(change: dict[str, object], complaint: str) -> None:
    @on_loop
    async def test() -> None:
        async with Issuer(jwks(jwk("ES256"))) as issuer:
            log = Log()
            async with running(JwksUrl(issuer.url), ASKED_ONLY, log) as source:
                await until(lambda: source.ready)
                for name, value in change.items():
                    setattr(issuer, name, value)
                assert not await source.refresh()
                assert names(source) == ["k1"]
                (entry,) = log.of("auth_keys_failed")
                assert complaint in str(entry["error"])

    test()


@on_loop
async def test_an_issuer_that_hangs_is_given_up() -> None:
    async with Issuer(jwks(jwk("ES256"))) as issuer:
        issuer.go.clear()
        log = Log()
        limits = KeyLimits(fetch_timeout_s=0.05, backoff_base_s=0.001, backoff_cap_s=0.001)
        async with running(JwksUrl(issuer.url), limits, log) as source:
            await until(lambda: source.snapshot()["failures"] >= 2)
            (entry,) = log.of("auth_keys_failed")
            assert entry["error"] == "no whole answer within 0.05 s"


@on_loop
async def test_a_server_that_speaks_no_http() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x15\x03\x01\x00\x02\x02\x0a")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for scheme in ("http", "https"):
        with pytest.raises(KeysUnusable, match=r"no usable answer|no connection"):
            await JwksUrl(f"{scheme}://127.0.0.1:{port}/jwks").load(FAST)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "url",
    ["", "jwks.json", "ftp://a/b", "https://", "https://a:port/", "http://[::1/", "file:///a"],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(KeysUnusable, match=r"must be like https://host\[:port\]/path"):
        JwksUrl(url)


# When to load


@on_loop
async def test_a_refresh_is_a_load_that_begins_after_it_was_asked_for() -> None:
    origin = Loads()
    async with running(origin) as source:
        await until(lambda: origin.begun == 1)
        asked = asyncio.create_task(source.refresh())
        await asyncio.sleep(0)
        await origin.end(key_set("old"))
        await until(lambda: origin.begun == 2)
        assert not asked.done()
        await origin.end(key_set("new"))
        assert await asked
        assert names(source) == ["new"]


@on_loop
async def test_all_who_miss_a_key_share_one_load() -> None:
    origin = Loads()
    async with running(origin, ASKED_ONLY) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        crowd = [asyncio.create_task(source.refresh_for_unknown_key()) for _ in range(100)]
        await until(lambda: origin.begun == 2)
        assert source.snapshot()["waiting"] == 100
        await origin.end(key_set("a", "b"))
        assert all(await asyncio.gather(*crowd))
        assert (origin.begun, source.snapshot()["waiting"]) == (2, 0)


@on_loop
async def test_a_load_under_way_will_do_if_it_brings_something_new() -> None:
    origin = Loads()
    limits = KeyLimits(unknown_key_interval_s=FOR_EVER_S)
    async with running(origin, limits) as source:
        await until(lambda: origin.begun == 1)
        missed = asyncio.create_task(source.refresh_for_unknown_key())
        await until(lambda: source.snapshot()["waiting"] == 1)
        await origin.end(key_set("a"))
        assert await missed
        assert origin.begun == 1


@on_loop
async def test_a_load_under_way_that_brings_nothing_new_is_followed_by_another() -> None:
    origin = Loads()
    async with running(origin, ASKED_ONLY) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        forced = asyncio.create_task(source.refresh())
        await until(lambda: origin.begun == 2)
        missed = asyncio.create_task(source.refresh_for_unknown_key())
        await until(lambda: source.snapshot()["waiting"] == 1)
        await origin.end(None)
        assert await forced
        await until(lambda: origin.begun == 3)
        assert not missed.done()
        await origin.end(None)
        assert await missed


@on_loop
async def test_loads_for_unknown_keys_keep_their_distance() -> None:
    origin = Loads()
    limits = KeyLimits(refresh_interval_s=FOR_EVER_S, unknown_key_interval_s=0.2)
    loop = asyncio.get_running_loop()
    async with running(origin, limits) as source:
        begun_s = loop.time()
        for number in range(1, 4):
            await until(lambda number=number: origin.begun == number)
            # The one at the start, too, counts: nobody brings about a load right after it.
            assert loop.time() - begun_s >= 0.2 * (number - 1) - 0.01
            await origin.end(key_set(str(number)))
            await until(lambda number=number: names(source) == [str(number)])
            asked = asyncio.create_task(source.refresh_for_unknown_key())
            await until(lambda: source.snapshot()["waiting"] == 1)
        await origin.end(None)
        assert await asked


@on_loop
async def test_not_everybody_may_wait() -> None:
    origin = Loads()
    limits = KeyLimits(unknown_key_interval_s=FOR_EVER_S, unknown_key_waiters_max=2)
    async with running(origin, limits) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        two = [asyncio.create_task(source.refresh_for_unknown_key()) for _ in range(2)]
        await until(lambda: source.snapshot()["waiting"] == 2)
        assert not await source.refresh_for_unknown_key()
        assert source.snapshot()["turned_away"] == 1
        # One that leaves makes room, and ends nobody else's waiting.
        two[0].cancel()
        await asyncio.wait(two[:1])
        assert source.snapshot()["waiting"] == 1
        assert not two[1].done()
    assert await two[1] is False, "told so when the source stops"


@on_loop
async def test_who_waits_for_a_load_that_fails_is_told() -> None:
    origin = Loads()
    async with running(origin, ASKED_ONLY) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        asked = asyncio.create_task(source.refresh_for_unknown_key())
        await origin.end(KeysUnusable("because"))
        assert await asked is False
        assert names(source) == ["a"]


@on_loop
async def test_a_stop_in_the_middle_of_a_load() -> None:
    origin = Loads()
    async with running(origin) as source:
        await until(lambda: origin.begun == 1)
        missed = asyncio.create_task(source.refresh_for_unknown_key())
        await until(lambda: source.snapshot()["waiting"] == 1)
    assert await missed is False
    assert not await source.refresh()
    await source.stop()
    await source.start()
    await until(lambda: origin.begun == 2)
    await source.stop()


@on_loop
async def test_whatever_an_origin_raises_is_only_a_failure() -> None:
    origin, log = Loads(), Log()
    async with running(origin, FAST, log) as source:
        await origin.end(RuntimeError("with some secret in it"))
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        (entry,) = log.of("auth_keys_failed")
        assert entry["error"] == "RuntimeError"


@on_loop
async def test_a_log_that_fails_ends_nothing() -> None:
    class Broken:
        def bind(self, **details: object) -> Broken:
            return self

        def info(self, event: str, **details: object) -> None:
            raise OSError

        warning = info

    origin = Loads()
    source = KeySource(origin, limits=FAST, log=Broken())  # type: ignore[arg-type]
    await source.start()
    await origin.end(KeysUnusable("because"))
    await origin.end(key_set("a"))
    await until(lambda: source.ready)
    await source.stop()


@on_loop
async def test_refreshes_and_retries_are_spread() -> None:
    """The delays themselves, by a clock that is asked and not waited for."""
    loop = asyncio.get_running_loop()
    limits = KeyLimits(refresh_interval_s=100.0, backoff_base_s=1.0, backoff_cap_s=8.0)
    source = KeySource(Loads(), limits=limits, random=Random(1), log=Log().logger)
    waits_s = [source._after_success() - loop.time() for _ in range(500)]
    assert 90 <= min(waits_s) < 91 and 109 < max(waits_s) <= 110.1
    for failures, ceiling_s in [(1, 1.0), (2, 2.0), (4, 8.0), (5, 8.0), (10**6, 8.0)]:
        source._failures_in_a_row = failures
        waits_s = [source._after_failure() - loop.time() for _ in range(500)]
        assert min(waits_s) < 0.05 * ceiling_s and 0.95 * ceiling_s < max(waits_s) <= ceiling_s


@on_loop
async def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(KeysUnusable, match="no connection"):
            await JwksUrl(f"http://127.0.0.1:{port}/").load(FAST)
