"""Settings of what one client may ask, and what may be owed to it."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, Field

from wsgate.limits import EVENTS_BYTES_MIN
from wsgate.protocol import COMMAND_BYTES_MAX, CONNECTION_SUBSCRIPTIONS_MAX
from wsgate.settings.parsers import number
from wsgate.settings.words import BYTES, UNLIMITED, Allowed, whole

MESSAGE_BYTES_MIN: Final = 1024
FRAGMENTS_MAX: Final = 65_536
RATE_MAX: Final = 1_000_000
CHANNELS_MAX: Final = 10_000_000
EVENTS_BYTES_MAX: Final = 64 * 1024 * 1024


class Clients(BaseModel):
    """What clients may ask, and be owed"""

    ws_max_message_bytes: Annotated[int, *whole(MESSAGE_BYTES_MIN, COMMAND_BYTES_MAX, of=BYTES)] = (
        Field(
            default=COMMAND_BYTES_MAX,
            description="A client that sends a longer message, as it comes or inflated, is closed"
            " with 1009",
        )
    )
    ws_max_fragments: Annotated[int, *whole(1, FRAGMENTS_MAX)] = Field(
        default=64, description="A client that cuts a message into more is closed with 1009"
    )
    ws_max_commands_per_s: Annotated[int, *whole(0, RATE_MAX, zero=UNLIMITED)] = Field(
        default=20,
        description="A client that sends more, after 10 s' worth at once, is closed with 4504",
    )
    ws_max_pings_per_s: Annotated[int, *whole(0, RATE_MAX, zero=UNLIMITED)] = Field(
        default=5,
        description="A client that sends more ping frames, after 4 s' worth at once, is closed"
        " with 4504",
    )
    ws_max_subscriptions: Annotated[int, *whole(1, CONNECTION_SUBSCRIPTIONS_MAX)] = Field(
        default=CONNECTION_SUBSCRIPTIONS_MAX,
        description="Subscriptions of one client; those past it have an error in the reply",
    )
    ws_max_channels: Annotated[int, *whole(1, CHANNELS_MAX)] = Field(
        default=100_000,
        description="Channels that are remembered; past it the longest unused is forgotten",
    )
    ws_max_backlog_bytes: Annotated[
        int,
        Field(ge=EVENTS_BYTES_MIN, le=EVENTS_BYTES_MAX),
        BeforeValidator(number),
        Allowed(
            f"a whole number of bytes, {EVENTS_BYTES_MIN} (the largest publication has to fit) to"
            f" {EVENTS_BYTES_MAX}"
        ),
    ] = Field(
        default=1024 * 1024, description="Events owed to one client; past it its rule's overflow"
    )
