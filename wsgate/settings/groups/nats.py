"""Settings of where publications come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr
from pydantic_settings import NoDecode

from wsgate.settings.parsers import listed, readable, servers, streams, subjects
from wsgate.settings.words import Allowed


class Nats(BaseModel):
    """NATS"""

    nats_url: Annotated[
        tuple[str, ...],
        NoDecode,
        listed(servers),
        Allowed(
            "a comma list of nats://host:port or tls://host:port; or none, with WS_POLL_URL or"
            " WS_PUBLISH_TOKEN"
        ),
    ] = Field(
        default=("nats://127.0.0.1:4222",),
        description="NATS servers; any one of them will do",
        repr=False,
    )
    nats_subjects: Annotated[
        tuple[str, ...],
        NoDecode,
        listed(subjects),
        Allowed("a comma list of NATS subjects, no two of which overlap"),
    ] = Field(
        default=("token.*.update", "token.*.comment", "global.>"),
        description="What to ask NATS for",
    )
    nats_jetstream: Annotated[
        tuple[str, ...],
        NoDecode,
        listed(streams),
        Allowed(
            "auto, off, or a comma list of streams, the first that keeps a subject going first"
        ),
    ] = Field(
        default=("auto",),
        description="Streams to take subjects from that they keep; auto: all there are",
    )
    nats_creds: Annotated[
        Annotated[Path, AfterValidator(readable)] | None,
        Allowed("a file that can be read, without NATS_USER and NATS_TOKEN"),
    ] = Field(default=None, description="Credentials file for NATS (JWT and seed)")
    nats_user: Annotated[str | None, Allowed("text, without NATS_CREDS and NATS_TOKEN")] = Field(
        default=None, description="User name for NATS"
    )
    nats_password: Annotated[SecretStr | None, Allowed("text, with NATS_USER")] = Field(
        default=None, description="Password for NATS"
    )
    nats_token: Annotated[SecretStr | None, Allowed("text, without NATS_CREDS and NATS_USER")] = (
        Field(default=None, description="Token for NATS")
    )
