"""Settings of the ports, and of the processes behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from wsgate.settings.certificates import certificate, private_key
from wsgate.settings.parsers import lower, number
from wsgate.settings.words import BYTES, UNLIMITED, Allowed, port, whole, zero_to

CORES_MAX: Final = 1024
MEMORY_BYTES_MAX: Final = 2**50
WORKERS_MAX: Final = 256


def _in_range(workers: int | Literal["auto"]) -> int | Literal["auto"]:
    if workers != "auto" and not 1 <= workers <= WORKERS_MAX:
        raise ValueError("it is out of range")
    return workers


class Listening(BaseModel):
    """Ports and processes"""

    ws_host: Annotated[
        str, Field(pattern=r"^[^\s/]+$"), Allowed("an address or host name to listen on")
    ] = Field(default="0.0.0.0", description="Address that both ports listen on")
    ws_port: Annotated[int, *port()] = Field(default=3002, description="Port for WebSocket clients")
    ws_tls_cert: Annotated[
        Annotated[Path, AfterValidator(certificate)] | None,
        Allowed("a PEM file that can be read, with WS_TLS_KEY"),
    ] = Field(
        default=None,
        description="Certificate and its chain (PEM) for WS_PORT, which then is TLS",
    )
    ws_tls_key: Annotated[
        Annotated[Path, AfterValidator(private_key)] | None,
        Allowed("a PEM file that can be read, with WS_TLS_CERT"),
    ] = Field(
        default=None,
        description="Private key (PEM, not encrypted) of WS_TLS_CERT",
    )
    ws_admin_port: Annotated[int, *port(", not WS_PORT's")] = Field(
        default=3003, description="Port for health and metrics; not for the public"
    )
    ws_workers: Annotated[
        int | Literal["auto"],
        BeforeValidator(number),
        BeforeValidator(lower),
        AfterValidator(_in_range),
        Allowed(f"auto, or a whole number, 1 to {WORKERS_MAX}"),
    ] = Field(default="auto", description="Processes that serve clients; auto: one for each core")
    ws_cpu_limit: Annotated[float, *zero_to(CORES_MAX, "cores", zero=UNLIMITED)] = Field(
        default=0.0,
        description="While all workers together use more CPU, new clients are refused with 503",
    )
    ws_memory_limit: Annotated[int, *whole(0, MEMORY_BYTES_MAX, of=BYTES, zero=UNLIMITED)] = Field(
        default=0,
        description="While all workers together have more memory, new clients are refused with 503",
    )
