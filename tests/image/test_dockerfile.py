"""What the Dockerfile says of the project is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("dockerfile", reason="it has no wheel for this platform")

from typer.main import get_command

from tests.image import base, recipe
from wsgate.cli import app
from wsgate.settings import Settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STAGES = recipe.read(ROOT / "Dockerfile", base.ENVIRONMENT)
IMAGE = STAGES[-1].settings


def test_it_is_built_on_the_python_that_it_runs_on() -> None:
    assert len({base.python_named(stage.base) for stage in STAGES}) == 1
    assert [base.is_slim(stage.base) for stage in STAGES] == [False, True]


def test_its_python_is_one_that_the_project_is_for() -> None:
    version = base.python_named(STAGES[-1].base)
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    # A minor version follows its patch releases: none of those shut out may be among them.
    assert f"!={version}." not in PROJECT["requires-python"]


def test_its_labels_are_the_project_s() -> None:
    labels = {name.rpartition(".")[2]: value for name, value in IMAGE.labels.items()}
    assert labels["title"] == PROJECT["name"]
    assert labels["description"] == PROJECT["description"]
    assert labels["version"] == PROJECT["version"]
    assert labels["licenses"] == PROJECT["license"]


def test_it_exposes_the_ports_that_are_the_defaults() -> None:
    fields = Settings.model_fields
    assert IMAGE.ports == (fields["ws_port"].default, fields["ws_admin_port"].default)


def test_its_user_is_a_number_and_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", IMAGE.user)


def test_it_stops_as_the_gateway_is_stopped() -> None:
    assert IMAGE.stop_signal == "SIGTERM"


def commands() -> set[str]:
    return set(getattr(get_command(app), "commands", {}))


def test_it_runs_a_command_that_there_is() -> None:
    assert IMAGE.entrypoint == ("wsgate",)
    (command,) = IMAGE.command
    assert command in commands()


def test_it_asks_for_its_health_by_a_command_that_there_is() -> None:
    assert IMAGE.health is not None
    program, command = IMAGE.health.command
    assert program == "wsgate"
    assert command in commands()


def test_its_final_stage_installs_nothing() -> None:
    """What has to be fetched is fetched where the image is built, and left there."""
    runs = [step.text for step in STAGES[-1].steps if isinstance(step, recipe.Run)]
    assert not [text for text in runs if re.search(r"\b(apt|apt-get|pip|curl|wget)\b", text)]
