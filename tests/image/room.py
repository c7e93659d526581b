"""Processes in a root of their own, by user namespaces: no engine, and nobody need be root.

Who is root in there is whoever started it outside. Each command is the first process of a PID
namespace, as it is in a container: signals that it does not handle pass it by, and what it leaves
behind ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support.processes import children

ENTER = Path(__file__).with_name("enter.sh")
APART = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--ipc", "--uts")
ROOT = "0:0"


class StepFailed(Exception):
    """A command ended with something else than 0."""


def missing() -> str | None:
    """What keeps processes here from having a root of their own; None if nothing does."""
    try:
        done = subprocess.run(
            [*APART, "--fork", "mount", "-t", "proc", "proc", "/proc"],
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return "there is no unshare (util-linux)"
    return None if done.returncode == 0 else done.stderr.strip()


class Room:
    """``places`` of the machine are seen in ``root`` too, and only to read."""

    isolated = True
    unchecked = ("that another user than the one who builds may read all of it, but by file modes",)

    def __init__(self, root: Path, places: Sequence[Path]) -> None:
        self.root = root
        self._places = places

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str], directory: str = "/"
    ) -> None:
        """As root, with all that it says shown. Raises StepFailed."""
        command = self._command(argv, ROOT, directory, writable=True)
        status = subprocess.run(command, env=_with_home(environment, ROOT), check=False).returncode
        if status:
            raise StepFailed(f"it ended with {status}")

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str,
        writable: bool,
        output: IO[bytes],
    ) -> Inmate:
        command = self._command(argv, user, "/", writable=writable)
        process = subprocess.Popen(
            command, env=_with_home(environment, user), stdout=output, stderr=subprocess.STDOUT
        )
        return Inmate(process)

    def _command(
        self, argv: Sequence[str], user: str, directory: str, *, writable: bool
    ) -> list[str]:
        access = "writable" if writable else "readonly"
        places = " ".join(map(str, self._places))
        return [
            *(*APART, "--fork", "--kill-child"),
            *("sh", str(ENTER), str(self.root), access, user, directory, places),
            *argv,
        ]


class Inmate:
    """A process that is number 1 where it is; ``pid`` is its number out here."""

    def __init__(self, outer: subprocess.Popen[bytes]) -> None:
        self._outer = outer

    @property
    def pid(self) -> int:
        """Of the process itself, not of what waits for it out here. 0 if it is not there."""
        return next(iter(children(self._outer.pid)), 0)

    @property
    def status(self) -> int | None:
        """With which it ended; None as long as it runs."""
        return self._outer.poll()

    def user(self) -> int:
        """Who it is in there."""
        fields = Path(f"/proc/{self.pid}/status").read_text().split("\nUid:")[1].split()
        outside = int(fields[1])
        for line in Path(f"/proc/{self.pid}/uid_map").read_text().splitlines():
            inside, first, count = map(int, line.split())
            if first <= outside < first + count:
                return inside + outside - first
        raise AssertionError("its user is not mapped")

    def number(self) -> int:
        """Its process number in there."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("\nNSpid:")[1].splitlines()[0].split()[-1])

    def leave_orphan(self) -> None:
        """Beside it, as a shell in its container would: a process that outlives its parent."""
        outer = self._outer.pid
        inside = ("--user", "--preserve-credentials", f"--pid=/proc/{outer}/ns/pid_for_children")
        subprocess.run(
            ["nsenter", f"--target={outer}", *inside, "sh", "-c", "setsid sleep 0.1 &"], check=True
        )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        """Its exit status; TimeoutExpired if it goes on."""
        return self._outer.wait(timeout_s)

    def kill(self) -> None:
        """It and all in there; nothing if it is gone."""
        if self.status is None:
            self._outer.kill()
            self._outer.wait()


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Look again and again; whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _with_home(environment: Mapping[str, str], user: str) -> dict[str, str]:
    return {"HOME": "/root" if user == ROOT else "/", **environment}
