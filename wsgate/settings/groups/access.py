"""Settings of who may connect, and with what."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from wsgate.auth.limits import LEEWAY_MAX_S, SECRET_BYTES_MIN, TICKET_TTL_MAX_S
from wsgate.origins import ALLOWED_TEXT as ORIGINS_ALLOWED
from wsgate.settings.parsers import listed, lower, origins
from wsgate.settings.words import Allowed, above, zero_to

AUTH_TIMEOUT_MAX_S: Final = 300


def _long_enough(secret: SecretStr) -> SecretStr:
    try:
        length = len(secret.get_secret_value().encode())
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8") from None
    if length < SECRET_BYTES_MIN:
        raise ValueError(
            f"it has fewer than {SECRET_BYTES_MIN} bytes (openssl rand -hex {SECRET_BYTES_MIN}"
            " makes a good one)"
        )
    return secret


class Access(BaseModel):
    """Who may connect"""

    ws_auth: Annotated[Literal["none", "jwt"], BeforeValidator(lower), Allowed("none or jwt")] = (
        Field(
            default="none",
            description="Who may connect and subscribe; none: anybody, to all that rules allow",
        )
    )
    ws_jwt_secret: Annotated[
        Annotated[SecretStr, AfterValidator(_long_enough)] | None,
        Allowed(
            f"text of at least {SECRET_BYTES_MIN} bytes, with WS_AUTH=jwt, without WS_JWT_KEYS"
        ),
    ] = Field(default=None, description="Secret that tokens are signed with, for HS256")
    ws_jwt_keys: Annotated[
        tuple[str, ...],
        NoDecode,
        listed(tuple, may_be_empty=True),
        Allowed("PEM files or a JWKS file, or the http or https URL of a JWKS; with WS_AUTH=jwt"),
    ] = Field(
        default=(),
        description="Public keys of those who sign tokens, for RS256, ES256 and EdDSA",
        repr=False,
    )
    ws_jwt_audience: Annotated[str | None, Allowed("text")] = Field(
        default=None,
        description="Must be among a token's aud; unset, a token may not name any",
    )
    ws_jwt_issuer: Annotated[str | None, Allowed("text")] = Field(
        default=None, description="Must be a token's iss; unset, any will do"
    )
    ws_jwt_leeway_s: Annotated[float, *zero_to(LEEWAY_MAX_S, "seconds")] = Field(
        default=10.0, description="How far the clocks of issuers and gateway may differ"
    )
    ws_jwt_channels_claim: Annotated[str, Field(min_length=1), Allowed("the name of a claim")] = (
        Field(
            default="channels", description="Claim with the patterns that a token permits, an array"
        )
    )
    ws_jwt_channels_default: Annotated[
        Literal["all", "none"], BeforeValidator(lower), Allowed("all or none")
    ] = Field(
        default="all",
        description="What a token without that claim permits: all that rules allow, or nothing",
    )
    ws_auth_timeout_s: Annotated[float, *above(0, AUTH_TIMEOUT_MAX_S, "seconds")] = Field(
        default=10.0,
        description="How long a client may take to send its token after the upgrade",
    )
    ws_ticket_ttl_s: Annotated[float, *above(0, TICKET_TTL_MAX_S, "seconds")] = Field(
        default=30.0, description="How long a ticket may be used, once, in place of a token"
    )
    ws_allowed_origins: Annotated[
        tuple[str, ...], NoDecode, listed(origins), Allowed(ORIGINS_ALLOWED)
    ] = Field(
        default=("*",), description="Pages of which sites may connect; others are refused with 403"
    )
