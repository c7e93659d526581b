"""Settings of the door for publications on the admin port."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from wsgate.settings.parsers import bearer
from wsgate.settings.words import Allowed

TOKEN_CHARACTERS_MIN: Final = 16


def _long_enough(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < TOKEN_CHARACTERS_MIN:
        raise ValueError(
            f"it has fewer than {TOKEN_CHARACTERS_MIN} characters (openssl rand -hex"
            f" {TOKEN_CHARACTERS_MIN} makes a good one)"
        )
    return token


class Publishing(BaseModel):
    """Publishing over HTTP"""

    ws_publish_token: Annotated[
        Annotated[SecretStr, AfterValidator(bearer), AfterValidator(_long_enough)] | None,
        Allowed(f"at least {TOKEN_CHARACTERS_MIN} visible ASCII characters"),
    ] = Field(
        default=None,
        description="Token for POST /publish on WS_ADMIN_PORT; unset, nobody may publish there",
    )
