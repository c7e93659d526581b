"""Which process listens on a port, as far as /proc shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsgate.tools.doctor.files import ROOT, text

_LISTENING: Final = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    command: tuple[str, ...]

    @property
    def is_gateway(self) -> bool:
        """Whether it is a `wsgate serve`, or a worker of one."""
        served = "serve" in self.command and any("wsgate" in one for one in self.command)
        return served or "wsgate.worker" in self.command

    def __str__(self) -> str:
        program = self.command[0].rpartition("/")[2]
        return f"process {self.pid} ({' '.join((program, *self.command[1:]))[:60]})"


def holder_of(port: int, root: Path = ROOT) -> Holder | None:
    """The one with the lowest number; None if nobody listens, or it is not for us to see."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port, root)}
    if not sockets:
        return None
    processes = [path for path in (root / "proc").iterdir() if path.name.isdecimal()]
    for process in sorted(processes, key=lambda path: int(path.name)):
        if sockets & set(_open_files(process)):
            words = (text(process / "cmdline") or "").rstrip("\0").split("\0")
            return Holder(int(process.name), tuple(words))
    return None


def _listening(port: int, root: Path) -> Iterator[str]:
    """The inodes of the sockets that listen on this port, of whatever address."""
    for table in ("tcp", "tcp6"):
        for line in (text(root / "proc/net" / table) or "").splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                yield columns[9]


def _open_files(process: Path) -> Iterator[str]:
    try:
        entries = list((process / "fd").iterdir())
    except OSError:  # somebody else's process, or one that is gone
        return
    for entry in entries:
        with suppress(OSError):  # closed since
            yield str(entry.readlink())
