"""Where keys come from: given outright, files, or a URL.

An origin loads when it is told to. When that is, and what becomes of it when loading fails, is the
business of a ``KeySource``.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from wsgate.auth.keyset import KeySet, KeysUnusable, from_jwks, from_pem, from_secret
from wsgate.auth.limits import KeyLimits


class Origin(Protocol):
    """What a KeySource may ask of an origin."""

    @property
    def name(self) -> str:
        """Tells it from others in the log; no secret is in it."""
        ...

    def interval_s(self, limits: KeyLimits) -> float | None:
        """How long to wait before loading again; None if it never changes."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it may well be there later if it is not now: a start does not wait for it."""
        ...

    async def load(self, limits: KeyLimits) -> KeySet | None:
        """The keys; None if they are what they were the last time. Raises KeysUnusable."""
        ...


class Given:
    """Keys that are there from the start and stay: a secret or PEM text out of the settings."""

    def __init__(self, key_set: KeySet) -> None:
        self._key_set = key_set

    @property
    def name(self) -> str:
        return "settings"

    def interval_s(self, limits: KeyLimits) -> float | None:
        return None

    @property
    def remote(self) -> bool:
        return False

    async def load(self, limits: KeyLimits) -> KeySet | None:
        return self._key_set


class Files:
    """PEM files, or one JWKS file; read again when one of them changes.

    What is looked at is what a path leads to, so a link that is turned to another file, as
    orchestrators do with secrets, is a change.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        """Raise KeysUnusable if that is no choice of files."""
        self._paths = tuple(Path(path) for path in paths)
        self._seen: tuple[tuple[int, ...], ...] | None = None
        if not self._paths:
            raise KeysUnusable("no file is named")

    @property
    def name(self) -> str:
        return ", ".join(map(str, self._paths))

    def interval_s(self, limits: KeyLimits) -> float | None:
        return limits.file_check_interval_s

    @property
    def remote(self) -> bool:
        return False

    async def load(self, limits: KeyLimits) -> KeySet | None:
        # A few small local files, looked at every few seconds: not worth a thread.
        seen = tuple(_state(path) for path in self._paths)
        if seen == self._seen:
            return None
        sets = [_read(path, limits.document_bytes_max) for path in self._paths]
        key_set = KeySet(
            [key for one in sets for key in one.keys], sum(one.skipped for one in sets)
        )
        self._seen = seen
        return key_set


def _read(path: Path, bytes_max: int) -> KeySet:
    try:
        with path.open("rb") as file:
            document = file.read(bytes_max + 1)
    except OSError as error:
        raise KeysUnusable(f"cannot read {path}: {error.strerror}") from None
    if len(document) > bytes_max:
        raise KeysUnusable(f"{path} has more than {bytes_max} bytes")
    try:
        if document.lstrip()[:1] == b"{":
            return from_jwks(document, secrets_allowed=True)
        return from_pem(document.decode("ascii", "replace"))
    except KeysUnusable as error:
        raise KeysUnusable(f"{path}: {error}") from None


def origin(secret: str | None, names: Sequence[str]) -> Origin:
    """As settings have it: a secret, or files, or one URL. Raises KeysUnusable."""
    if secret is not None:
        return Given(from_secret(secret))
    if not names or not is_url(names[0]):
        return Files(names)
    # Only here: an HTTP client is 10 MB that every worker would have, and a fifth of its start.
    from wsgate.auth.jwks_url import JwksUrl

    return JwksUrl(names[0])


def is_url(text: str) -> bool:
    """Whether a setting names a JWKS behind a URL; else it is a file."""
    return text.strip().lower().startswith(("http://", "https://"))


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise KeysUnusable(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise KeysUnusable(f"{path} is not a file")
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
