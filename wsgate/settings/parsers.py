"""From what is written to what is meant: each takes what the environment or a file has.

ValueErrors say what is wrong, without what was written: that may be a secret, and is shown, or
masked, by whoever reports it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFSOCK, S_ISREG
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from orjson import JSONDecodeError
from pydantic import BeforeValidator, SecretStr

from wsgate.networks import TrustedNetworks
from wsgate.origins import Origins
from wsgate.protocol import is_channel, is_channel_or_pattern
from wsgate.raw_json import path_of
from wsgate.rules import Rules, overlaps

NO_SERVERS: Final = "none"

_KINDS: Final = {
    S_IFDIR: "a folder",
    S_IFIFO: "a pipe",
    S_IFSOCK: "a socket",
    S_IFCHR: "a device",
    S_IFBLK: "a device",
}
_LINKS: Final = ("tcp://", "udp://", "sctp://")
_VISIBLE: Final = re.compile(r"[!-~]+").fullmatch
_STREAM: Final = re.compile(r"[^\s.*>/\\]{1,255}").fullmatch
_STREAM_WORDS: Final = {"auto", "off"}


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def number(value: object) -> object:
    """To Python, and so to pydantic, true is 1."""
    if isinstance(value, bool):
        raise ValueError("it is no number")
    return value


def port_number(value: object) -> object:
    if isinstance(value, str) and value.startswith(_LINKS):
        raise ValueError(
            "that is where a container platform has a service of this name: have it set no such"
            " variables (in Kubernetes enableServiceLinks: false)"
        )
    return number(value)


def readable(path: Path) -> Path:
    """A path to a file that can be read."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("there is no such file") from None
    except OSError as error:  # a folder on the way is closed to us, the name is too long
        raise ValueError(f"the file cannot be looked at: {error.strerror}") from None
    if not S_ISREG(mode):  # of some of these nobody would get to the end
        raise ValueError(f"that is {_KINDS.get(S_IFMT(mode), 'something else')}, and no file")
    if not os.access(path, os.R_OK):
        raise ValueError("the file cannot be read")
    return path


def rules(value: object) -> object:
    if isinstance(value, Rules):
        return value
    if isinstance(value, dict):
        raise ValueError("that is one object and no array: in a file it is [[ws_rules]]")
    if not isinstance(value, str):
        return Rules.from_entries(value)
    try:
        return Rules.from_json(value)
    except JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def listed(
    check: Callable[[Sequence[str]], tuple[str, ...]], *, may_be_empty: bool = False
) -> BeforeValidator:
    """A list as the environment writes it, "a,b", or as a file and Python do."""

    def parse(value: object) -> object:
        if isinstance(value, str):
            value = [item.strip() for item in value.split(",") if item.strip()]
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise ValueError("it is no list of strings")
        if not value and not may_be_empty:
            raise ValueError("the list is empty")
        return check(value)

    return BeforeValidator(parse)


def servers(urls: Sequence[str]) -> tuple[str, ...]:
    """None at all if it says so."""
    if len(urls) == 1 and urls[0].lower() == NO_SERVERS:
        return ()
    for url in urls:
        if not _is_server(url):
            raise ValueError("not all in it are such URLs")
    return tuple(urls)


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(usable) and not (parts.path.strip("/") or parts.query or parts.fragment)


def backend(url: str) -> str:
    """The URL of a backend to ask."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.fragment or not _VISIBLE(url):
        raise ValueError("it is no such URL")
    if "@" in parts.netloc:
        raise ValueError("it has a login: take that out, and set WS_POLL_TOKEN")
    if any(name == "since" for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise ValueError("its query has since, which is where the cursor goes: take that out")
    return url


def bearer(token: SecretStr) -> SecretStr:
    """What can stand in a header after Bearer."""
    if not _VISIBLE(token.get_secret_value()):
        raise ValueError("it has characters that no header may have, or none at all")
    return token


def path_in_answer(text: str) -> str:
    path_of(text)
    return text


def path_to_member(text: str) -> str:
    if not path_of(text):
        raise ValueError("that is the whole, and none of its members")
    return text


def channel_template(text: str) -> str:
    tokens = text.split(".")
    if tokens.count("{id}") != 1:
        raise ValueError("{id} has to be one of its tokens, and one only")
    if not is_channel(text.replace("{id}", "x")):
        raise ValueError("with an id in its place it is no name of a channel")
    return text


def subjects(subjects: Sequence[str]) -> tuple[str, ...]:
    for place, subject in enumerate(subjects):
        if not is_channel_or_pattern(subject):
            raise ValueError(f"{subject!r} is not a NATS subject")
        for earlier in subjects[:place]:
            if overlaps(earlier, subject):
                # NATS would deliver what both match twice.
                raise ValueError(f"{earlier!r} and {subject!r} overlap")
    return tuple(subjects)


def prefix(text: str) -> str:
    """Whole tokens that names begin with; or nothing."""
    if text.endswith("."):
        raise ValueError("the dot at its end is not part of it: leave that out")
    if text and not is_channel(text):
        raise ValueError("it is not made of tokens of a NATS subject, without wildcards")
    return text


def streams(names: Sequence[str]) -> tuple[str, ...]:
    """Names of JetStream's streams, or one word that stands for them."""
    for name in names:
        if not _STREAM(name):
            raise ValueError(f"{name!r} is no name of a stream")
    if len(names) > 1 and not _STREAM_WORDS.isdisjoint(names):
        raise ValueError("auto and off stand alone")
    return tuple(names)


def origins(entries: Sequence[str]) -> tuple[str, ...]:
    Origins(entries)
    return tuple(entries)


def networks(entries: Sequence[str]) -> tuple[str, ...]:
    TrustedNetworks(entries)
    return tuple(entries)
