"""A process of the benchmark: pinned to a core, its output in a file, gone when that is."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

PR_SET_PDEATHSIG = 1
AUTOGROUP = Path("/proc/self/autogroup")
LIBC = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """The trial cannot give a figure; the text says why."""


def run(main: Callable[[], int]) -> NoReturn:
    """Be a program that stops every process it started, however it ends."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    # As an exception, so that it passes through the children's context managers.
    signal.signal(signal.SIGTERM, end)
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"benchmark failed: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


class Child:
    """Use it as a context manager: leaving stops the process, whatever happened."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        core: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        talks: bool = False,
        nice: int = 0,
    ) -> None:
        """`talks`: reads commands on standard input and answers with lines of JSON."""
        self.name = name
        self.log = log
        self.talks = talks
        self._unread = b""

        def prepare() -> None:
            # Even a benchmark that is killed outright leaves nothing running.
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, {core})
            if nice:
                os.setpriority(os.PRIO_PROCESS, 0, nice)
                # Where the kernel groups processes by session, only the group's own counts.
                if AUTOGROUP.exists():
                    AUTOGROUP.write_text(str(nice))

        with log.open("ab") as output:
            self._log_start = output.tell()
            self.process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                preexec_fn=prepare,
                # Ctrl-C is for the benchmark, which then stops its children in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def check_alive(self) -> None:
        if self.process.poll() is not None:
            said = self.log.read_bytes()[self._log_start :].decode(errors="replace")
            tail = "\n".join(said.splitlines()[-15:])
            status = self.process.returncode
            raise Failure(f"{self.name} ended with status {status}:\n{tail}")

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{command}\n".encode())
        except BrokenPipeError:
            self.process.wait(5)
            self.check_alive()

    def event(self, name: str, timeout_s: float) -> dict[str, Any]:
        """The next line of output, which must be this event."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"{self.name}: no {name!r} within {timeout_s:.0f} s")
            if select.select([self.process.stdout], [], [], left)[0]:
                part = os.read(self.process.stdout.fileno(), 1 << 20)
                if not part:
                    self.process.wait(5)
                    self.check_alive()
                self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        if event["event"] != name:
            raise Failure(f"{self.name}: {event['event']!r} came where {name!r} was due")
        return event

    def ask(self, command: str, timeout_s: float = 10) -> dict[str, Any]:
        self.say(command)
        return self.event(command.split()[0], timeout_s)

    def stop(self, timeout_s: float = 15) -> int:
        """Ends it in its own way first; returns its exit status."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.poll() is None:
            if not self.talks:
                self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.returncode
