"""A key set that is kept fresh.

One task loads from the origin, again and again. What was loaded stays in use until something better
is: an issuer that is away, or publishes nonsense, costs no client its connection. Everything that
wants newer keys asks the task and waits for it, so there is never more than one load under way.
"""

from __future__ import annotations

import asyncio
from random import Random

import structlog
from structlog.typing import FilteringBoundLogger

from wsgate.auth.keyset import KeySet, KeysUnusable
from wsgate.auth.limits import KeyLimits
from wsgate.auth.origins import Origin
from wsgate.backoff import full_jitter
from wsgate.throttle import Throttle


class KeySource:
    """Hands out ``keys``; ``start`` it, ``stop`` it."""

    def __init__(
        self,
        origin: Origin,
        *,
        limits: KeyLimits | None = None,
        random: Random | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._origin = origin
        self._limits = limits or KeyLimits()
        self._interval_s = origin.interval_s(self._limits)
        self._random = random or Random()
        self._log = (log or structlog.get_logger()).bind(origin=origin.name)
        self._throttle = Throttle(self._limits.log_interval_s)
        self._keys = KeySet()
        self._task: asyncio.Task[None] | None = None
        self._due_s = 0.0  # when to load next, by the loop's clock, as the next two
        self._began_s = float("-inf")
        self._loaded_s: float | None = None
        self._hurry = asyncio.Event()
        # How the load that is under way will end, and the one that begins next.
        self._current: asyncio.Future[bool] | None = None
        self._next: asyncio.Future[bool] | None = None
        self._waiting = 0
        self._loads = 0
        self._failures = 0
        self._failures_in_a_row = 0
        self._turned_away = 0

    @property
    def keys(self) -> KeySet:
        """The newest there are; an empty set before the first."""
        return self._keys

    @property
    def ready(self) -> bool:
        """Whether tokens can be checked: part of the answer to "are you ready?"."""
        return len(self._keys) > 0

    @property
    def renewable(self) -> bool:
        """Whether a key that is not known now may be known later."""
        return self._interval_s is not None

    async def start(self) -> None:
        """Begin. A URL is fetched in the background; anything else is there on return.

        Raises KeysUnusable if it is not: what is wrong on the own disk is for the operator to mend.
        """
        if self._task is not None:
            return
        if not self._origin.remote:
            self._loaded(await self._origin.load(self._limits))
        if self.renewable:
            if self.ready:
                self._due_s = self._after_success()
            self._task = asyncio.create_task(self._keep_fresh(), name="auth-keys")

    async def stop(self) -> None:
        """End, and leave no task behind. Who waits for newer keys is told that there are none."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        if self._next is not None:
            self._next.set_result(False)
            self._next = None

    async def refresh(self) -> bool:
        """Load now; True if that went well, whether there was anything new or not."""
        return await self._load_by(asyncio.get_running_loop().time())

    async def refresh_for_unknown_key(self) -> bool:
        """Wait for newer keys: the unknown one may be among them.

        If a load under way brings any, those will do. Otherwise it takes one that begins after this
        call. Loads that strangers can bring about with made-up names keep their distance from all
        others, so that may take a while; everybody who comes meanwhile shares it. False if it
        failed, or at once if too many are waiting already.
        """
        if self._waiting >= self._limits.unknown_key_waiters_max:
            self._turned_away += 1
            return False
        self._waiting += 1
        try:
            if self._current is not None:
                before = self._keys
                await asyncio.shield(self._current)
                if self._keys is not before:
                    return True
            return await self._load_by(self._began_s + self._limits.unknown_key_interval_s)
        finally:
            self._waiting -= 1

    def snapshot(self) -> dict[str, int | float]:
        """Totals and levels of this moment, for metrics. ``age_s`` is -1 before the first load."""
        age_s = -1.0
        if self._loaded_s is not None:
            age_s = asyncio.get_running_loop().time() - self._loaded_s
        return {
            "keys": len(self._keys),
            "skipped": self._keys.skipped,
            "age_s": age_s,
            "loads": self._loads,
            "failures": self._failures,
            "failures_in_a_row": self._failures_in_a_row,
            "waiting": self._waiting,
            "turned_away": self._turned_away,
        }

    # Asking the task

    async def _load_by(self, due_s: float) -> bool:
        if self._task is None:
            return False
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if due_s < self._due_s:
            self._due_s = due_s
            self._hurry.set()
        # Shielded: one client that leaves must not end the waiting of the others.
        return await asyncio.shield(self._next)

    # The task

    async def _keep_fresh(self) -> None:
        while True:
            await self._until_due()
            outcome = self._next or asyncio.get_running_loop().create_future()
            self._current, self._next = outcome, None
            succeeded = False
            try:
                succeeded = await self._load()
            finally:
                self._current = None
                outcome.set_result(succeeded)

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while (delay_s := self._due_s - loop.time()) > 0:
            self._hurry.clear()
            try:
                async with asyncio.timeout(delay_s):
                    await self._hurry.wait()
            except TimeoutError:
                pass

    async def _load(self) -> bool:
        loop = asyncio.get_running_loop()
        self._began_s = loop.time()
        # Set before the wait, so that who asks meanwhile can ask for the one after.
        self._due_s = float("inf")
        try:
            key_set = await self._origin.load(self._limits)
        except Exception as error:
            self._failed(error)
            next_s = self._after_failure()
        else:
            self._loaded(key_set)
            next_s = self._after_success()
        self._due_s = min(self._due_s, next_s)
        return self._failures_in_a_row == 0

    def _after_success(self) -> float:
        assert self._interval_s is not None
        now_s = asyncio.get_running_loop().time()
        # Gateways that started together do not ask together for ever.
        return now_s + self._interval_s * self._random.uniform(0.9, 1.1)

    def _after_failure(self) -> float:
        return asyncio.get_running_loop().time() + full_jitter(
            self._failures_in_a_row - 1,
            base_s=self._limits.backoff_base_s,
            cap_s=self._limits.backoff_cap_s,
            random=self._random,
        )

    # What came of it

    def _loaded(self, key_set: KeySet | None) -> None:
        self._loads += 1
        self._failures_in_a_row = 0
        self._loaded_s = asyncio.get_running_loop().time()
        self._throttle.forget("failed")
        if key_set is None:
            return
        self._keys = key_set
        self._say(
            "info",
            "auth_keys_loaded",
            keys=len(key_set),
            skipped=key_set.skipped,
            algorithms=sorted({key.algorithm for key in key_set.keys}),
        )

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._failures_in_a_row += 1
        held_back = self._throttle.admit("failed")
        if held_back is None:
            return
        self._say(
            "warning",
            "auth_keys_failed",
            # Any other exception is a fault of ours, and what its text shows nobody knows.
            error=str(error) if isinstance(error, KeysUnusable) else type(error).__name__,
            held_back=held_back,
            in_use=len(self._keys),
            hint="the keys in use stay in use"
            if self._keys.keys
            else "no token can be checked until there are keys",
        )

    def _say(self, level: str, event: str, **details: object) -> None:
        try:
            getattr(self._log, level)(event, **details)
        except Exception:
            pass  # a log that cannot be written ends nothing
