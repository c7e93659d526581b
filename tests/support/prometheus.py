"""A real Prometheus that scrapes a gateway, and ``promtool``: of the system, or as make fetched it.

    from tests.support.prometheus import Prometheus, promtool

A test that asks for what is not there is skipped. Everything here blocks, for some milliseconds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.process import DEADLINE_S, until

FETCHED = Path(__file__).parents[2] / "build" / "prometheus" / "usr" / "bin"
CONFIG = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: wsgate
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def program(name: str) -> str:
    """Its path."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), str(FETCHED)]))
    if found is None:
        pytest.skip(f"there is no {name}: make test fetches it where there is apt, or install it")
    return found


def promtool_complaints(page: str) -> str:
    """What ``promtool check metrics`` says of a page in text form; nothing if it is good."""
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=page, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    return said or ("" if done.returncode == 0 else f"exit status {done.returncode}")


class Prometheus:
    """Scrapes the admin port five times a second, from :meth:`start` to :meth:`kill`."""

    def __init__(self, directory: Path, admin_port: int) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._config = directory / "prometheus.yml"
        self._config.write_text(CONFIG.format(port=admin_port))
        self._log = directory / "prometheus.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Prometheus:
        """Return when it listens."""
        command = [
            program("prometheus"),
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._directory, stdout=log, stderr=log)
        process = self._process
        until(lambda: self._port() or process.poll() is not None, "a Prometheus that listens")
        assert process.poll() is None, self._log.read_text()
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)

    def _port(self) -> int:
        found = re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', self._log.read_text())
        return int(found[1]) if found else 0

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The value now of each series, by its labels but for instance and job; none at first."""
        query = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self._port()}/api/v1/query?{query}"
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
            found = json.load(answer)["data"]["result"]
        return {
            tuple(
                sorted(
                    (label, value)
                    for label, value in series["metric"].items()
                    if label not in ("__name__", "instance", "job")
                )
            ): float(series["value"][1])
            for series in found
        }
