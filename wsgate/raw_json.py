"""JSON of which each part is there as a value, and as the text that it was.

Parsed and written again, 1.10 becomes 1.1, and an amount of more than 64 bits in orjson a rounded
float. What is passed on must not change, so it is cut out of the text instead. The standard
library's scanner says where a value ends, in C; orjson does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final, NamedTuple, NoReturn

DIGITS_MAX: Final = 4300  # Python's own bound on integers
LEVELS_MAX: Final = 500  # half of what the parser of any Python takes, wherever it is called
CUT: Final = '"cut out"'  # stands where something was that is past these

Path = tuple[str, ...]
"""Names of members, from the outermost on; empty: the whole."""


def path_of(text: str) -> Path:
    """``"data.items"`` is the member items of the member data, ``"."`` the whole.

    ValueError if a name is empty.
    """
    if text == ".":
        return ()
    names = tuple(text.split("."))
    if not all(names):
        raise ValueError("a name between its dots is empty")
    return names


class Part(NamedTuple):
    value: Any
    text: str


class PastLimits(ValueError):
    """It may be JSON, but Python's parser does not take it."""


class _NoConstant(ValueError):
    pass


def parse(text: str) -> Part:
    """The whole of a JSON text; ValueError says why it is none, or PastLimits."""
    start = _space(text, 0)
    try:
        value, end = _scan(text, start)
    except RecursionError:
        raise PastLimits("it is nested too deeply") from None
    except (JSONDecodeError, _NoConstant):
        raise
    except ValueError:
        raise PastLimits(f"an integer in it has more than {DIGITS_MAX} digits") from None
    if _space(text, end) != len(text):
        raise ValueError(f"something stands behind its end, at character {end}")
    return Part(value, text[start:end])


def pruned(text: str, level: int) -> str:
    """With ``CUT`` for each array and object at this level of nesting that is past the limits.

    What is cut out may be no JSON either: nobody has parsed it.
    """
    kept: list[str] = []
    depth = start = since = 0
    quoted = past = False
    for found in _MARKS(text):
        mark = found[0]
        if mark == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif mark in "[{":
            if depth == level:
                start, past = found.start(), False
            depth += 1
            past |= depth > level + LEVELS_MAX
        elif mark in "]}":
            depth -= 1
            if depth == level and past:
                kept += (text[since:start], CUT)
                since = found.end()
        else:
            past |= len(mark) > DIGITS_MAX
    return "".join(kept) + text[since:]


def at(whole: Part, path: Path) -> Part | None:
    """What is there; None if nothing is."""
    found = whole
    for name in path:
        if type(found.value) is not dict or name not in found.value:
            return None
        # Of several of the same name the last counts, as everywhere.
        found = [part for key, part in _members(found.text) if key == name][-1]
    return found


def elements(array: Part) -> list[Part]:
    """Those of an array."""
    assert type(array.value) is list
    text = array.text
    place = _space(text, 1)
    found = []
    while text[place] != "]":
        value, end = _scan(text, place)
        found.append(Part(value, text[place:end]))
        place = _next(text, end)
    return found


def _members(text: str) -> Iterator[tuple[str, Part]]:
    """Those of the text of an object, each with its name."""
    place = _space(text, 1)
    while text[place] != "}":
        name, colon = _scan(text, place)
        start = _space(text, _space(text, colon) + 1)
        value, end = _scan(text, start)
        yield name, Part(value, text[start:end])
        place = _next(text, end)


def _next(text: str, end: int) -> int:
    """Where the next one begins, or the end of all of them is."""
    place = _space(text, end)
    return _space(text, place + 1) if text[place] == "," else place


def _space(text: str, start: int) -> int:
    """Where the white space that begins there ends."""
    found = _SPACE(text, start)
    assert found is not None
    return found.end()


def _no_constant(name: str) -> NoReturn:
    raise _NoConstant(f"{name} is not JSON")


_MARKS: Final = re.compile(r'\\.|["\[\]{}]|[0-9]+', re.DOTALL).finditer
_SPACE: Final = re.compile(r"[ \t\n\r]*").match
_scan: Final = JSONDecoder(parse_constant=_no_constant).raw_decode
