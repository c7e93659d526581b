"""Settings: what is wrong with them, and something to go on with all the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from wsgate.settings import Settings
from wsgate.settings.file import FileUnusable
from wsgate.settings.names import FILE_VARIABLE
from wsgate.settings.problems import problems
from wsgate.settings.reading import given
from wsgate.tools.doctor.finding import Finding, ok, problem, warning

TOPIC: Final = "settings"


@dataclass(frozen=True, slots=True)
class Understood:
    """``wrong`` has a line for each setting that is; ``defaulted`` are those left at defaults.

    The latter may be more: what a wrong one's default does not go with has to yield as well.
    """

    settings: Settings
    wrong: tuple[str, ...] = ()
    defaulted: frozenset[str] = frozenset()


def read() -> Understood:
    """The settings of environment and file, with defaults in place of what cannot be used."""
    path = os.environ.get(FILE_VARIABLE)
    try:
        found = given(Path(path) if path else None)
    except FileUnusable as error:
        found, unusable = given(), [str(error)]
    else:
        unusable = found.strangers
    try:
        return Understood(Settings(**found.values), tuple(unusable))
    except ValidationError as error:
        defaults = _defaults_that_mend(error, found.values)
        settings = Settings(**{**found.values, **defaults})
        wrong = (*unusable, *problems(error, found.provenance))
        return Understood(settings, wrong, frozenset(defaults))


def _defaults_that_mend(error: ValidationError, values: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    while True:
        wrong = _names(error)
        if wrong <= defaults.keys():
            wrong = {_culprit(values, defaults, wrong)}
        defaults |= {name: Settings.model_fields[name].default for name in wrong}
        try:
            Settings(**{**values, **defaults})
        except ValidationError as next_error:
            error = next_error
        else:
            return defaults


def _culprit(values: Mapping[str, Any], defaults: Mapping[str, Any], wrong: set[str]) -> str:
    """The setting whose default makes one of these right again."""
    for name, field in Settings.model_fields.items():
        if name not in defaults:
            try:
                Settings(**{**values, **defaults, name: field.default})
            except ValidationError as error:
                if wrong <= _names(error):
                    continue
            return name
    raise AssertionError(f"the defaults of {sorted(wrong)} are wrong by themselves")


def _names(error: ValidationError) -> set[str]:
    return {str(detail["loc"][0]) for detail in error.errors(include_url=False)}


def judge(
    wrong: Sequence[str],
    unknown: Sequence[tuple[str, str | None]],
    subjects_without_rule: Sequence[str],
) -> Iterator[Finding]:
    """``wrong`` as settings.problems has it; ``unknown``: variables, and what may be meant."""
    for line in wrong:
        name, _, rest = line.partition(": ")
        found, _, allowed = rest.rpartition("; allowed: ")
        yield problem(
            TOPIC,
            f"{name}: {found or rest}",
            expected=allowed or "a setting that there is",
            mend=f"another {name}",
        )
    for variable, meant in unknown:
        yield warning(
            TOPIC,
            f"{variable} is no setting, and is ignored",
            expected="a name of docs/configuration.md",
            mend=f"{meant} instead" if meant else f"unset {variable}",
        )
    for subject in subjects_without_rule:
        yield warning(
            TOPIC,
            f"NATS_SUBJECTS asks for {subject!r}, and no rule makes channels of it",
            expected="a rule for what is asked for",
            mend=f"a rule for it in WS_RULES, or NATS_SUBJECTS without {subject!r}",
        )
    if not wrong:
        yield ok(TOPIC, "all can be used")
