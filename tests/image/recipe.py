"""What a Dockerfile says, as steps that can be performed one after the other.

The parser is BuildKit's own. What it finds and nothing here performs is refused: a step that was
skipped in silence would be a check that cannot fail.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import dockerfile

SHELL = ("/bin/sh", "-c")
HEALTH_FLAGS = {"interval", "timeout", "start-period", "retries"}
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class NotUnderstood(Exception):
    """The Dockerfile says something that is not performed here; the text has the line."""


@dataclass(frozen=True)
class Health:
    """Of ``HEALTHCHECK``: a command without a shell, and how it is asked, in seconds."""

    command: tuple[str, ...]
    flags: Mapping[str, str]

    def seconds(self, name: str) -> float:
        text = self.flags[name]
        return float(text[:-1]) * SECONDS[text[-1]]


@dataclass
class Settings:
    """What a stage has been told so far: at its end, what the image is told."""

    environment: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: Health | None = None
    stop_signal: str = "SIGTERM"
    ports: tuple[int, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    text: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str


@dataclass(frozen=True)
class Copy:
    """Of the context, or of the stage ``origin``; ``target`` is absolute."""

    text: str
    sources: tuple[str, ...]
    target: str
    into: bool
    origin: str | None


@dataclass(frozen=True)
class Workdir:
    text: str
    directory: str


Step = Run | Copy | Workdir


@dataclass
class Stage:
    name: str
    base: str
    settings: Settings
    steps: list[Step] = field(default_factory=list)


def read(path: Path, base_environment: Mapping[str, str]) -> list[Stage]:
    """The stages of a Dockerfile, in order; the last one is the image.

    ``base_environment`` is what images to build on come with. Raises NotUnderstood.
    """
    try:
        commands = dockerfile.parse_file(str(path))
    except dockerfile.GoParseError as error:
        raise NotUnderstood(f"{path.name}: {error}") from None
    reader = _Reader(path.name, base_environment)
    for command in commands:
        reader.take(command)
    if not reader.stages:
        raise NotUnderstood(f"{path.name}: there is no FROM in it")
    return reader.stages


class _Reader:
    def __init__(self, name: str, base_environment: Mapping[str, str]) -> None:
        self.stages: list[Stage] = []
        self._name = name
        self._base_environment = base_environment
        self._arguments: dict[str, str] = {}
        self._line = 0

    def take(self, command: Any) -> None:
        self._line = command.start_line
        name = command.cmd.upper()
        method = getattr(self, f"_take_{name.lower()}", None)
        if method is None:
            raise self._trouble(f"{name} is not performed here")
        if command.heredocs:
            raise self._trouble("here-documents are not performed here")
        if not self.stages and name not in ("ARG", "FROM"):
            raise self._trouble(f"{name} stands before the first FROM")
        try:
            method(command)
        except ValueError:  # of too few words or too many, or one that is no number
            raise self._trouble(f"{name} is not performed as it stands here") from None

    # one for each command

    def _take_arg(self, command: Any) -> None:
        if self.stages:
            raise self._trouble("ARG is performed before the first FROM only")
        for one in command.value:
            name, given, default = one.partition("=")
            if not given:
                raise self._trouble(f"ARG {name} has no default, and nobody here to give a value")
            self._arguments[name] = self._words([default], self._arguments)[0]

    def _take_from(self, command: Any) -> None:
        self._flags(command, ())
        base, *rest = self._words(command.value, self._arguments)
        if rest and (len(rest) != 2 or rest[0].upper() != "AS"):
            raise self._trouble("FROM is followed by an image and, if wanted, AS and a name")
        if base in self._names():
            raise self._trouble("a stage from another stage is not performed here")
        name = rest[1] if rest else str(len(self.stages))
        self.stages.append(Stage(name, base, Settings(dict(self._base_environment))))

    def _take_run(self, command: Any) -> None:
        self._flags(command, ())
        settings = self.stages[-1].settings
        if settings.user.partition(":")[0] not in ("0", "root"):
            raise self._trouble("RUN is performed by root only: put it before USER")
        self._add(
            Run(
                self._text(command),
                self._command(command),
                dict(settings.environment),
                settings.directory,
            )
        )

    def _take_copy(self, command: Any) -> None:
        flags = self._flags(command, ("from",))
        *sources, target = self._words(command.value)
        origin = flags.get("from")
        if origin is not None and origin not in self._names():
            raise self._trouble(f"there is no stage {origin!r} above")
        place = PurePosixPath(self.stages[-1].settings.directory, target)
        into = target.endswith("/") or PurePosixPath(target).name in ("", ".", "..")
        if len(sources) > 1 and not into:
            raise self._trouble("several files can only go into a folder, which ends in /")
        self._add(Copy(self._text(command), tuple(sources), str(place), into, origin))

    def _take_workdir(self, command: Any) -> None:
        (directory,) = self._words(command.value)
        settings = self.stages[-1].settings
        settings.directory = str(PurePosixPath(settings.directory, directory))
        self._add(Workdir(self._text(command), settings.directory))

    def _take_env(self, command: Any) -> None:
        environment = self.stages[-1].settings.environment
        environment.update(self._pairs(command, dict(environment)))

    def _take_label(self, command: Any) -> None:
        self.stages[-1].settings.labels.update(self._pairs(command))

    def _take_user(self, command: Any) -> None:
        (self.stages[-1].settings.user,) = self._words(command.value)

    def _take_expose(self, command: Any) -> None:
        ports = tuple(int(one.removesuffix("/tcp")) for one in self._words(command.value))
        self.stages[-1].settings.ports += ports

    def _take_stopsignal(self, command: Any) -> None:
        (self.stages[-1].settings.stop_signal,) = self._words(command.value)

    def _take_healthcheck(self, command: Any) -> None:
        flags = self._flags(command, HEALTH_FLAGS)
        kind, *words = command.value
        if kind != "CMD" or not command.json:
            raise self._trouble('HEALTHCHECK is performed as CMD ["program", ...] only')
        self.stages[-1].settings.health = Health(tuple(words), flags)

    def _take_entrypoint(self, command: Any) -> None:
        self.stages[-1].settings.entrypoint = self._command(command)

    def _take_cmd(self, command: Any) -> None:
        self.stages[-1].settings.command = self._command(command)

    # what they consist of

    def _add(self, step: Step) -> None:
        self.stages[-1].steps.append(step)

    def _names(self) -> set[str]:
        return {stage.name for stage in self.stages}

    def _text(self, command: Any) -> str:
        return f"{command.cmd.upper()} {' '.join([*command.flags, *command.value])}"

    def _command(self, command: Any) -> tuple[str, ...]:
        return tuple(command.value) if command.json else (*SHELL, command.value[0])

    def _flags(self, command: Any, known: Iterable[str]) -> dict[str, str]:
        flags = {}
        for flag in command.flags:
            name, _, value = flag.removeprefix("--").partition("=")
            if name not in known:
                raise self._trouble(f"{flag} is not performed here")
            flags[name] = value
        return flags

    def _pairs(self, command: Any, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        words = self._words(command.value, variables)
        return dict(zip(words[::2], words[1::2], strict=True))

    def _words(self, words: Iterable[str], variables: Mapping[str, str] | None = None) -> list[str]:
        """Without their quotes, and with variables for which there must be a value."""
        if variables is None:
            variables = self.stages[-1].settings.environment
        return [self._word(word, variables) for word in words]

    def _word(self, word: str, variables: Mapping[str, str]) -> str:
        if re.search(r"\\|'|\$\{\w+[^\w}]", word):
            raise self._trouble(
                f'{word!r}: of quotes only ", of variables only $NAME and ${{NAME}}'
            )
        try:
            return string.Template(word.replace('"', "")).substitute(variables)
        except KeyError as missing:
            raise self._trouble(f"{word!r}: the variable {missing} has no value") from None

    def _trouble(self, text: str) -> NotUnderstood:
        return NotUnderstood(f"{self._name}, line {self._line}: {text}")
