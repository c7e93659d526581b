"""What is written about settings, by hand and by ``wsgate config``, is what they are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.settings import only_environment
from wsgate.rules import DEFAULT_RULES, Rules
from wsgate.settings import Settings, report
from wsgate.settings.names import FILE_VARIABLE, GO_ONLY
from wsgate.settings.pages import example, table
from wsgate.settings.reading import ConfigError, load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Examples of what is none: what platforms set, and a mistake.
NO_SETTINGS = {"NATS_PORT_4222_TCP", "WS_JWT_SECRE"}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    only_environment(monkeypatch)


def test_the_manual_has_the_table() -> None:
    lines = PAGE.splitlines()
    rows = list(table())
    start = lines.index(rows[0])
    assert lines[start : start + len(rows) + 1] == [*rows, ""], "see `wsgate config docs`"
    assert len(rows) == 2 + len(Settings.model_fields)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_only_settings_that_there_are(document: Path) -> None:
    there = {name.upper() for name in Settings.model_fields} | {FILE_VARIABLE} | GO_ONLY
    named = set(re.findall(r"\b(?:WS|NATS|LOG)_[A-Z0-9_]+(?:\.\.\.)?", document.read_text()))
    for name in named - there - NO_SETTINGS:
        beginning = name.removesuffix("...")
        assert name != beginning and any(one.startswith(beginning) for one in there), name


def test_the_manual_shows_the_default_rules() -> None:
    shown = PAGE[PAGE.index("```json\n") + len("```json\n") :].partition("```")[0]
    assert list(Rules.from_json(shown)) == list(DEFAULT_RULES)


def test_the_manual_s_file_is_right(tmp_path: Path) -> None:
    shown = PAGE[PAGE.index("```toml\n") + len("```toml\n") :].partition("```")[0]
    path = tmp_path / "wsgate.toml"
    path.write_text(shown)
    loaded = load(path)
    assert loaded.warnings == ()
    for name in tomllib.loads(shown):
        default = Settings.model_fields[name].default
        assert getattr(loaded.settings, name) != default, f"{name} shows nothing"


def test_the_manual_shows_what_a_mistake_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    only_environment(monkeypatch, WS_PORT="70000", NATS_SUBJECTS="token.>,token.*.update")
    with pytest.raises(ConfigError) as caught:
        load()
    for line in caught.value.problems:
        assert f"\n  {line}\n" in PAGE


def test_the_manual_shows_what_check_config_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "wsgate.toml"
    path.write_text("nats_user = 'u'\nnats_password = 'p'")
    only_environment(monkeypatch, WS_PORT="4002")
    shown = PAGE[PAGE.index("wsgate check-config --config") :].partition("```")[0].splitlines()[1:]
    expected = [line for line in shown if line != "..."]
    assert len(expected) == 3
    assert not set(expected) - set(report.lines(load(path)))


def test_the_example_changes_nothing_and_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list(example())
    assert not [line for line in lines if line and not line.startswith("#")]
    settings = [line.removeprefix("# ") for line in lines if re.match(r"# [A-Z_]+=", line)]
    variables = dict(line.split("=", 1) for line in settings)
    assert [name.lower() for name in variables] == list(Settings.model_fields)
    only_environment(monkeypatch, **variables)
    loaded = load()
    assert list(loaded.settings.ws_rules) == list(DEFAULT_RULES)
    for name, field in Settings.model_fields.items():
        assert name == "ws_rules" or getattr(loaded.settings, name) == field.default
        empty = field.default in (None, (), "")
        assert loaded.provenance.of(name) == ("default" if empty else "environment")
