"""Every compiled module has a stub, and each tells the other's public names."""

from __future__ import annotations

import ast
import importlib
import types
from pathlib import Path

import pytest

import wsgate

PACKAGE = Path(wsgate.__file__).parent
SOURCES = PACKAGE.parent / "ext" / "wsgate"
MODULES = sorted(
    f"{folder}.{stub.stem}"
    for folder in ("core", "edge")
    for stub in PACKAGE.glob(f"{folder}/*.pyi")
)


def in_stub(name: str) -> tuple[set[str], dict[str, set[str]]]:
    """The public names of a stub, and of each of its classes."""
    tree = ast.parse((PACKAGE / name.replace(".", "/")).with_suffix(".pyi").read_text())
    names: set[str] = set()
    classes: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            classes[node.name] = {name for member in node.body for name in bound(member)}
            names.add(node.name)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            names.update(bound(node))
    return public(names), {name: public(members) for name, members in classes.items()}


def bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def public(names: set[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def in_module(name: str) -> tuple[set[str], dict[str, set[str]]]:
    """The same of the module itself; what it imported is not its own."""
    module = importlib.import_module(f"wsgate.{name}")
    names: set[str] = set()
    classes: dict[str, set[str]] = {}
    for key, value in vars(module).items():
        if isinstance(value, types.ModuleType) or key == "test":
            continue
        if getattr(value, "__module__", module.__name__) not in (module.__name__, "builtins"):
            continue
        names.add(key)
        if isinstance(value, type):
            classes[key] = public(set(vars(value)))
    return public(names), {name: members for name, members in classes.items() if name in names}


def test_every_compiled_module_has_a_stub() -> None:
    if not SOURCES.exists():
        pytest.skip("installed without its sources")
    compiled = {f"{source.parent.name}.{source.stem}" for source in SOURCES.rglob("*.pyx")}
    assert set(MODULES) == compiled


@pytest.mark.parametrize("name", MODULES)
def test_stub_and_module_have_the_same_names(name: str) -> None:
    stub_names, stub_classes = in_stub(name)
    names, classes = in_module(name)
    helpers = {"log"}  # a logger is of another module
    assert stub_names - helpers == names - helpers
    for owner in public(set(classes)):
        assert stub_classes[owner] == classes[owner], owner
