"""What backends may tell the gateway itself, the same way as they publish."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from orjson import JSONDecodeError, dumps, loads

from wsgate.auth.limits import SUBJECT_CHARACTERS_MAX
from wsgate.protocol import is_channel_or_pattern

REVOKE_SUBJECT: Final = "wsgate.control.revoke"
REVOKED_AT_ONCE_MAX: Final = 1000
GAP_SUBJECT: Final = "wsgate.control.gap"
MISSED_AT_ONCE_MAX: Final = 256


def control_subjects(*, revocations: bool, gaps: bool) -> tuple[str, ...]:
    """Where a gateway listens, that knows whom to cut off, and whom to tell of gaps."""
    return ((REVOKE_SUBJECT,) if revocations else ()) + ((GAP_SUBJECT,) if gaps else ())


class BadControl(Exception):
    """The message is not formed as it must be. The text says how, and shows nothing of it."""


def revoked_subjects(payload: bytes) -> frozenset[str]:
    """Whom ``{"subject": "user-1"}`` or ``{"subjects": ["user-1", "user-2"]}`` cuts off.

    Raises BadControl; then nobody is: half a list carried out would look like a whole one.
    """
    try:
        fields = loads(payload)
    except JSONDecodeError:
        raise BadControl("it is not JSON") from None
    if type(fields) is not dict or ("subject" in fields) == ("subjects" in fields):
        raise BadControl("it is no object with either subject or subjects")
    subjects = fields.get("subjects", [fields.get("subject")])
    if type(subjects) is not list or len(subjects) > REVOKED_AT_ONCE_MAX:
        raise BadControl(f"subjects is no array of at most {REVOKED_AT_ONCE_MAX} strings")
    for subject in subjects:
        if type(subject) is not str or not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX:
            raise BadControl(f"a subject is no text of 1 to {SUBJECT_CHARACTERS_MAX} characters")
    return frozenset(subjects)


def missed_channels(payload: bytes) -> tuple[str, ...]:
    """Of which channels, and patterns, ``{"channels": ["token.*.comment"]}`` says some are missing.

    Raises BadControl.
    """
    try:
        fields = loads(payload)
    except JSONDecodeError:
        raise BadControl("it is not JSON") from None
    channels = fields.get("channels") if type(fields) is dict else None
    if type(channels) is not list or not 0 < len(channels) <= MISSED_AT_ONCE_MAX:
        raise BadControl(f"it is no object with channels, an array of 1 to {MISSED_AT_ONCE_MAX}")
    for channel in channels:
        if type(channel) is not str or not is_channel_or_pattern(channel):
            raise BadControl("channels has what is neither a channel nor a pattern")
    return tuple(channels)


def gap_message(channels: Iterable[str]) -> bytes:
    """What ``missed_channels`` understands."""
    return dumps({"channels": list(channels)})
