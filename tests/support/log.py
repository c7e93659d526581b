"""What is logged, as dictionaries."""

from __future__ import annotations

from typing import Any

import structlog
from structlog.testing import LogCapture


class Log:
    """Hand ``logger`` to whatever logs."""

    def __init__(self) -> None:
        capture = LogCapture()
        self.entries: list[Any] = capture.entries
        self.logger = structlog.wrap_logger(structlog.ReturnLogger(), processors=[capture])

    def events(self) -> set[str]:
        return {entry["event"] for entry in self.entries}

    def of(self, event: str) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self.entries if entry["event"] == event]

    def errors(self, event: str) -> list[str]:
        return [entry["error"] for entry in self.of(event)]
