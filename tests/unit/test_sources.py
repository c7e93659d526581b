"""The parts of the sources: when to try again, where, as whom, and what went wrong."""

from __future__ import annotations

import ssl
import traceback
from pathlib import Path
from random import Random

import nats.errors
import pytest

from tests.support.feed import RecordingFeed, run
from wsgate.backoff import full_jitter
from wsgate.sources import Source
from wsgate.sources.local import LocalSource
from wsgate.sources.nats import NatsSource
from wsgate.sources.nats_link import LinkTimeout
from wsgate.sources.nats_login import Address, Login, LoginError
from wsgate.sources.nats_report import diagnose
from wsgate.throttle import Throttle

# Back-off


def test_full_jitter_uses_the_whole_range_and_doubles_it_up_to_the_cap() -> None:
    random = Random(1)
    for failures, ceiling_s in [(0, 0.25), (1, 0.5), (3, 2.0), (5, 8.0), (6, 10.0), (10**9, 10.0)]:
        delays = [
            full_jitter(failures, base_s=0.25, cap_s=10.0, random=random) for _ in range(1000)
        ]
        assert 0 <= min(delays) < 0.05 * ceiling_s
        assert 0.95 * ceiling_s < max(delays) <= ceiling_s


# Throttle


def test_a_throttle_admits_each_key_once_an_interval_and_counts_the_rest() -> None:
    now = 100.0
    throttle = Throttle(30.0, clock=lambda: now)
    assert throttle.admit("a") == 0
    assert [throttle.admit("a") for _ in range(5)] == [None] * 5
    assert throttle.admit("b") == 0, "another key is another matter"
    now = 129.9
    assert throttle.admit("a") is None
    now = 130.0
    assert throttle.admit("a") == 6
    assert throttle.admit("a") is None
    throttle.forget("a")
    assert throttle.admit("a") == 0
    throttle.forget("never seen")


# Addresses and logins


@pytest.mark.parametrize(
    ("text", "url", "login"),
    [
        ("localhost", "nats://localhost:4222", None),
        ("10.0.0.1:4333", "nats://10.0.0.1:4333", None),
        (" nats://a.example/ ", "nats://a.example:4222", None),
        ("tls://a.example", "tls://a.example:4222", None),
        ("nats://[::1]:4333", "nats://[::1]:4333", None),
        ("wss://a.example/nats", "wss://a.example/nats", None),
        ("nats://t0ken@a:1", "nats://a:1", Login(token="t0ken")),
        ("u:p@a", "nats://a:4222", Login(user="u", password="p")),
        ("nats://u:p%40s%2Fs@a", "nats://a:4222", Login(user="u", password="p@s/s")),
        ("nats://u:@a", "nats://a:4222", Login(user="u", password="")),
    ],
)
def test_an_address(text: str, url: str, login: Login | None) -> None:
    address = Address.parse(text)
    assert (address.url, address.login) == (url, login)
    assert str(address) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nats://",
        "http://a",
        "nats://u:s3cret@",
        "nats://u:s3cret#x@a:4222",
        "nats://u:s3cret/x@a:4222",
        "nats://u:s3cret@a:port",
        "nats://u:s3cret@a:99999",
        "nats://u:s3cret@a:0",
        "nats://a?tls=s3cret",
        "nats://[u:s3cret@a",
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be like nats://") as refusal:
        Address.parse(text)
    assert "s3cret" not in str(refusal.value)
    shown = "".join(traceback.format_exception(refusal.value))
    assert "s3cret" not in shown.replace(text, "")


def test_a_login_goes_by_the_strongest_there_is_and_hides_it() -> None:
    login = Login(user="u", password="s3cret", token="s3cret")
    assert login.options() == {"user": "u", "password": "s3cret"}
    assert "s3cret" not in repr(login)
    assert "s3cret" not in repr(Address.parse("nats://u:s3cret@a"))
    assert Login(token="t").options() == {"token": "t"}
    assert Login(user="u").options() == {"user": "u", "password": ""}
    assert Login().options() == {}


JWT = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n"
SEED = "-----BEGIN USER NKEY SEED-----\nSUAM\n------END USER NKEY SEED------\n"


