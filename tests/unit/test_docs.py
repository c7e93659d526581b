"""Links between documents lead somewhere, and what the README repeats is what it repeats."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from wsgate.protocol import SUBPROTOCOL
from wsgate.rules import DEFAULT_RULES
from wsgate.session import Session
from wsgate.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", without_code(document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text()))
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_readme_s_settings_are_real() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| (.+) \|$", README, re.MULTILINE)
    assert len(rows) == 8
    for name, default, text in rows:
        field = Settings.model_fields[name.lower()]
        value = field.default
        assert default == (",".join(value) if isinstance(value, tuple) else str(value))
        assert text == field.description


def test_the_readme_s_subscription_is_permitted() -> None:
    script = README.partition("```js\n")[2].partition("```")[0]
    assert f'"{SUBPROTOCOL}"' in script
    sent = script.partition("JSON.stringify(")[2].partition("));")[0]
    sent = re.sub(r"//.*", "", sent)
    command = re.sub(r",\s*}", "}", re.sub(r"(\w+):", r'"\1":', sent))
    decoded = Session().handle(command.encode())
    for channel in json.loads(command)["channels"]:
        assert DEFAULT_RULES.permits(channel)
    assert decoded is not None
    assert re.search(r'message\.type === "(\w+)"', script)[1] in {  # type: ignore[index]
        rule.type for rule in DEFAULT_RULES
    }


def test_every_library_has_its_reason() -> None:
    page = (ROOT / "docs" / "design" / "dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        needed += extra
    for group in project["dependency-groups"].values():
        needed += group
    for one in needed:
        name = re.split(r"[<>=!\[]", one)[0]
        assert re.search(rf"\b{re.escape(name)}\b", page), name


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {version}" in text
