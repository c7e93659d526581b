"""What a backend's answer says: items, each as it came, and the cursor to ask with the next time.

Pure: bytes in, values out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from wsgate.protocol import is_channel
from wsgate.raw_json import CUT, Part, PastLimits, Path, at, elements, parse, pruned
from wsgate.sources.poll_limits import CURSOR_CHARACTERS_MAX

PLACEHOLDER: Final = "{id}"

Version: TypeAlias = tuple[bool, Any]
"""Whether it is text, and the number or text: so any two can be compared, and texts are newer."""


@dataclass(frozen=True)
class Shape:
    """Where things are in an answer, ``items`` and ``cursor``, and in an item, the others.

    ``channel`` is the name of an item's channel, with ``{id}`` as one of its tokens.
    """

    items: Path = ("items",)
    id: Path = ("id",)
    version: Path = ("version",)
    cursor: Path = ("cursor",)
    channel: str = "token.{id}.update"

    @property
    def pattern(self) -> str:
        """Of all channels that there may be."""
        return self.channel.replace(PLACEHOLDER, "*")


class Item(NamedTuple):
    id: str
    version: Version
    channel: str
    payload: bytes


class Answer(NamedTuple):
    """``cursor`` is None if the answer has none. ``refused``: items left out, by what they lack.

    That is the setting that names it; ``WS_POLL_ITEMS`` for an item that cannot be parsed.
    """

    items: list[Item]
    cursor: str | None
    refused: Counter[str]


class AnswerUnusable(Exception):
    """Nothing can be made of an answer: says why, and shows nothing of it."""


def read(body: bytes, shape: Shape) -> Answer:
    """Raise AnswerUnusable for what has no list of items, or no cursor that could be sent."""
    try:
        whole = _parsed(body.decode(), level=len(shape.items) + 1)
    except UnicodeDecodeError:
        raise AnswerUnusable("the answer is not UTF-8") from None
    except PastLimits as error:
        raise AnswerUnusable(f"the answer cannot be parsed: outside of items, {error}") from None
    except ValueError as error:
        raise AnswerUnusable(f"the answer is not JSON: {error}") from None
    found = at(whole, shape.items)
    if found is None or type(found.value) is not list:
        what = "nothing" if found is None else "no array"
        raise AnswerUnusable(f"the answer has {what} at {_in_words(shape.items)} (WS_POLL_ITEMS)")
    refused: Counter[str] = Counter()
    items = []
    for part in elements(found):
        item = _item(part, shape)
        if isinstance(item, Item):
            items.append(item)
        else:
            refused[item] += 1
    return Answer(items, _cursor(at(whole, shape.cursor), shape), refused)


def _parsed(text: str, level: int) -> Part:
    """The whole; ``level`` is that of items, so that one of them cannot spoil the others."""
    try:
        return parse(text)
    except PastLimits:
        return parse(pruned(text, level))


def _item(part: Part, shape: Shape) -> Item | str:
    """One item, or the setting that names what it does not have."""
    if part.text == CUT:
        return "WS_POLL_ITEMS"
    name = _text(at(part, shape.id))
    channel = shape.channel.replace(PLACEHOLDER, name)
    if not name or "." in name or not is_channel(channel):
        return "WS_POLL_ID"
    version = at(part, shape.version)
    if version is None or type(version.value) not in (int, float, str):
        return "WS_POLL_VERSION"
    return Item(name, (type(version.value) is str, version.value), channel, part.text.encode())


def _cursor(found: Part | None, shape: Shape) -> str | None:
    if found is None or found.value is None:
        return None
    cursor = _text(found) or (found.text if type(found.value) is float else "")
    if not cursor:
        raise AnswerUnusable(
            f"the answer's cursor, at {_in_words(shape.cursor)} (WS_POLL_CURSOR), is neither text"
            " nor a number"
        )
    if len(cursor) > CURSOR_CHARACTERS_MAX:
        raise AnswerUnusable(
            f"the answer's cursor has more than {CURSOR_CHARACTERS_MAX} characters"
        )
    return cursor


def _text(part: Part | None) -> str:
    """Text as it is, a whole number as it was written; empty if it is neither."""
    if part is not None and type(part.value) is str:
        return part.value
    return part.text if part is not None and type(part.value) is int else ""


def _in_words(path: Path) -> str:
    return repr(".".join(path) or ".")
