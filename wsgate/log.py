"""Logging: one event a line on standard output, by us and by the libraries alike.

``json`` is for machines: an event goes through orjson straight to bytes. ``text`` is for people.
What libraries say through the standard library's logging comes out in the same form.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, BinaryIO, Final, Literal, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "text"]

FIRST_KEYS: Final = ("timestamp", "level", "event")


def configure(level: LogLevel, format: LogFormat, output: BinaryIO | None = None) -> None:
    """From now on all logging of this process goes to ``output``, or standard output."""
    out = _Unbreakable(output if output is not None else sys.stdout.buffer)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_as_json() if format == "json" else _as_text(out)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, out)),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(number)


def _as_json() -> list[Processor]:
    return [structlog.processors.format_exc_info, _in_order, _to_json]


def _as_text(out: _Unbreakable) -> list[Processor]:
    console = structlog.dev.ConsoleRenderer(
        colors=out.isatty() and not os.environ.get("NO_COLOR"),
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [console, _to_bytes]


def _in_order(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The same three keys at the head of every line: people read JSON too."""
    head = {key: event.pop(key) for key in FIRST_KEYS if key in event}
    return {**head, **event}


def _to_json(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=repr)
    except orjson.JSONEncodeError:
        # A lone surrogate, a huge integer: rare, and no line may be lost for them.
        return json.dumps(event, default=repr, skipkeys=True).encode()


def _to_bytes(logger: WrappedLogger, method: str, line: Any) -> bytes:
    return str(line).encode("utf-8", "backslashreplace")


class _Bridge(logging.Handler):
    """Hands what comes through the standard library to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = max(logging.DEBUG, min(record.levelno // 10 * 10, logging.CRITICAL))
            structlog.get_logger().log(
                level, record.getMessage(), logger=record.name, exc_info=record.exc_info
            )
        except Exception:
            self.handleError(record)


class _Unbreakable:
    """An output whose reader may go away: then lines go nowhere, and whoever logs lives on."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output

    def isatty(self) -> bool:
        return self._output.isatty()

    def write(self, line: bytes) -> None:
        try:
            self._output.write(line)
        except (OSError, ValueError):
            pass

    def flush(self) -> None:
        try:
            self._output.flush()
        except (OSError, ValueError):
            pass
