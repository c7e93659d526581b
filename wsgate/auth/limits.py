"""Every bound on tokens, tickets and keys, with its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOKEN_BYTES_MAX: Final = 8192
SUBJECT_CHARACTERS_MAX: Final = 255
TOKEN_ID_CHARACTERS_MAX: Final = 255
# Until the year 9999: later ones are milliseconds, by mistake.
DATE_MAX_S: Final = 253_402_300_799
LEEWAY_MAX_S: Final = 300.0

PATTERNS_MAX: Final = 256  # of one token; a pattern's length is that of channel names
PERMISSIONS_REMEMBERED_MAX: Final = 1024
COVERINGS_REMEMBERED_MAX: Final = 8192  # whether a pattern covers a name

KEYS_MAX: Final = 64
KEYS_TRIED_MAX: Final = 4  # for a token that does not say which one is its key
HEADERS_REMEMBERED_MAX: Final = 64
SECRET_BYTES_MIN: Final = 32  # RFC 7518 §3.2: as long as the hash
RSA_BITS_MIN: Final = 2048  # RFC 7518 §3.3
RSA_BITS_MAX: Final = 8192  # a larger one costs more than a millisecond a token

REVOCATIONS_MAX: Final = 100_000
REVOCATION_KEPT_S: Final = 24 * 3600.0  # tokens that live longer should not be given out

TICKETS_MAX: Final = 100_000
TICKET_TTL_MAX_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How keys are kept fresh. The defaults are meant for production; tests shorten them."""

    refresh_interval_s: float = 300.0
    """Between two fetches of a URL, give or take a tenth. A key that the issuer withdraws is in use
    here for that long."""

    file_check_interval_s: float = 5.0
    """How often to look whether a file has changed."""

    unknown_key_interval_s: float = 5.0
    """At least this lies between two fetches, however many tokens name keys that are not known."""

    unknown_key_waiters_max: int = 1000
    """Tokens that may wait at once for the keys to be fetched again."""

    fetch_timeout_s: float = 5.0
    """From looking up the host's name to the last byte."""

    document_bytes_max: int = 256 * 1024
    """Of a response or a file."""

    backoff_base_s: float = 0.5
    backoff_cap_s: float = 30.0

    log_interval_s: float = 30.0
    """At most one line in this time about the same trouble."""

    def __post_init__(self) -> None:
        assert 0 < self.backoff_base_s <= self.backoff_cap_s
        assert self.refresh_interval_s > 0 and self.file_check_interval_s > 0
        assert self.unknown_key_interval_s > 0 and self.unknown_key_waiters_max > 0
        assert self.fetch_timeout_s > 0 and self.document_bytes_max > 0
