"""TLS for the clients' port: one certificate and its key, renewed without a restart.

Owns the ``ssl.SSLContext`` that new handshakes get. Each renewal makes a new one: connections keep
theirs, and with it the certificate they were shown, until they end.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from datetime import UTC, datetime
from errno import EINVAL
from pathlib import Path
from typing import NoReturn

import structlog

from wsgate.throttle import Throttle

log = structlog.get_logger("wsgate.edge")

CHECK_INTERVAL_S = 10.0
COMPLAINT_INTERVAL_S = 600.0

# Forward secrecy and authenticated encryption only; of TLS 1.3 all suites are so (RFC 9325 4.2).
TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

# The last: of the kind that the key is, RSA or ECDSA, no certificate was loaded.
_MISMATCHES = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _VERSION = 0x17, 0xA0  # DER tags


class CertificateError(OSError):
    """A certificate and key that cannot be used: which ``setting`` is wrong, and ``reason`` how."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(EINVAL, f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


class TlsContext:
    """``context`` is what a handshake that begins now is to use.

    Raises CertificateError when made from files that cannot be used. Later such files change
    nothing: ``failures`` counts them, ``reloads`` those that were taken up.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._complaints = Throttle(COMPLAINT_INTERVAL_S)
        self._check: asyncio.TimerHandle | None = None
        self.reloads = 0
        self.failures = 0
        self._seen = self._state()
        self._take_up()

    def start(self) -> None:
        """Look at the files once an interval from now on."""
        self._check = asyncio.get_running_loop().call_later(CHECK_INTERVAL_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._check is not None:
            self._check.cancel()
            self._check = None

    def _look(self) -> None:
        self.reload_if_changed()
        self.start()

    def reload_if_changed(self) -> None:
        """Take up what the files hold by now, if that is not what was seen last."""
        # Before they are read: what changes meanwhile is then seen as a change next time.
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._take_up()
        except CertificateError as error:
            self.failures += 1
            if self._complaints.admit("reload") is not None:
                log.error(
                    "new TLS certificate not taken up: the old one stays in use",
                    error=error.strerror,
                    expires=_date(self.expires_s),
                    failures=self.failures,
                )
            return
        self.reloads += 1
        self._complaints.forget("reload")
        log.info("TLS certificate renewed", expires=_date(self.expires_s))

    def _take_up(self) -> None:
        context, expires_s = load(self._certificate, self._key)
        self.context = context
        self.expires_s = expires_s
        """When the certificate in use expires, in seconds since 1970."""
        if expires_s <= time.time():
            log.warning("the TLS certificate has expired", expires=_date(expires_s))

    def _state(self) -> list[tuple[int, ...] | None]:
        """Changes whenever either file does; links are followed, as renewals often move them."""
        return [_state_of(path) for path in (self._certificate, self._key)]


def load(certificate: Path, key: Path) -> tuple[ssl.SSLContext, float]:
    """A context for servers, and when its certificate expires, in seconds since 1970."""
    first = first_certificate(certificate)
    check_key(key)
    context = _context()
    try:
        expires_s = not_after(ssl.PEM_cert_to_DER_cert(first))
        context.load_cert_chain(certificate, key, password=_refuse_passphrase)
    except _NeedsPassphrase:
        raise CertificateError(
            "WS_TLS_KEY",
            f"the key in {key} is encrypted, and the gateway has no way to be given its"
            " passphrase; write it decrypted (openssl pkey -in KEY -out NEW), readable for the"
            " gateway alone",
        ) from None
    except (ValueError, IndexError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None)
        if reason in _MISMATCHES:
            raise CertificateError(
                "WS_TLS_KEY",
                f"the key in {key} does not belong to the first certificate in {certificate}"
                " (WS_TLS_CERT); name the key that this certificate was made for, or put the"
                " gateway's own certificate first",
            ) from None
        raise CertificateError(
            "WS_TLS_CERT, WS_TLS_KEY",
            f"OpenSSL cannot use {certificate} with {key} ({reason or 'not a certificate'});"
            " expected are a whole PEM certificate and its key",
        ) from None
    return context, expires_s


def first_certificate(path: Path) -> str:
    """The PEM of the first certificate in the file."""
    first = _CERTIFICATE.search(_read("WS_TLS_CERT", path))
    if first is None:
        raise CertificateError(
            "WS_TLS_CERT",
            f"there is no certificate in {path}; expected is PEM, the gateway's own certificate"
            " first, then those between it and the root",
        )
    return first[0]


def check_key(path: Path) -> None:
    """Whether the file has a key at all; ``load`` says whether it is the right one."""
    if "PRIVATE KEY-----" not in _read("WS_TLS_KEY", path):
        raise CertificateError("WS_TLS_KEY", f"there is no private key in {path}; expected is PEM")


class _NeedsPassphrase(Exception):
    pass


def _refuse_passphrase() -> NoReturn:
    """Called for a key that is encrypted: without it OpenSSL asks on the terminal, and waits."""
    raise _NeedsPassphrase


def _context() -> ssl.SSLContext:
    """For servers, without a certificate. Compression is off in it.

    The groups are OpenSSL's choice, X25519 and P-256 among the first: Python could only set one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])  # WebSockets begin with it (RFC 6455 4.1)
    # A client that comes back uses one and gets the next; OpenSSL would send two.
    context.num_tickets = 1
    return context


def not_after(certificate: bytes) -> float:
    """When a DER certificate expires, in seconds since 1970; ValueError, IndexError if it is none.

    RFC 5280 4.1: a certificate's first element has an optional version, a serial number, the
    signature's algorithm, the issuer, and then the validity, which is two times.
    """
    _, at, _ = _element(certificate, 0)
    _, at, _ = _element(certificate, at)
    for _ in range(4 if certificate[at] == _VERSION else 3):
        _, _, at = _element(certificate, at)
    _, not_before, _ = _element(certificate, at)
    _, _, at = _element(certificate, not_before)
    tag, start, end = _element(certificate, at)
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    when = datetime.strptime(certificate[start:end].decode("ascii"), form)
    return when.replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Of the element that begins at `at`: its tag, and where its content begins and ends."""
    tag, size, start = der[at], der[at + 1], at + 2
    if size & 0x80:  # so many bytes hold the size
        start += size & 0x7F
        size = int.from_bytes(der[at + 2 : start], "big")
    if start + size > len(der):
        raise ValueError("cut off")
    return tag, start, start + size


def _read(setting: str, path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise CertificateError(setting, f"cannot read {path}: {error.strerror}") from None


def _state_of(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
