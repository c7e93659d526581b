"""The admin port of a running gateway: where the environment says it is, and what it answers.

Without pydantic and aiohttp, which take longer to import than a health check takes to run; a test
compares what is made of the settings here with what pydantic makes of them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, InvalidURL
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

# A test holds these to wsgate/settings/.
DEFAULTS: Final = {"WS_HOST": "0.0.0.0", "WS_ADMIN_PORT": "3003"}
# What is good to listen on and none to connect to, and what takes its place.
LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
PORT_MAX: Final = 65535

# As pydantic takes whole numbers: " +3_003.0 " is one.
_WHOLE = re.compile(r"\s*([+-]?)([0-9]+(?:_[0-9]+)*)(?:\.0+)?\s*").fullmatch


class AddressUnknown(ValueError):
    """Where the admin port is cannot be told: says which setting or option is wrong, and how."""


class Unreachable(Exception):
    """Nothing answers there as a gateway does: says where, and why."""


class Answer(NamedTuple):
    status: int
    body: bytes


class AdminPort(NamedTuple):
    host: str
    port: int

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> AdminPort:
        """That of the gateway whose settings these are. Raises AddressUnknown."""
        # As pydantic reads them: names in any case, and what is empty is not set.
        found = {name.upper(): value for name, value in environment.items() if value}
        path = environment.get("WS_CONFIG")  # which Typer reads: in this case only
        if path:
            found = {**_in_file(path), **found}
        host, port = (found.get(name, default) for name, default in DEFAULTS.items())
        return cls(LOOPBACK_OF.get(host, host), _port(port))

    @classmethod
    def of_url(cls, url: str) -> AdminPort:
        """Raises AddressUnknown for what is no such URL."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme != "http" or parts.path.strip("/"):
            raise AddressUnknown(f"--url: got {url!r}; expected is like http://127.0.0.1:3003")
        return cls(host, port or int(DEFAULTS["WS_ADMIN_PORT"]))

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def get(self, path: str, timeout_s: float) -> Answer:
        """What it answers, within ``timeout_s`` for each step. Raises Unreachable."""
        try:
            with closing(HTTPConnection(self.host, self.port, timeout=timeout_s)) as connection:
                connection.request("GET", path)
                response = connection.getresponse()
                return Answer(response.status, response.read(ANSWER_BYTES_MAX))
        except TimeoutError:
            why = f"no answer within {timeout_s:g} s"
        except OSError as error:
            why = error.strerror or str(error)
        except (ValueError, InvalidURL) as error:  # no name that anybody could look up
            why = f"there is no such host: {error}"
        except HTTPException as error:
            why = f"what answers does not speak HTTP ({type(error).__name__})"
        raise Unreachable(f"{self.url}{path}: {why}")


def _port(text: str) -> int:
    found = _WHOLE(text)
    digits = found[2].replace("_", "").lstrip("0") if found else ""
    if found and not digits:
        raise AddressUnknown(
            "WS_ADMIN_PORT is 0, any free port, and nobody can tell which; set a number"
        )
    if found is None or found[1] == "-" or len(digits) > 5 or int(digits) > PORT_MAX:
        raise AddressUnknown(f"WS_ADMIN_PORT: got {text!r}; expected is a port, 1 to {PORT_MAX}")
    return int(digits)


def _in_file(path: str) -> dict[str, str]:
    """What of it is in the file of settings; an empty text there is not set."""
    file = Path(path)
    try:
        if not file.is_file() and file.exists():
            raise ValueError("it is no regular file")  # of a FIFO nobody would get to the end
        content = tomllib.loads(file.read_bytes().decode())
    except (OSError, ValueError, RecursionError) as error:
        raise AddressUnknown(f"WS_CONFIG: {path} cannot be read: {error}") from None
    return {name.upper(): str(value) for name, value in content.items() if value != ""}
