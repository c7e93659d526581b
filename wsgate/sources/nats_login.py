"""Which NATS server to talk to, and as whom.

Secrets stay inside :class:`Login`, whose ``repr`` hides them: an :class:`Address` has none left in
it and may be logged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from nats.aio.client import RawCredentials

_SCHEMES = ("nats", "tls", "ws", "wss")
_PORT_DEFAULT = {"nats": ":4222", "tls": ":4222", "ws": "", "wss": ""}
_URL_FORM = "nats://[user:password@]host[:port], or tls://, ws:// or wss:// in place of nats://"

_JWT_MARK = "BEGIN NATS USER JWT"
_SEED_MARK = "BEGIN USER NKEY SEED"


class LoginError(Exception):
    """What is configured as the login cannot be used: says why, never shows a secret."""


@dataclass(frozen=True)
class Login:
    """One way to log in, or none. A creds file goes before a user, a user before a token."""

    creds_file: Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def options(self) -> dict[str, Any]:
        """As keyword arguments of nats-py's ``connect``; reads the creds file each time."""
        if self.creds_file is not None:
            return {"user_credentials": _read_creds(self.creds_file)}
        if self.user is not None:
            return {"user": self.user, "password": self.password or ""}
        return {} if self.token is None else {"token": self.token}


@dataclass(frozen=True)
class Address:
    """A server, and the login that its URL brought along, if it did."""

    url: str
    login: Login | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raise ValueError for what is not a server's URL, without repeating it.

        nats-py takes what stands before the ``@`` as it is; every other client, and the rules for
        URLs, take ``%40`` for an ``@``. So the login leaves the URL here and is decoded.
        """
        try:
            parts = urlsplit(text.strip() if "://" in text else f"nats://{text.strip()}")
            host_known = bool(parts.hostname) and parts.port != 0
        except ValueError:
            # From None: the message quotes the URL, and a password may be part of it.
            raise ValueError(f"not a server's URL; must be like {_URL_FORM}") from None
        if not host_known or parts.scheme not in _SCHEMES or parts.query or parts.fragment:
            raise ValueError(f"not a server's URL; must be like {_URL_FORM}")
        place = parts.netloc.rpartition("@")[2]
        if parts.port is None:
            place = place.rstrip(":") + _PORT_DEFAULT[parts.scheme]
        return cls(f"{parts.scheme}://{place}{parts.path.rstrip('/')}", _login_in(parts))

    def __str__(self) -> str:
        return self.url


def _login_in(parts: SplitResult) -> Login | None:
    if parts.username is None:
        return None
    if parts.password is None:
        return Login(token=unquote(parts.username))
    return Login(user=unquote(parts.username), password=unquote(parts.password))


def _read_creds(path: Path) -> RawCredentials:
    """A creds file's text, checked: nats-py loops for ever over a file that has no JWT in it."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise LoginError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LoginError(f"{path} is not a creds file: it is not even ASCII") from None
    for mark in (_JWT_MARK, _SEED_MARK):
        begin = next((i for i, line in enumerate(lines) if mark in line), len(lines))
        if not "".join(lines[begin + 1 : begin + 2]).strip():
            raise LoginError(f"{path} is not a creds file: nothing follows a line with {mark!r}")
    # Joined anew, since nats-py counts on line ends of one byte.
    return RawCredentials("\n".join(lines) + "\n")
