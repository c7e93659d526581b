"""Reading settings: the environment over a file over the defaults, checked whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from wsgate.settings import advice, file
from wsgate.settings.advice import Advice
from wsgate.settings.model import Settings
from wsgate.settings.problems import problems
from wsgate.settings.provenance import Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings that are right, and what else there is to say about them."""

    settings: Settings
    provenance: Provenance
    warnings: tuple[Advice, ...]

    def again(self) -> Loaded:
        """The same file, as it is now. ConfigError if anything is wrong."""
        return load(self.provenance.file)


class ConfigError(Exception):
    """Settings are wrong; ``problems`` has one line for each, ``warnings`` what may explain it."""

    def __init__(self, problems: Sequence[str], warnings: Sequence[Advice] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What environment and file say, unchecked; ``strangers`` are complaints about unknown keys."""

    values: dict[str, Any]
    provenance: Provenance
    strangers: list[str]


def given(path: Path | None = None) -> Given:
    """FileUnusable if the file cannot be read."""
    content = {} if path is None else file.read(path)
    in_file = {
        name: value
        for name, value in content.items()
        if name in Settings.model_fields and value != ""
    }
    in_environment: dict[str, Any] = EnvSettingsSource(Settings)()
    return Given(
        values={**in_file, **in_environment},
        provenance=Provenance(
            in_environment=in_environment.keys(), in_file=in_file.keys(), file=path
        ),
        strangers=[] if path is None else list(file.unknown_keys(path, content)),
    )


def load(path: Path | None = None) -> Loaded:
    """The settings of the environment, and of a file if there is one.

    ConfigError has all that is wrong with them. A file that cannot be read is all: without what it
    would say, what is right cannot be told from what is wrong.
    """
    of_names = tuple(advice.of_names(os.environ))
    try:
        found = given(path)
    except file.FileUnusable as error:
        raise ConfigError([str(error)], of_names) from None
    provenance = found.provenance
    try:
        settings = Settings(**found.values)
    except ValidationError as error:
        raise ConfigError([*found.strangers, *problems(error, provenance)], of_names) from None
    if found.strangers:
        raise ConfigError(found.strangers, of_names)
    warnings = (*of_names, *advice.of_values(settings, provenance))
    return Loaded(settings=settings, provenance=provenance, warnings=warnings)
