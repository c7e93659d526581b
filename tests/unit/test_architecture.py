"""Who may import whom, read from the sources: the shape of the gateway, kept."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wsgate"
EXT = ROOT / "ext" / "wsgate"

# What each part may import of wsgate. Parts are modules, or whole packages ("tools.demo" is in
# "tools"); what all may use stands first, and none of that knows any of the others.
COMMON = {"protocol", "rules", "limits", "throttle", "backoff"}
ALLOWED = {
    "protocol": set(),
    "rules": {"protocol"},
    "limits": {"protocol"},
    "throttle": set(),
    "backoff": set(),
    "raw_json": set(),
    "descriptors": set(),
    "proxy_protocol": set(),
    "networks": set(),
    "rates": set(),
    "addresses": set(),
    "origins": set(),
    "control": {"auth", "protocol"},
    "log": set(),
    "renaming": set(),
    "signals": set(),
    "blueprint": COMMON | {"auth", "log", "renaming"},
    "settings": COMMON
    | {"auth", "blueprint", "control", "edge", "log", "networks", "origins", "raw_json"}
    | {"renaming"},
    "core": set(),
    "edge": {"core", "throttle", "networks", "proxy_protocol", "rates"},
    "deflate": set(),
    "delta": set(),
    "session": COMMON | {"auth"},
    "replays": {"errands", "session"},
    "waiting": {"session"},
    "filling": {"protocol", "session"},
    "subscribing": COMMON | {"auth", "core", "epochs", "replays"},
    "login": COMMON | {"auth", "errands", "session"},
    "histogram": set(),
    "regulator": {"limits", "rates"},
    "stalls": {"histogram"},
    "flush": {"core", "histogram"},
    "turns": set(),
    "epochs": {"core", "rules"},
    "window": set(),
    "intake": COMMON
    | {"control", "core", "deflate", "delta", "epochs", "flush", "histogram"}
    | {"regulator", "window"},
    "board": set(),
    "capacity": {"board"},
    "departures": {"limits"},
    "subscriptions": COMMON
    | {"core", "epochs", "filling", "replays", "session", "subscribing", "turns"},
    "hub": COMMON
    | {"addresses", "auth", "capacity", "departures", "intake", "login", "session"}
    | {"core", "ebb", "flush", "heap", "histogram", "replays", "subscriptions", "turns"}
    | {"waiting"},
    "auth": COMMON,
    "lean": set(),
    "sources": COMMON | {"lean", "raw_json"},
    "upgrade": COMMON | {"auth", "deflate", "hub", "edge", "networks", "origins"},
    "metrics": {"auth", "histogram", "hub", "procfs", "regulator", "sources"},
    "app": COMMON
    | {"addresses", "auth", "blueprint", "capacity", "control", "networks", "origins", "edge"}
    | {"hub", "sources", "stalls", "upgrade"},
    "channel": set(),
    "orders": {"blueprint"},
    "heap": set(),
    "ebb": set(),
    "errands": set(),
    "procfs": set(),
    "desk": {"app", "auth", "channel", "heap", "metrics", "sources"},
    "worker": {
        "lean",
        "addresses",
        "app",
        "auth",
        "board",
        "capacity",
        "channel",
        "desk",
        "log",
        "orders",
    },
    "admin": {"throttle"},
    "supervisor": COMMON
    | {"addresses", "admin", "auth", "blueprint", "board", "channel", "descriptors", "edge"}
    | {"metrics", "orders", "procfs", "raw_json", "settings", "signals", "sources"},
    "aggregate": COMMON
    | {"admin", "blueprint", "control", "histogram", "metrics", "settings", "signals", "sources"},
    "client": {"protocol", "rules", "backoff", "delta"},
    "tools": COMMON
    | {"auth", "blueprint", "control", "descriptors", "edge", "log", "settings"}
    | {"sources", "supervisor"},
    "cli": {"aggregate", "log", "settings", "supervisor", "tools"},
    "__main__": {"cli", "tools"},
    "__init__": set(),
}


def part(dotted: str) -> str:
    """The part that a module of wsgate belongs to: "wsgate.sources.nats" is of "sources"."""
    return dotted.split(".")[1]


def python_imports(source: Path) -> Iterator[str]:
    """The modules of wsgate that a Python file names, wherever in it."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative imports hide where they lead"
            assert node.module is not None
            if node.module == "wsgate":
                yield from (f"wsgate.{alias.name}" for alias in node.names)
            else:
                yield node.module


def cython_imports(source: Path) -> Iterator[str]:
    pattern = r"^\s*(?:from\s+([\w.]+)\s+c?import\s|c?import\s+([\w.]+))"
    for match in re.finditer(pattern, source.read_text(), re.MULTILINE):
        yield match[1] or match[2]


# What the sans-IO core must do without.
IO = {"picows", "asyncio", "socket", "select", "time", "logging", "structlog", "uvloop"}

PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
CYTHON_FILES = sorted(path for path in EXT.rglob("*") if path.suffix in (".pyx", ".pxd"))


def own_part(source: Path, root: Path) -> str:
    return source.relative_to(root).parts[0].partition(".")[0]


