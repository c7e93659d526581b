"""Where keys come from: given outright, files and URLs, with their outages and rotations."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

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
from tests.support.keys import ASKED_ONLY, FAST, names, running
from tests.support.log import Log
from tests.support.loop import on_loop
from wsgate.auth.jwks_url import JwksUrl
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import KeysUnusable, from_secret
from wsgate.auth.limits import KeyLimits
from wsgate.auth.origins import Files, Given

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
