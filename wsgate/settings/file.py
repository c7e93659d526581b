"""The file of settings: TOML, of which every key is the name of a setting in lower case."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsgate.settings.model import Settings
from wsgate.settings.names import FILE_VARIABLE, GO_ONLY, hint
from wsgate.settings.parsers import readable

# What tomllib says, but for what it leaves to Python.
_MESSAGE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


class FileUnusable(Exception):
    """The file cannot be had, or is no TOML; then it says where, as ``path:line:column``."""


def read(path: Path) -> dict[str, Any]:
    """What the file says, key by key; FileUnusable if it says nothing that can be read."""
    try:
        content = readable(path).read_bytes()
    except ValueError as error:
        raise FileUnusable(_not_there(path, str(error))) from None
    except OSError as error:
        raise FileUnusable(_not_there(path, f"it cannot be read: {error.strerror}")) from None
    return parse(path, content)


def parse(path: Path, content: bytes) -> dict[str, Any]:
    """The same of a file that was read already."""
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        place = _place_after(content[: error.start])
        raise FileUnusable(f"{path}:{place}: it is not UTF-8, which TOML is") from None
    except (ValueError, RecursionError) as error:  # not all that it raises is a TOMLDecodeError
        raise FileUnusable(_not_toml(path, str(error), content)) from None


def _not_there(path: Path, reason: str) -> str:
    return f"{FILE_VARIABLE} or --config: got {str(path)!r}, but {reason}; allowed: a TOML file"


def _not_toml(path: Path, text: str, content: bytes) -> str:
    found = _MESSAGE.fullmatch(text)
    if found is None:
        return f"{path}: it is not TOML: {text}"
    place = f"{found[2]}:{found[3]}" if found[2] else _place_after(content)
    return f"{path}:{place}: it is not TOML: {found[1]}"


def _place_after(content: bytes) -> str:
    lines = content.split(b"\n")
    return f"{len(lines)}:{len(lines[-1]) + 1}"


def unknown_keys(path: Path, content: dict[str, Any]) -> Iterator[str]:
    """What in the file is no setting, a line for each; no values, since one may be a secret."""
    for key, value in content.items():
        if key in Settings.model_fields:
            continue
        if isinstance(value, dict):
            more = ": a file of settings has no sections but [[ws_rules]]"
        elif key.upper() in GO_ONLY:
            more = ": only the gateway in Go had it"
        elif key.lower() in Settings.model_fields:
            more = f": in a file it is {key.lower()}"
        else:
            more = hint(key)
        yield f"{key}: {path} has it, but there is no such setting{more}"
