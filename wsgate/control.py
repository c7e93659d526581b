"""What backends may tell the gateway itself, the same way as they publish."""

from __future__ import annotations

from typing import Final

from orjson import JSONDecodeError, loads

from wsgate.auth.limits import SUBJECT_CHARACTERS_MAX

REVOKE_SUBJECT: Final = "wsgate.control.revoke"
REVOKED_AT_ONCE_MAX: Final = 1000


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
