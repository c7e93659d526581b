"""What is wrong with settings, a line for each: what was got, from where, and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from wsgate.settings.model import Settings
from wsgate.settings.names import hint
from wsgate.settings.provenance import Provenance
from wsgate.settings.shown import got
from wsgate.settings.words import allowed


def problems(error: ValidationError, provenance: Provenance | None = None) -> list[str]:
    """One line for each setting, in their order; without provenance, they do not say where from."""
    found: dict[str, Mapping[str, Any]] = {}
    for detail in error.errors(include_url=False):
        # Of a setting that may be of several kinds, pydantic says for each why it is not of that.
        found.setdefault(str(detail["loc"][0]), detail)
    return [_problem(name, detail, provenance) for name, detail in found.items()]


def _problem(name: str, detail: Mapping[str, Any], provenance: Provenance | None) -> str:
    field = Settings.model_fields.get(name)
    if field is None:
        return f"{name.upper()}: there is no such setting{hint(name.upper())}"
    value = got(name, detail["input"])
    where = f" {provenance.in_words(name)}" if provenance else ""
    reason = f", but {detail['ctx']['error']}" if detail["type"] == "value_error" else ""
    # Some reasons say already what is allowed in the place that they are about.
    rest = "" if "; allowed " in reason else f"; allowed: {allowed(field)}"
    return f"{name.upper()}: got {value}{where}{reason}{rest}"
