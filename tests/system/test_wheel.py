"""The wheel, in an empty environment and far from the sources: what a user gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
# Building and installing take a while on a busy machine.
pytestmark = pytest.mark.timeout(900)


def run(*arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as an sdist ships them: what is not in MANIFEST.in is missing here."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "-o", folder, ROOT, cwd=folder)
    (archive,) = folder.glob("*.tar.gz")
    run("tar", "-xzf", archive, cwd=folder)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "-o", folder, sources, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment that the wheel was installed into, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_has_all_that_belongs_into_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.pyi", "py.typed", "static/*")
        for path in (ROOT / "wsgate").rglob(pattern)
    }
    assert "wsgate/py.typed" in expected
    assert expected <= names
    compiled = {re.sub(r"\.[^/]*\.so$", "", name) for name in names if name.endswith(".so")}
    assert compiled == {
        str(path.relative_to(ROOT / "ext").with_suffix(""))
        for path in (ROOT / "ext").rglob("*.pyx")
    }


def test_the_wheel_has_nothing_else(wheel: Path) -> None:
    for name in zipfile.ZipFile(wheel).namelist():
        assert name.startswith(("wsgate/", f"wsgate-{version('wsgate')}.dist-info/")), name
        assert not name.endswith((".c", ".pyx", ".pxd")), name


def test_it_says_its_version(environment: Path, tmp_path: Path) -> None:
    assert run(environment / "wsgate", "--version", cwd=tmp_path) == f"wsgate {version('wsgate')}\n"


def test_it_serves(environment: Path, tmp_path: Path) -> None:
    settings = {"WS_HOST": "127.0.0.1", "WS_PORT": "0", "WS_ADMIN_PORT": "0"}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        [environment / "wsgate", "serve"],
        cwd=tmp_path,
        env={**inherited, **settings, "NATS_URL": "nats://127.0.0.1:1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as gateway:
        try:
            assert gateway.stdout is not None
            event: dict[str, object] = {}
            for line in gateway.stdout:
                event = json.loads(line)
                if event["event"] == "listening":
                    break
            assert event.get("event") == "listening", event
            for port in (event["port"], event["admin_port"]):
                with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S) as answer:
                    assert answer.read() == b"ok\n"
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(DEADLINE_S) == 0
        finally:
            gateway.kill()
