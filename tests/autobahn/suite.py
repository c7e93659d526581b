"""Autobahn's fuzzing client, which needs CPython 2.7: where that is, what it needs, how it runs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "build" / "autobahn"
PACKAGES = OUT / "packages"
REQUIREMENTS = HERE / "requirements.txt"
AGENT = "wsgate"
RUN_S_MAX = 3600.0

# A folder of packages is environment enough; site reads the .pth file that zope needs.
START = f"""
import site
site.addsitedir({str(PACKAGES)!r})
from autobahntestsuite.wstest import run
run()
"""


def python27() -> Path | None:
    """CPython 2.7, named by PYTHON27, in PATH or of pyenv."""
    candidates = [os.environ.get("PYTHON27"), shutil.which("python2.7")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(map(str, pyenv.glob("2.7*/bin/python2.7")), reverse=True)
    for candidate in filter(None, candidates):
        run = subprocess.run([candidate, "-V"], capture_output=True, check=False)
        if (run.stdout + run.stderr).startswith(b"Python 2.7"):  # pyenv's shims may fail
            return Path(candidate)
    return None


def install(python: Path) -> None:
    """Put the suite and what it needs into PACKAGES, unless it is there."""
    stamp = PACKAGES / "installed"
    wanted = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--target", str(PACKAGES)]
    subprocess.run(
        [python, "-m", "pip", "install", *options, "-r", str(REQUIREMENTS)],
        check=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    stamp.write_text(wanted)


async def run(python: Path, port: int, cases: list[str]) -> dict[str, dict[str, Any]]:
    """The suite's verdict on the endpoint at this port of loopback, by case."""
    reports = OUT / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    spec = OUT / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "outdir": str(reports),
                "servers": [{"agent": AGENT, "url": f"ws://127.0.0.1:{port}"}],
                "cases": cases,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    with (OUT / "wstest.log").open("wb") as log:
        client = await asyncio.create_subprocess_exec(
            *(str(python), "-c", START, "-m", "fuzzingclient", "-s", str(spec)),
            stdout=log,
            stderr=log,
        )
        try:
            async with asyncio.timeout(RUN_S_MAX):
                status = await client.wait()
        finally:
            if client.returncode is None:
                client.kill()
                await client.wait()
    if status:
        raise RuntimeError(f"the fuzzing client ended with {status}: see {log.name}")
    verdicts: dict[str, dict[str, Any]] = json.loads((reports / "index.json").read_text())[AGENT]
    return verdicts
