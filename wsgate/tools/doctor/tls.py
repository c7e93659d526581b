"""The certificate: whether it and its key can be used, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from wsgate.blueprint import TlsFiles
from wsgate.edge.tls import CertificateError, load
from wsgate.tools.doctor.finding import Finding, ok, problem, warning

TOPIC: Final = "TLS"
SOON_DAYS: Final = 14
DAY_S: Final = 86_400


def read(files: TlsFiles) -> float | CertificateError:
    """When the certificate expires, in seconds since 1970."""
    try:
        _, expires_s = load(files.certificate, files.key)
    except CertificateError as error:
        return error
    return expires_s


def judge(found: float | CertificateError | None, *, now_s: float) -> Finding:
    """None: there is no certificate."""
    if found is None:
        return ok(TOPIC, "WS_TLS_CERT is not set: WS_PORT is plain, ws://")
    if isinstance(found, CertificateError):
        return problem(
            TOPIC,
            found.strerror or str(found),
            expected="a PEM certificate with its chain, and its key",
            mend="the right files in WS_TLS_CERT and WS_TLS_KEY",
        )
    when = f"{datetime.fromtimestamp(found, UTC):%Y-%m-%d %H:%M} UTC"
    left_days = (found - now_s) / DAY_S
    mend = "renew it; the gateway takes up new files within 10 s"
    if left_days <= 0:
        return problem(
            TOPIC,
            f"the certificate expired on {when}",
            expected="one that is valid: browsers do not connect",
            mend=mend,
        )
    if left_days < SOON_DAYS:
        return warning(
            TOPIC,
            f"the certificate expires in {left_days:.1f} days, on {when}",
            expected=f"at least {SOON_DAYS} days",
            mend=mend,
        )
    return ok(TOPIC, f"the certificate fits its key, and is valid until {when}")
