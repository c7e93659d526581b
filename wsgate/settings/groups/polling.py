"""Settings of a backend that is asked for what is new."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from wsgate.settings.parsers import (
    backend,
    bearer,
    channel_template,
    path_in_answer,
    path_to_member,
)
from wsgate.settings.words import BYTES, Allowed, above, whole

INTERVAL_MIN_MS: Final = 10
INTERVAL_MAX_MS: Final = 60_000
TIMEOUT_MAX_S: Final = 60
ANSWER_BYTES_MIN: Final = 1024
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
IDS_MAX: Final = 1_000_000

_PATH: Final[tuple[Any, ...]] = (
    AfterValidator(path_to_member),
    Allowed("names with dots between them, such as data.items"),
)


class Polling(BaseModel):
    """Polling a backend"""

    ws_poll_url: Annotated[
        Annotated[str, AfterValidator(backend)] | None,
        Allowed("http://host[:port]/path or https://..., without a login"),
    ] = Field(
        default=None,
        description="Where to ask the backend what is new, once for all workers; unset, nobody is"
        " asked",
        repr=False,
    )
    ws_poll_token: Annotated[
        Annotated[SecretStr, AfterValidator(bearer)] | None,
        Allowed("visible ASCII characters"),
    ] = Field(default=None, description="Sent to the backend, as Authorization: Bearer")
    ws_poll_interval_ms: Annotated[
        int, *whole(INTERVAL_MIN_MS, INTERVAL_MAX_MS, of=" of milliseconds")
    ] = Field(default=100, description="How often to ask, unless an answer takes longer")
    ws_poll_timeout_s: Annotated[float, *above(0, TIMEOUT_MAX_S, "seconds")] = Field(
        default=5.0,
        description="How long an answer may take; when a good one is so late, the feed is stale",
    )
    ws_poll_max_bytes: Annotated[int, *whole(ANSWER_BYTES_MIN, ANSWER_BYTES_MAX, of=BYTES)] = Field(
        default=4 * 1024 * 1024, description="A longer answer is not used"
    )
    ws_poll_max_ids: Annotated[int, *whole(1, IDS_MAX)] = Field(
        default=100_000,
        description="Items whose newest version is remembered; past it the longest unseen is"
        " forgotten",
    )
    ws_poll_items: Annotated[
        str,
        AfterValidator(path_in_answer),
        Allowed("names with dots between them, such as data.items; . is the whole answer"),
    ] = Field(default="items", description="Where in an answer the array of items is")
    ws_poll_id: Annotated[str, *_PATH] = Field(
        default="id", description="Where in an item its id is, text or a whole number"
    )
    ws_poll_version: Annotated[str, *_PATH] = Field(
        default="version",
        description="Where in an item its version is, a number or text that grows with each change",
    )
    ws_poll_cursor: Annotated[str, *_PATH] = Field(
        default="cursor", description="Where in an answer it says what to ask for next, as since="
    )
    ws_poll_channel: Annotated[
        str,
        AfterValidator(channel_template),
        Allowed("the name of a channel of which {id} is one token"),
    ] = Field(default="token.{id}.update", description="Channel of an item")
