"""What a setting may be: in words, and as bounds that say the same."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from wsgate.settings.parsers import number, port_number

UNLIMITED: Final = "0 is no limit"
BYTES: Final = " of bytes"


class Allowed(NamedTuple):
    """What a setting may be, in words."""

    text: str


def allowed(field: FieldInfo) -> str:
    """What this setting may be."""
    texts = [one.text for one in field.metadata if isinstance(one, Allowed)]
    assert texts, field
    return texts[0]


def is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def port(more: str = "") -> tuple[Any, ...]:
    """The bounds of a port, and how they read."""
    text = f"a port, 0 to 65535 (0 takes any free one){more}"
    return Field(ge=0, le=65535), BeforeValidator(port_number), Allowed(text)


def whole(least: int, most: int, *, of: str = "", zero: str = "") -> tuple[Any, ...]:
    """The bounds of a whole number, and how they read."""
    text = f"a whole number{of}, {least} to {most}" + (f"; {zero}" if zero else "")
    return Field(ge=least, le=most), BeforeValidator(number), Allowed(text)


def zero_to(most: float, unit: str, *, zero: str = "") -> tuple[Any, ...]:
    """The bounds of a number of which 0 is one, and how they read."""
    text = f"{unit}, 0 to {most:.10g}" + (f"; {zero}" if zero else "")
    return Field(ge=0, le=most), BeforeValidator(number), Allowed(text)


def above(least: float, most: float, unit: str, *, named: str = "") -> tuple[Any, ...]:
    """The bounds of a number above ``least``, which may have a name, and how they read."""
    text = f"{unit}, above {named or f'{least:g}'} to {most:g}"
    return Field(gt=least, le=most), BeforeValidator(number), Allowed(text)
