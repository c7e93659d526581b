"""What ``wsgate check-config`` says, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wsgate.settings.advice import Advice
from wsgate.settings.model import Settings
from wsgate.settings.reading import ConfigError, Loaded
from wsgate.settings.shown import plain, written


def in_words(error: ConfigError) -> str:
    """What is wrong, and what may explain it, a line for each, without the first."""
    warnings = [f"warning: {one}" for one in error.warnings]
    return "".join(f"\n  {line}" for line in (*error.problems, *warnings))


def lines(loaded: Loaded) -> Iterator[str]:
    """Every setting with where it came from and its value, then the warnings."""
    names = list(Settings.model_fields)
    width = max(map(len, names))
    for name in names:
        value = written(name, getattr(loaded.settings, name))
        came_from = loaded.provenance.of(name)
        yield f"{name.upper():{width}}  {came_from:11}  {value}".rstrip()
    for one in loaded.warnings:
        yield f"warning: {one}"


def document(outcome: Loaded | ConfigError) -> dict[str, Any]:
    """The same as one JSON object. ``settings`` is null if any is wrong."""
    if isinstance(outcome, ConfigError):
        return _document(outcome.problems, outcome.warnings, None)
    settings = {
        name: {
            "value": plain(name, getattr(outcome.settings, name)),
            "from": outcome.provenance.of(name),
        }
        for name in Settings.model_fields
    }
    return _document((), outcome.warnings, settings)


def _document(
    problems: Sequence[str], warnings: Sequence[Advice], settings: dict[str, Any] | None
) -> dict[str, Any]:
    told = [{"event": one.event, **one.details} for one in warnings]
    return {"problems": list(problems), "warnings": told, "settings": settings}