@pytest.mark.parametrize("source", PYTHON_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_python_imports_go_one_way(source: Path) -> None:
    own = own_part(source, PACKAGE)
    assert own in ALLOWED, "a new part needs its place in the order"
    imported = {part(name) for name in python_imports(source) if name.startswith("wsgate.")}
    assert imported - {own} <= ALLOWED[own]


@pytest.mark.parametrize("source", CYTHON_FILES, ids=lambda path: str(path.relative_to(EXT)))
def test_cython_imports_go_one_way(source: Path) -> None:
    own = own_part(source, EXT)
    names = set(cython_imports(source))
    imported = {part(name) for name in names if name.startswith("wsgate.")}
    assert imported - {own} <= ALLOWED[own]
    packages = {name.partition(".")[0] for name in names}
    assert own == "edge" or not packages & IO


def test_the_core_s_python_side_is_as_pure() -> None:
    for source in (PACKAGE / "core").glob("*.py"):
        assert not set(python_imports(source)) - {"__future__"}


def test_the_order_has_no_cycle() -> None:
    done: set[str] = set()
    left = dict(ALLOWED)
    while left:
        ready = {name for name, needs in left.items() if needs <= done}
        assert ready, f"a cycle among {sorted(left)}"
        done |= ready
        for name in ready:
            del left[name]


def test_nothing_is_listed_that_is_not_there() -> None:
    there = {own_part(source, PACKAGE) for source in PYTHON_FILES}
    there |= {own_part(source, EXT) for source in CYTHON_FILES}
    assert set(ALLOWED) == there


def test_no_module_is_long() -> None:
    for source in [*PYTHON_FILES, *CYTHON_FILES]:
        lines = len(source.read_text().splitlines())
        assert lines <= 500, f"{source.relative_to(ROOT)} has {lines} lines: it is two modules"


def modules_loaded_by(code: str) -> set[str]:
    """What a fresh interpreter has loaded after running the code."""
    code += "\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_serve_never_loads_the_tools() -> None:
    code = """
import wsgate.supervisor.run, wsgate.cli

async def nothing(loaded):
    return 0

wsgate.supervisor.run.run = nothing
try:
    wsgate.cli.app(["serve"])
except SystemExit as end:
    assert end.code == 0
"""
    loaded = modules_loaded_by(code)
    assert {"wsgate.supervisor.fleet", "wsgate.settings.reading", "wsgate.log"} <= loaded
    unwanted = ("wsgate.tools", "wsgate.aggregate", "wsgate.client", "websockets")
    assert not [name for name in loaded if name.startswith(unwanted)]
    assert not loaded & {"wsgate.hub", "picows", "nats", "uvloop"}, "what only workers need"


def test_the_aggregator_never_loads_the_hub() -> None:
    loaded = modules_loaded_by("import wsgate.aggregate.run")
    assert {"wsgate.sources.nats", "wsgate.admin"} <= loaded
    assert not loaded & {"wsgate.hub", "picows", "wsgate.app"}
    assert not [
        name
        for name in loaded
        if name.startswith(("wsgate.core", "wsgate.edge", "wsgate.supervisor", "wsgate.tools"))
    ]


UNWANTED = ("wsgate.tools", "wsgate.supervisor", "wsgate.aggregate", "wsgate.client", "websockets")


def test_a_worker_never_loads_what_only_the_supervisor_needs() -> None:
    loaded = modules_loaded_by("import wsgate.worker")
    assert {"wsgate.hub", "wsgate.desk"} <= loaded
    assert not loaded & {"pydantic", "pydantic_settings", "typer", "wsgate.settings"}
    assert not [name for name in loaded if name.startswith(UNWANTED)]


def test_the_command_line_alone_loads_little() -> None:
    loaded = modules_loaded_by("import wsgate.cli")
    assert not loaded & {"aiohttp", "nats", "picows", "prometheus_client", "wsgate.hub"}


def test_a_health_check_loads_next_to_nothing() -> None:
    code = """
import sys
sys.argv = ["wsgate", "healthcheck", "--help"]
from wsgate.__main__ import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
"""
    loaded = modules_loaded_by(code)
    ours = {name for name in loaded if name.startswith("wsgate.")}
    assert ours == {
        *("wsgate.__main__", "wsgate.tools"),
        *("wsgate.tools.healthcheck", "wsgate.tools.admin_port"),
    }
    assert not loaded & {"pydantic", "typer", "rich", "orjson", "asyncio", "importlib.metadata"}


def test_the_core_alone_loads_no_io() -> None:
    loaded = modules_loaded_by("import wsgate.core.fanout")
    assert not loaded & (IO - {"time"})  # every interpreter loads that one


CLIENT_IO = {"__init__", "client", "subscription", "transport"}


def test_the_client_decides_without_io() -> None:
    for source in (PACKAGE / "client").glob("*.py"):
        if source.stem not in CLIENT_IO:
            names = {name.partition(".")[0] for name in python_imports(source)}
            assert not names & (IO | {"websockets"}), source
            inner = {f"wsgate.client.{name}" for name in CLIENT_IO}
            assert not set(python_imports(source)) & inner, source


def test_the_client_loads_nothing_of_the_gateway() -> None:
    loaded = modules_loaded_by("import wsgate.client")
    ours = {part(name) for name in loaded if name.startswith("wsgate.")}
    assert ours == {"client", "protocol", "rules", "backoff", "delta"}
    assert not loaded & {"picows", "nats", "uvloop", "aiohttp", "pydantic", "typer", "structlog"}


def test_both_places_build_with_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = project["build-system"]["requires"]
    assert project["dependency-groups"]["build"] == needed
    # Its inline methods are compiled in: what it was built with is what it has to run with.
    (picows,) = (one for one in needed if one.startswith("picows"))
    assert re.fullmatch(r"picows==[\d.]+", picows)
    assert picows in project["project"]["dependencies"]
