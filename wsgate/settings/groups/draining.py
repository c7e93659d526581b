"""Settings of the end: when and how clients are sent elsewhere."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field

from wsgate.settings.words import UNLIMITED, above, zero_to

DRAIN_MAX_S: Final = 3600
AGE_MAX_S: Final = 30 * 86400
RECONNECTS_PER_S_MAX: Final = 1_000_000


class Draining(BaseModel):
    """The end"""

    ws_max_connection_age_s: Annotated[float, *zero_to(AGE_MAX_S, "seconds", zero=UNLIMITED)] = (
        Field(
            default=0.0,
            description="Clients that have been here so long, give or take a fifth, are sent"
            " elsewhere, so that new gateways get their share",
        )
    )
    ws_drain_delay_s: Annotated[float, *zero_to(DRAIN_MAX_S, "seconds")] = Field(
        default=10.0,
        description="After SIGTERM: how long to be unready, and to accept all the same, until the"
        " load balancer has noticed",
    )
    ws_drain_timeout_s: Annotated[
        float, *above(0, DRAIN_MAX_S, "seconds", named="WS_DRAIN_DELAY_S")
    ] = Field(default=60.0, description="How long after SIGTERM everything has to be over")
    ws_drain_reconnects_per_s: Annotated[float, *above(0, RECONNECTS_PER_S_MAX, "a number")] = (
        Field(
            default=1000.0,
            description="How many clients a second the other gateways can accept of those sent"
            " away",
        )
    )
