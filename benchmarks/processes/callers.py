"""Clients that come, subscribe and go, one after the other: how long did they have to try?"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.fanout import probe

QUIET_CHANNEL = "token.quiet.comment"
PAUSE_S = 0.02
AGAIN_S = 0.01


@dataclass(frozen=True)
class Call:
    began_s: float
    took_s: float
    """Until it was subscribed, however often it had to try."""


class Callers:
    """So many at a time, each in a thread of its own."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(count)]
        self.calls: list[Call] = []
        self.failures: Counter[str] = Counter()
        """Attempts that were not let in, by what came instead."""

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def longest_s(self, since_s: float = 0.0) -> float:
        """Of those who were on their way then, or came later."""
        found = [one.took_s for one in list(self.calls) if one.began_s + one.took_s >= since_s]
        return max(found, default=0.0)

    def _call(self) -> None:
        while not self._over.wait(PAUSE_S):
            began_s = time.monotonic()
            while not self._let_in() and not self._over.wait(AGAIN_S):
                pass
            self.calls.append(Call(began_s, time.monotonic() - began_s))

    def _let_in(self) -> bool:
        try:
            probe.subscribe(self._port, QUIET_CHANNEL)
        except ConnectionRefusedError:
            self.failures["refused"] += 1
        except (ConnectionResetError, BrokenPipeError):
            self.failures["reset"] += 1
        except TimeoutError:
            self.failures["timeout"] += 1
        except OSError as error:
            self.failures[str(error)] += 1
        else:
            return True
        return False


@contextmanager
def calling(port: int, count: int = 8) -> Iterator[Callers]:
    callers = Callers(port, count)
    callers.start()
    try:
        yield callers
    finally:
        callers.stop()
