"""Where processes cannot have a root of their own: a folder, and nothing of the caller's around it.

Paths from the root are made to lead into the folder, where commands and variables name them. A
program that has a path built in, or goes up and out, is not kept from it: a substitute, and weaker.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.image.room import Inmate, StepFailed

MACHINES = ("/dev", "/proc")
SYSTEM = ("/bin", "/sbin", "/lib", "/lib64")
FROM_ROOT = re.compile(r"(?<![\w./-])/[\w.-]+(?:/[\w.-]+)*")


class Bare:
    """Like a :class:`~tests.image.room.Room`, as far as that goes; ``root`` must not move."""

    isolated = False
    unchecked = (
        "that nothing is needed of the machine's own files",
        "that it runs with a root that can only be read",
        "that it runs as the user it names",
        "that it works as process 1",
    )

    def __init__(self, root: Path, places: Sequence[Path]) -> None:
        self.root = root
        system = SYSTEM if places else ()
        self._machines = [*map(Path, (*MACHINES, *system)), *places]

    def here(self, text: str) -> str:
        """With paths that lead into the folder."""
        return FROM_ROOT.sub(self._place, text)

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str], directory: str = "/"
    ) -> None:
        """With all that it says shown. Raises StepFailed."""
        if argv[0] == "ldconfig":
            return  # libraries are found by a variable
        done = subprocess.run(
            self._argv(argv),
            env=self._environment(environment, "/root"),
            cwd=self.root / directory.lstrip("/"),
            check=False,
        )
        if done.returncode:
            raise StepFailed(f"it ended with {done.returncode}")

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str,
        writable: bool,
        output: IO[bytes],
    ) -> Inmate:
        process = subprocess.Popen(
            self._argv(argv),
            env=self._environment(environment, "/"),
            cwd=self.root,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return _Outsider(process)

    def _argv(self, argv: Sequence[str]) -> list[str]:
        return [self.here(one) for one in argv]

    def _environment(self, environment: Mapping[str, str], home: str) -> dict[str, str]:
        own = {"HOME": home, "TMPDIR": "/tmp", "LD_LIBRARY_PATH": "/usr/local/lib"}
        return {name: self.here(value) for name, value in {**own, **environment}.items()}

    def _place(self, found: re.Match[str]) -> str:
        path = Path(found[0])
        if any(path.is_relative_to(one) for one in self._machines):
            return found[0]
        return f"{self.root}{path}"


class _Outsider(Inmate):
    """A process among all others, that has a session of its own."""

    @property
    def pid(self) -> int:
        return self._outer.pid

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._outer.pid, signal.SIGKILL)
        self._outer.wait()
