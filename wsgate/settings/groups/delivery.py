"""Settings of what is delivered, and how."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from wsgate.rules import DEFAULT_RULES, Rules
from wsgate.settings.parsers import lower, number, rules
from wsgate.settings.words import UNLIMITED, Allowed, whole

FLUSH_WINDOW_MS_MAX: Final = 10_000
RATE_MAX: Final = 10_000_000


def _in_range(window_ms: int | Literal["auto"]) -> int | Literal["auto"]:
    if window_ms != "auto" and not 0 <= window_ms <= FLUSH_WINDOW_MS_MAX:
        raise ValueError("it is out of range")
    return window_ms


class Delivery(BaseModel):
    """What is delivered, and how"""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    ws_flush_window_ms: Annotated[
        int | Literal["auto"],
        BeforeValidator(number),
        BeforeValidator(lower),
        AfterValidator(_in_range),
        Allowed(f"auto, or a whole number of milliseconds, 0 to {FLUSH_WINDOW_MS_MAX}"),
    ] = Field(
        default=0,
        description="How long publications are gathered before they are written; auto: by load",
    )
    ws_deflate: Annotated[bool, Allowed("true or false")] = Field(
        default=True,
        description="Whether publications are compressed, once, for clients that can inflate them",
    )
    ws_delta: Annotated[bool, Allowed("true or false")] = Field(
        default=True,
        description="Whether clients may have publications as differences, with wsgate.delta.v1",
    )
    ws_max_nats_rate: Annotated[int, *whole(0, RATE_MAX, zero=UNLIMITED)] = Field(
        default=0,
        description="Publications taken a second; past it state is conflated, events are dropped",
    )
    ws_max_broadcast_rate: Annotated[int, *whole(0, RATE_MAX, zero=UNLIMITED)] = Field(
        default=0,
        description="The same, counting only publications that somebody is subscribed to",
    )
    ws_rules: Annotated[
        Rules,
        NoDecode,
        BeforeValidator(rules),
        Allowed(
            "an array of objects with subject, type, kind and, if wanted, overflow; in the"
            " environment as JSON"
        ),
    ] = Field(
        default=DEFAULT_RULES,
        description="Which channels there are, and how each is treated",
        repr=False,
    )
