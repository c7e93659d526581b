"""Settings of what is logged, and how."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from wsgate.log import LogFormat, LogLevel
from wsgate.settings.parsers import lower
from wsgate.settings.words import Allowed


class Logs(BaseModel):
    """Logging"""

    log_level: Annotated[
        LogLevel, BeforeValidator(lower), Allowed("debug, info, warning or error")
    ] = Field(default="info", description="Least level that is logged")
    log_format: Annotated[LogFormat, BeforeValidator(lower), Allowed("json or text")] = Field(
        default="json", description="One JSON object a line, or text for people"
    )