def test_a_creds_file_is_passed_on_with_plain_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "creds"
    path.write_bytes((JWT + "\n" + SEED).replace("\n", "\r\n").encode())
    options = Login(creds_file=path, user="u", token="t").options()
    assert list(options) == ["user_credentials"]
    assert str(options["user_credentials"]) == JWT + "\n" + SEED


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", JWT.encode(), SEED.encode(), (JWT + "--BEGIN USER NKEY SEED--\n").encode()],
)
def test_what_is_no_creds_file_never_reaches_nats_py(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "creds"
    path.write_bytes(content)
    with pytest.raises(LoginError, match="is not a creds file") as refusal:
        Login(creds_file=path).options()
    assert str(path) in str(refusal.value)


def test_a_creds_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="No such file"):
        Login(creds_file=tmp_path / "none").options()
    with pytest.raises(LoginError, match="directory"):
        Login(creds_file=tmp_path).options()


# Troubles


@pytest.mark.parametrize(
    ("error", "event", "setting"),
    [
        (nats.errors.Error("nats: 'Authorization Violation'"), "nats_login_refused", "NATS_USER"),
        (nats.errors.Error("nats: 'Authentication Timeout'"), "nats_login_refused", "NATS_TOKEN"),
        (nats.errors.AuthorizationError(), "nats_login_refused", "NATS_CREDS"),
        (LoginError("cannot read x"), "nats_creds_unusable", "NATS_CREDS"),
        (ImportError("No module named 'nkeys'"), "nats_creds_unusable", "pip install nkeys"),
        (ConnectionRefusedError(111, "refused"), "nats_unreachable", "NATS_URL"),
        (OSError(-2, "Name or service not known"), "nats_unreachable", "NATS_URL"),
        (TimeoutError(), "nats_unreachable", "NATS_URL"),
        (LinkTimeout("not within 5 s"), "nats_unreachable", "NATS_URL"),
        (ssl.SSLCertVerificationError("hostname mismatch"), "nats_tls_failed", "certificate"),
        (ConnectionResetError(104, "reset"), "nats_unusable", "max_connections"),
        (nats.errors.UnexpectedEOF(), "nats_unusable", "NATS server"),
        (nats.errors.Error("maximum connections exceeded"), "nats_unusable", "max_connections"),
        (RuntimeError("?"), "nats_unusable", "NATS_URL"),
    ],
)
def test_what_has_to_be_mended_elsewhere_has_another_name(
    error: Exception, event: str, setting: str
) -> None:
    trouble = diagnose(error)
    assert trouble.event == event
    assert setting in trouble.hint


# The local source


def test_the_local_source_passes_on_while_it_is_started() -> None:
    async def test() -> None:
        feed = RecordingFeed()
        source = LocalSource(feed)
        as_source: Source = source
        assert not as_source.connected and not source.publish("a", b"1")
        await as_source.start()
        await as_source.start()
        assert feed.events == [("live", "local")] and as_source.connected
        assert source.publish("a", b"2")
        await as_source.stop()
        assert not source.publish("a", b"3") and not as_source.connected
        assert feed.messages == [("a", b"2")]
        assert as_source.snapshot() == {"connected": 0, "received": 1}

    run(test())


def test_the_local_source_says_what_the_feed_says() -> None:
    class Refusing(RecordingFeed):
        def publish(self, subject: str, payload: bytes) -> bool:
            return False

    async def test() -> None:
        source = LocalSource(Refusing(), name="demo")
        await source.start()
        assert source.name == "demo" and not source.publish("a", b"1")

    run(test())


def test_what_can_never_work_is_refused_at_once() -> None:
    feed = RecordingFeed()
    for servers, subjects in [
        ([], ["a"]),
        (["localhost"], []),
        (["http://localhost"], ["a"]),
        (["localhost"], ["a..b"]),
        (["localhost"], ["a.>.b"]),
        (["localhost"], ["a b"]),
    ]:
        with pytest.raises(ValueError, match=r"needs a server|must be like|not a subject"):
            NatsSource(feed, servers, subjects)
