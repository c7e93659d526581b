"""What somebody wants published over HTTP: read whole, and refused whole if anything is wrong.

Half a list carried out would look like a whole one. Pure: bytes in, publications out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from wsgate.limits import PAYLOAD_BYTES_MAX
from wsgate.protocol import is_channel
from wsgate.raw_json import Part, at, elements, parse
from wsgate.rules import Rules, matches

PUBLICATIONS_MAX: Final = 1000
FORM: Final = (
    '{"channel": "...", "data": ...}, or {"publications": [...]} with 1 to'
    f" {PUBLICATIONS_MAX} of these"
)


class BadPublications(Exception):
    """None of them is published. ``errors``: places of those that are wrong, and what is."""

    def __init__(self, text: str, errors: Mapping[int, str] | None = None) -> None:
        super().__init__(text)
        self.errors = errors or {}


def read(body: bytes, rules: Rules, subjects: Sequence[str] | None) -> list[tuple[str, bytes]]:
    """Channels and their data, as it was written. ``subjects``: of NATS, if that is the way.

    Raises BadPublications.
    """
    try:
        whole = parse(body.decode())
        orjson.loads(body)  # which is stricter, and what workers check with
    except ValueError as error:
        raise BadPublications(f"the body is not JSON: {error}") from None
    if type(whole.value) is not dict or ("publications" in whole.value) == (
        "channel" in whole.value
    ):
        raise BadPublications(f"the body is not like {FORM}")
    listed = at(whole, ("publications",))
    if listed is None:
        parts = [whole]
    elif type(listed.value) is list and 1 <= len(listed.value) <= PUBLICATIONS_MAX:
        parts = elements(listed)
    else:
        raise BadPublications(f"publications are no array of 1 to {PUBLICATIONS_MAX}")
    found, errors = [], {}
    for place, part in enumerate(parts):
        problem = _problem(part, rules, subjects)
        if problem is None:
            data = at(part, ("data",))
            assert data is not None
            found.append((part.value["channel"], data.text.encode()))
        else:
            errors[place] = problem
    if errors:
        raise BadPublications("nothing was published: see errors", errors)
    return found


def _problem(part: Part, rules: Rules, subjects: Sequence[str] | None) -> str | None:
    """What is wrong with one of them."""
    if type(part.value) is not dict or not part.value.keys() >= {"channel", "data"}:
        return "it is no object with channel and data"
    strange = part.value.keys() - {"channel", "data"}
    if strange:
        return f"it has {min(strange)[:64]!r}; allowed are channel and data"
    channel = part.value["channel"]
    if type(channel) is not str or not is_channel(channel):
        return f"{str(channel)[:64]!r} is not the name of a channel"
    if rules.match(channel) is None:
        return f"no rule in WS_RULES matches {channel!r}, so nobody could get it"
    if subjects is not None and not any(matches(subject, channel) for subject in subjects):
        return f"nothing in NATS_SUBJECTS matches {channel!r}, so no gateway would hear it"
    data = at(part, ("data",))
    assert data is not None
    size = len(data.text.encode())
    if size > PAYLOAD_BYTES_MAX:
        return f"its data has {size} bytes; allowed are {PAYLOAD_BYTES_MAX}"
    return None
