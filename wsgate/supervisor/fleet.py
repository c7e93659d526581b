"""The workers: one in each slot, replaced when it dies, one after the other when that is asked for.

Slot and socket go together. A worker that leaves its slot keeps its clients until they are gone,
but nobody comes to it any more: its successor accepts from the same socket already.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import structlog

from wsgate.addresses import Tables
from wsgate.blueprint import Blueprint
from wsgate.board import Board
from wsgate.channel import ChannelClosed, Handle, Refused
from wsgate.supervisor.load import Load, LoadLimits
from wsgate.supervisor.process import EXIT_TIMEOUT_S, WorkerProcess

log = structlog.get_logger("wsgate.supervisor")

# Before a worker is replaced that died young: the first at once, others less and less eagerly.
AGAIN_S: Final = (0.0, 0.2, 0.5, 1.0)
STEADY_S: Final = 10.0  # who lived this long did not die young
PULSE_INTERVAL_S: Final = 1.0
PULSE_TIMEOUT_S: Final = 10.0  # who does not answer for this long is stuck, and killed
ANSWER_TIMEOUT_S: Final = 2.0


class Audience(Protocol):
    """Who tells workers what is published; ``wsgate.supervisor.relay`` has one."""

    @property
    def live_sources(self) -> tuple[str, ...]:
        """Names of the supervisor's sources that are live now."""

    def join(self, worker: WorkerProcess) -> None:
        """This one serves clients from now on, and has them until it has parted."""

    def part(self, worker: WorkerProcess) -> None:
        """It is gone, if it ever was there."""


class Slot:
    def __init__(self, number: int, listening: socket.socket) -> None:
        self.number = number
        self.listening = listening
        self.worker: WorkerProcess | None = None
        self.deaths_in_a_row = 0
        self.changing = asyncio.Lock()
        """Held by who starts a worker in it: of two at once one would be forgotten."""


