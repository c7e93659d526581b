"""What a scrape looks at, as far as it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from wsgate.histogram import Histogram
from wsgate.hub import Hub
from wsgate.sources import Source


class Refuses(Protocol):
    """The upgrade, as far as it is counted here."""

    @property
    def refused(self) -> Mapping[str, int]: ...


class Accepts(Protocol):
    """The acceptor, as far as it is counted here."""

    @property
    def accepted(self) -> int: ...
    @property
    def restarts(self) -> int: ...


class Awaits(Protocol):
    """The handshakes under way, as far as they are counted here."""

    def __len__(self) -> int: ...
    @property
    def expired(self) -> int: ...
    @property
    def shed(self) -> int: ...
    @property
    def refused(self) -> Mapping[str, int]: ...
    @property
    def tls_failed(self) -> int: ...


class Encrypts(Protocol):
    """The certificate in use, as far as it is watched here."""

    @property
    def expires_s(self) -> float: ...
    @property
    def reloads(self) -> int: ...
    @property
    def failures(self) -> int: ...


class Authenticates(Protocol):
    """Who checks tokens, as far as it is counted here."""

    def snapshot(self) -> Mapping[str, int | float]: ...


class Stalled(Protocol):
    """What keeps the event loop, as far as it is measured here."""

    @property
    def lag(self) -> Histogram: ...
    @property
    def pauses(self) -> Sequence[Histogram]: ...


class Observed(Protocol):
    """What a scrape reads; ``wsgate.app.Gateway`` is one."""

    @property
    def hub(self) -> Hub: ...
    @property
    def upgrade(self) -> Refuses: ...
    @property
    def acceptor(self) -> Accepts: ...
    @property
    def handshakes(self) -> Awaits: ...
    @property
    def tls(self) -> Encrypts | None: ...
    @property
    def authenticator(self) -> Authenticates | None: ...
    @property
    def sources(self) -> Sequence[Source]: ...
    @property
    def stalls(self) -> Stalled: ...
