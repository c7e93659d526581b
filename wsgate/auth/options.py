"""What is asked of tokens: plain data, without what it takes to look at one."""

from __future__ import annotations

from dataclasses import dataclass

from wsgate.auth.limits import LEEWAY_MAX_S
from wsgate.auth.permissions import Permissions


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """What is asked of a token beyond a good signature.

    ``audience``: must be among the token's; None: the token must not be meant for anyone in
    particular (RFC 7519 §4.1.3). ``issuer``: None takes any whose key is in the set.
    ``leeway_s``: how far clocks may differ. ``channels_claim``: holds the patterns that the token
    permits; a token without it has ``permissions_default``.
    """

    permissions_default: Permissions
    audience: str | None = None
    issuer: str | None = None
    leeway_s: float = 10.0
    channels_claim: str = "channels"

    def __post_init__(self) -> None:
        if not 0 <= self.leeway_s <= LEEWAY_MAX_S:
            raise ValueError(f"leeway_s is {self.leeway_s:g}; allowed are 0 to {LEEWAY_MAX_S:g}")
        if not self.channels_claim:
            raise ValueError("channels_claim is empty; it must name a claim")
