"""Configuration: the settings of the environment, checked whole before anything starts.

:func:`load` reports *every* wrong value at once, with what is allowed, and never shows a secret.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from wsgate.settings import Allowed, Settings

MASK: Final = "***"
OUR_PREFIXES: Final = ("WS_", "NATS_")


class ConfigError(Exception):
    """Settings are wrong; ``problems`` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load() -> Settings:
    """The settings as the environment has them; ConfigError if any is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigError(problems(error)) from None


def problems(error: ValidationError) -> list[str]:
    """What is wrong with settings, a line for each: name, value got, reason, what is allowed."""
    return [_problem(detail["loc"], detail) for detail in error.errors(include_url=False)]


def _problem(location: Sequence[int | str], detail: Mapping[str, Any]) -> str:
    name = str(location[0]) if location else ""
    field = Settings.model_fields.get(name)
    if field is None:
        return f"{name.upper()}: there is no such setting"
    reason = f", but {detail['ctx']['error']}" if detail["type"] == "value_error" else ""
    got = _shown(name, field, detail["input"])
    return f"{name.upper()}: got {got}{reason}; allowed: {allowed(field)}"


def allowed(field: FieldInfo) -> str:
    """What this setting may be."""
    texts = [one.text for one in field.metadata if isinstance(one, Allowed)]
    assert texts, field
    return texts[0]


def _shown(name: str, field: FieldInfo, value: object) -> str:
    if is_secret(field):
        return MASK
    if name == "nats_url":
        return _without_login(value)
    if name == "ws_jwt_keys":
        return _without_query(value)
    return repr(value)


def is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _without_login(value: object) -> str:
    """A list of URLs for showing: whatever may be a password is masked."""
    text = value if isinstance(value, str) else ",".join(map(str, _iterate(value)))
    if "@" in text:
        return MASK
    # "nats://user:secret" with the host forgotten: what should be a port is none.
    return repr(re.sub(r":(?!//|\d+(?:[/,]|$))[^,]*", f":{MASK}", text))


def _without_query(value: object) -> str:
    """Files or a URL, whose query and login may be secrets."""
    text = value if isinstance(value, str) else ",".join(map(str, _iterate(value)))
    if not text:
        return "nothing"
    return MASK if "@" in text or "?" in text else repr(text)


def _iterate(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        yield from value
    else:
        yield value


def unknown(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str | None]]:
    """Environment variables that look like settings and are none, each with what was meant."""
    names = [name.upper() for name in Settings.model_fields]
    for variable in environment:
        if variable.upper().startswith(OUR_PREFIXES) and variable.upper() not in names:
            meant = difflib.get_close_matches(variable.upper(), names, n=1)
            yield variable, meant[0] if meant else None
