"""What is written about settings for users: the table of the manual, and an example."""

from __future__ import annotations

from collections.abc import Iterator

from wsgate.rules import Rules
from wsgate.settings.groups import GROUPS
from wsgate.settings.model import Settings
from wsgate.settings.shown import written
from wsgate.settings.words import allowed

TABLE_HEAD = ("| name | default | allowed | what it does |", "|---|---|---|---|")


def table() -> Iterator[str]:
    """The lines of docs/configuration.md's table."""
    yield from TABLE_HEAD
    for name, field in Settings.model_fields.items():
        default = written(name, field.default)
        if isinstance(field.default, Rules):
            shown = "[below](#rules)"
        else:
            shown = f"`{default}`" if default else ""
        yield f"| `{name.upper()}` | {shown} | {allowed(field)} | {field.description} |"


def example() -> Iterator[str]:
    """The lines of an example of a .env file, in which all is as it is without."""
    yield "# Settings of wsgate. Each line that is commented out has the default."
    yield "# wsgate reads its environment, and no .env file: hand this over with docker's"
    yield "# --env-file, systemd's EnvironmentFile= or the like."
    for group in GROUPS:
        assert group.__doc__ is not None
        yield ""
        yield f"## {group.__doc__.splitlines()[0]}"
        for name, field in group.model_fields.items():
            yield ""
            yield f"# {field.description}."
            yield f"# Allowed: {allowed(field)}."
            yield f"# {name.upper()}={written(name, field.default)}"
