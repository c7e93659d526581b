"""The certificate: what is accepted, how what is not is explained, and how it is renewed."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from tests.support.certificates import Certificate
from wsgate.edge.tls import CertificateError, TlsContext, load, not_after


def reason(certificate: Path, key: Path) -> str:
    with pytest.raises(CertificateError) as caught:
        load(certificate, key)
    assert caught.value.strerror
    return caught.value.strerror


def touched(path: Path) -> Path:
    """Changed, as far as anybody can see who looks at it from outside."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    return path


# What is accepted


def test_what_is_spoken(tmp_path: Path) -> None:
    own = Certificate(tmp_path)
    context, _ = load(own.path, own.key_path)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_NO_TICKET
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher["name"]
        assert cipher["kea"] in ("kx-ecdhe", "kx-any"), cipher["name"]


def test_of_a_chain_the_first_is_ones_own(tmp_path: Path) -> None:
    own, other = Certificate(tmp_path, days=10), Certificate(tmp_path, "other", days=20)
    chain = own.path.read_text() + other.path.read_text()
    own.path.write_text("Bag attributes: none\n" + chain)
    assert load(own.path, own.key_path)[1] == own.expires.timestamp()


# What is not


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    own, other = Certificate(tmp_path), Certificate(tmp_path, "other")
    text = reason(own.path, other.key_path)
    assert text.startswith("WS_TLS_KEY: ") and "does not belong to" in text
    assert str(own.path) in text and str(other.key_path) in text


def test_a_key_of_another_kind(tmp_path: Path) -> None:
    own = Certificate(tmp_path)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own.key_path.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    assert "does not belong to" in reason(own.path, own.key_path)


def test_an_encrypted_key(tmp_path: Path) -> None:
    own = Certificate(tmp_path)
    own.write(own.path, own.key_path, passphrase=b"sesame")
    text = reason(own.path, own.key_path)
    assert text.startswith("WS_TLS_KEY: ") and "is encrypted" in text and "openssl pkey" in text


def test_files_in_each_others_place(tmp_path: Path) -> None:
    own = Certificate(tmp_path)
    assert reason(own.key_path, own.path).startswith("WS_TLS_CERT: there is no certificate in")
    assert reason(own.path, own.path).startswith("WS_TLS_KEY: there is no private key in")


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    own = Certificate(tmp_path)
    own.key_path.unlink()
    assert re.match(r"WS_TLS_KEY: cannot read .*: No such file", reason(own.path, own.key_path))


@pytest.mark.parametrize("which", ["path", "key_path"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_half_a_file(tmp_path: Path, which: str, kept: float) -> None:
    own = Certificate(tmp_path)
    half: Path = getattr(own, which)
    body, end, rest = half.read_text().rpartition("-----END")
    half.write_text(body[: int(len(body) * kept)] + "\n" + end + rest)
    assert reason(own.path, own.key_path).startswith("WS_TLS_")


# When it expires


@pytest.mark.parametrize("days", [-400, 1, 90, 400, 365 * 40])
def test_when_a_certificate_expires(tmp_path: Path, days: int) -> None:
    """After 2049 the time has another form."""
    own = Certificate(tmp_path, days=days)
    assert not_after(own.der) == own.expires.timestamp()


def test_no_beginning_of_a_certificate_is_taken_for_one(tmp_path: Path) -> None:
    der = Certificate(tmp_path).der
    for size in range(len(der)):
        with pytest.raises((ValueError, IndexError)):
            not_after(der[:size])


def test_one_that_has_expired_is_used_and_reported(tmp_path: Path) -> None:
    own = Certificate(tmp_path, days=-1)
    with capture_logs() as logged:
        tls = TlsContext(own.path, own.key_path)
    assert tls.expires_s == own.expires.timestamp()
    assert [line["event"] for line in logged] == ["the TLS certificate has expired"]


# Renewal


def test_a_renewed_pair_is_taken_up_once(tmp_path: Path) -> None:
    own = Certificate(tmp_path, days=1)
    tls = TlsContext(own.path, own.key_path)
    before = tls.context
    tls.reload_if_changed()
    assert tls.context is before and tls.reloads == 0

    renewed = Certificate(tmp_path, "renewed", days=90)
    renewed.write(own.path, own.key_path)
    with capture_logs() as logged:
        tls.reload_if_changed()
        tls.reload_if_changed()
    assert tls.context is not before
    assert (tls.reloads, tls.failures) == (1, 0)
    assert tls.expires_s == renewed.expires.timestamp()
    assert [line["event"] for line in logged] == ["TLS certificate renewed"]


def test_links_are_followed(tmp_path: Path) -> None:
    """As certbot and Kubernetes renew: what the settings name is a link, and the link moves."""
    old, new = Certificate(tmp_path, "old", days=1), Certificate(tmp_path, "new", days=2)
    path, key = tmp_path / "live.pem", tmp_path / "live.key"
    path.symlink_to(old.path)
    key.symlink_to(old.key_path)
    tls = TlsContext(path, key)
    path.unlink()
    key.unlink()
    path.symlink_to(new.path)
    key.symlink_to(new.key_path)
    tls.reload_if_changed()
    assert tls.expires_s == new.expires.timestamp()


def test_a_broken_pair_changes_nothing_and_is_logged_once(tmp_path: Path) -> None:
    own = Certificate(tmp_path)
    tls = TlsContext(own.path, own.key_path)
    before = tls.context
    with capture_logs() as logged:
        for text in ("", "broken", "broken again"):
            own.path.write_text(text)
            tls.reload_if_changed()
            tls.reload_if_changed()
        own.key_path.unlink()
        tls.reload_if_changed()
    assert tls.context is before and tls.expires_s == own.expires.timestamp()
    assert (tls.reloads, tls.failures) == (0, 4), "counted once for each change"
    assert len(logged) == 1 and logged[0]["error"].startswith("WS_TLS_CERT: ")


def test_it_is_taken_up_as_soon_as_it_is_whole(tmp_path: Path) -> None:
    """One file is renewed before the other: they do not fit in between."""
    own, renewed = Certificate(tmp_path), Certificate(tmp_path, "renewed", days=90)
    tls = TlsContext(own.path, own.key_path)
    own.path.write_bytes(renewed.path.read_bytes())
    tls.reload_if_changed()
    assert (tls.reloads, tls.failures) == (0, 1)
    own.key_path.write_bytes(renewed.key_path.read_bytes())
    tls.reload_if_changed()
    assert (tls.reloads, tls.failures) == (1, 1)
    with capture_logs() as logged:
        own.path.write_text("broken")
        tls.reload_if_changed()
    assert len(logged) == 1, "after a success the next failure is news"


def test_the_same_files_written_again_are_taken_up_again(tmp_path: Path) -> None:
    own = Certificate(tmp_path)
    tls = TlsContext(own.path, own.key_path)
    touched(own.key_path)
    tls.reload_if_changed()
    assert tls.reloads == 1
