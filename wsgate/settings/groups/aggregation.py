"""Settings of ``wsgate aggregate``, which stands between backends and gateways."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from wsgate.limits import EVENTS_BYTES_MIN
from wsgate.settings.parsers import prefix
from wsgate.settings.words import BYTES, Allowed, whole

WINDOW_MS_MAX: Final = 60_000
BACKLOG_BYTES_MAX: Final = 1024 * 1024 * 1024


class Aggregation(BaseModel):
    """Aggregation of what backends publish"""

    # Above the other, so that what is wrong with both is said of that one, which has to be set.
    ws_aggregate_to: Annotated[
        str,
        AfterValidator(prefix),
        Allowed("tokens that all of NATS_SUBJECTS begin with, such as agg, or nothing"),
    ] = Field(
        default="", description="What channels begin with where raw subjects have WS_AGGREGATE_FROM"
    )
    ws_aggregate_from: Annotated[
        Annotated[str, AfterValidator(prefix)] | None,
        Allowed("tokens such as raw or part.0, so that no raw subject is one of NATS_SUBJECTS"),
    ] = Field(
        default=None,
        description="What the subjects begin with that wsgate aggregate reads; set, gateways tell"
        " their clients where it says that events are missing",
    )
    ws_aggregate_window_ms: Annotated[int, *whole(1, WINDOW_MS_MAX, of=" of milliseconds")] = Field(
        default=100,
        description="wsgate aggregate republishes a state channel at most once in so long",
    )
    ws_aggregate_max_backlog_bytes: Annotated[
        int, *whole(EVENTS_BYTES_MIN, BACKLOG_BYTES_MAX, of=BYTES)
    ] = Field(
        default=16 * 1024 * 1024,
        description="Events that wsgate aggregate holds while NATS takes none; past it they are"
        " dropped",
    )