class Fleet:
    """``blueprint`` is what a worker is told that takes the place of one that died.

    ``handle`` answers what workers ask; the ``audience`` knows of each as long as it has clients.
    ``deaths`` and ``stuck`` count what should not happen, ``silent`` the answers that did not come.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        listening: Sequence[socket.socket],
        load_limits: LoadLimits,
        handle: Handle,
        audience: Audience,
    ) -> None:
        self.blueprint = blueprint
        self._audience = audience
        self._handle = handle
        self._slots = [Slot(number, one) for number, one in enumerate(listening)]
        # For each slot one more: of who leaves it while his successor is there.
        self.board = Board.make(2 * len(self._slots))
        self._addresses: Tables | None = None  # made for the first worker with such a limit
        self._free_lines = list(range(self.board.lines))
        self.load = Load(self.board, load_limits)
        self._held: set[WorkerProcess] = set()  # those that leave included
        self._departing: dict[WorkerProcess, asyncio.Task[None]] = {}
        self._felt: set[WorkerProcess] = set()  # whose pulse is being taken
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._stopping = False
        self.deaths = 0
        self.stuck = 0
        self.silent = 0
        self.restarts = 0

    @property
    def size(self) -> int:
        """How many workers there should be."""
        return len(self._slots)

    @property
    def workers(self) -> list[WorkerProcess]:
        """Those that serve, in order of their slots; who is leaving is not among them."""
        found = [slot.worker for slot in self._slots]
        return [worker for worker in found if worker is not None and worker.serving]

    async def start(self) -> None:
        """A worker for each slot. Raises WorkerFailed, with none left, if one cannot start."""
        started = await asyncio.gather(
            *(self._start_in(slot, self.blueprint) for slot in self._slots), return_exceptions=True
        )
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.kill()
                raise outcome
        self._spawn(self._take_pulse(), "pulse")

    async def ask_all(self, question: str, argument: Any = None) -> list[tuple[int, Any]]:
        """Each worker's number and answer; without those that did not answer in time."""
        workers = self.workers
        answers = await asyncio.gather(
            *(worker.ask(question, argument, ANSWER_TIMEOUT_S) for worker in workers),
            return_exceptions=True,
        )
        found = []
        for worker, answer in zip(workers, answers, strict=True):
            if isinstance(answer, ChannelClosed | TimeoutError):
                self.silent += 1
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.append((worker.number, answer))
        return found

    async def ask_any(self, question: str, argument: Any = None) -> Any:
        """The answer of the first worker that gives one; Refused if there is none."""
        for worker in self.workers:
            try:
                return await worker.ask(question, argument, ANSWER_TIMEOUT_S)
            except (ChannelClosed, TimeoutError):
                self.silent += 1
        raise Refused("no worker is there to answer")

    def tell_all(self, what: str, argument: Any = None) -> None:
        """Without an answer."""
        for worker in self.workers:
            worker.tell(what, argument)

    async def restart(
        self,
        blueprint: Blueprint,
        in_force: Callable[[], Awaitable[None]],
        spread_s: float,
        timeout_s: float,
    ) -> None:
        """Replace all workers by such, one by one: the new one serves before the old one leaves.

        ``in_force`` is awaited when the first of them serves. If it cannot, all stays as it was.
        """
        for slot in self._slots:
            try:
                async with slot.changing:
                    old = slot.worker
                    await self._start_in(slot, blueprint)
            except OSError as error:
                log.error("a worker was not replaced", worker=slot.number, error=str(error))
                return
            if self.blueprint is not blueprint:
                self.blueprint = blueprint
                await in_force()
            self.restarts += 1
            if old is not None and old.serving:
                await asyncio.wait((self._see_off(old, spread_s, timeout_s),))
        log.info("all workers were replaced", workers=len(self._slots))

    async def leave(self) -> None:
        """All workers, and who replaces one from now on, call themselves unready and serve on."""
        self._leaving = True
        await self.ask_all("leave")

    async def drain(self, spread_s: float, timeout_s: float) -> None:
        """All workers send their clients elsewhere, and end; who is leaving goes on with that."""
        self._stop_tending()
        departures = [self._see_off(worker, spread_s, timeout_s) for worker in self._held]
        if departures:
            await asyncio.wait(departures, timeout=timeout_s + EXIT_TIMEOUT_S)
        await self.kill()

    async def kill(self) -> None:
        """No worker any more, at once."""
        self._stop_tending()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for worker in list(self._held):
            await worker.kill()

    def _stop_tending(self) -> None:
        self._stopping = True

    # ------------------------------------------------------------------------------ one slot's life

    async def _start_in(self, slot: Slot, blueprint: Blueprint) -> None:
        """Start a worker that takes the slot over once it serves."""
        worker = WorkerProcess(slot.number, self._free_lines.pop(0), self._handle)
        try:
            await worker.start(
                blueprint,
                slot.listening,
                self.board,
                self._tables(blueprint),
                self._audience.live_sources,
            )
            self._held.add(worker)
            self._audience.join(worker)
        except BaseException:
            self._return_line(worker)
            raise
        if self._leaving:
            worker.tell("leave")
        slot.worker = worker
        self._spawn(self._watch(slot, worker), f"worker-{slot.number}")
        log.info("worker started", worker=slot.number, pid=worker.pid)

    async def _watch(self, slot: Slot, worker: WorkerProcess) -> None:
        """Until the worker is gone; if that was not asked for, until there is another."""
        status = await worker.gone()
        self._return_line(worker)
        if slot.worker is not worker or self._stopping:
            return
        slot.worker = None
        self.deaths += 1
        lived_s = time.monotonic() - worker.began_s
        slot.deaths_in_a_row = 1 if lived_s >= STEADY_S else slot.deaths_in_a_row + 1
        log.error(
            "a worker died and is replaced",
            worker=slot.number,
            pid=worker.pid,
            exit_status=status,
            lived_s=round(lived_s, 1),
        )
        await self._replace(slot)

    async def _replace(self, slot: Slot) -> None:
        while not self._stopping:
            await asyncio.sleep(AGAIN_S[min(slot.deaths_in_a_row, len(AGAIN_S)) - 1])
            async with slot.changing:
                if slot.worker is not None or self._stopping:
                    return  # workers were being replaced anyhow
                try:
                    await self._start_in(slot, self.blueprint)
                    return
                except OSError as error:
                    slot.deaths_in_a_row += 1
                    log.error("a worker could not start", worker=slot.number, error=str(error))

    def _see_off(
        self, worker: WorkerProcess, spread_s: float, timeout_s: float
    ) -> asyncio.Task[None]:
        """Its clients are sent elsewhere, and it ends; once only, whoever asks for it."""
        task = self._departing.get(worker)
        if task is None:
            work = worker.drain(spread_s, timeout_s)
            task = self._departing[worker] = self._spawn(work, f"departure-{worker.number}")
            task.add_done_callback(lambda _: self._departing.pop(worker, None))
        return task

    async def _take_pulse(self) -> None:
        """Kill who does not answer: a loop that stands still helps nobody. And see what all use."""
        while True:
            await asyncio.sleep(PULSE_INTERVAL_S)
            self.load.measure([worker.pid for worker in self._held])
            if self.load.lacks_memory:
                self.tell_all("give_back")
            for worker in self.workers:
                if worker not in self._felt:  # who is slow to answer does not keep the others
                    self._felt.add(worker)
                    self._spawn(self._feel(worker), f"pulse-{worker.number}")

    async def _feel(self, worker: WorkerProcess) -> None:
        try:
            await worker.ask("ping", None, PULSE_TIMEOUT_S)
        except TimeoutError:
            self.stuck += 1
            log.error("a worker is stuck and is killed", worker=worker.number, pid=worker.pid)
            await worker.kill()
        except ChannelClosed:
            pass  # it is gone, which _watch sees
        finally:
            self._felt.discard(worker)

    def _tables(self, blueprint: Blueprint) -> Tables | None:
        limit = blueprint.limits.connections_per_address_max
        if limit is not None and self._addresses is None:
            self._addresses = Tables.make(self.board.lines)
        return self._addresses

    def _return_line(self, worker: WorkerProcess) -> None:
        self._held.discard(worker)
        self._audience.part(worker)
        self.board.wipe(worker.line)
        if self._addresses is not None:
            self._addresses[worker.line].wipe()
        self._free_lines.append(worker.line)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
