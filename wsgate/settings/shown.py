"""Values of settings for people to see: no secret among them, not even one in a wrong place."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from wsgate.rules import Rule, Rules
from wsgate.settings.model import Settings
from wsgate.settings.parsers import NO_SERVERS
from wsgate.settings.words import is_secret

MASK: Final = "***"
WITH_QUERIES: Final = ("ws_jwt_keys", "ws_poll_url")  # in which a secret may be
_RULE_FIELDS: Final = {field.name for field in fields(Rule)}


def got(name: str, value: object) -> str:
    """What a setting was given, right or wrong."""
    if is_secret(Settings.model_fields[name]):
        return MASK
    if name == "nats_url":
        return _servers_or_so(value)
    if name in WITH_QUERIES:
        return _keys_or_so(value)
    if name == "ws_rules":
        return repr(_rules_or_so(value))
    return repr(",".join(value) if isinstance(value, tuple) else value)


def plain(name: str, value: Any) -> Any:
    """The value of a valid setting, as JSON has it."""
    if value is None:
        return None
    if is_secret(Settings.model_fields[name]):
        return MASK
    if name == "nats_url":
        return [_without_login(url) for url in value]
    if name in WITH_QUERIES:
        return (
            _without_query(value)
            if isinstance(value, str)
            else [_without_query(one) for one in value]
        )
    if isinstance(value, Rules):
        return [{field.name: getattr(rule, field.name) for field in fields(rule)} for rule in value]
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def written(name: str, value: Any) -> str:
    """The value of a valid setting, as the environment would have it; empty if it is not set."""
    found = plain(name, value)
    if found is None:
        return ""
    if isinstance(value, Rules):
        return orjson.dumps(found).decode()
    if isinstance(found, bool):
        return str(found).lower()
    if name == "nats_url" and not found:
        return NO_SERVERS
    text = ",".join(found) if isinstance(found, list) else str(found)
    # An environment may have bytes that are no text.
    return text.encode("utf-8", "backslashreplace").decode()


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{MASK}@{host}" if at else host).geturl()


def _without_query(key: str) -> str:
    """A file, or a URL whose login and query may be secrets."""
    return MASK if "@" in key or "?" in key else key


def _servers_or_so(value: object) -> str:
    text = _joined(value)
    if text is None or "@" in text:
        return MASK
    if not text:
        return "nothing"
    # "nats://user:secret" with the host forgotten: what should be a port is none.
    return repr(re.sub(r":(?!//|\d+(?:[/,]|$))[^,]*", f":{MASK}", text))


def _keys_or_so(value: object) -> str:
    text = _joined(value)
    if text is None:
        return MASK
    return repr(_without_query(text)) if text else "nothing"


def _rules_or_so(value: object) -> object:
    """In a file, what stands below a rule is the rule's, whatever it was meant to be."""
    if isinstance(value, list):
        return [_rules_or_so(entry) for entry in value]
    if isinstance(value, dict):
        return {name: one if name in _RULE_FIELDS else MASK for name, one in value.items()}
    return value


def _joined(value: object) -> str | None:
    """None if it is no text and no list of texts."""
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    return value if isinstance(value, str) else None
