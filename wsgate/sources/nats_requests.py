"""Questions to a NATS server, and which answer belongs to which.

All answers come on one subscription, made when the first question is asked. nats-py has the same,
but learns nothing from a refusal: here whoever asks what he must not ask is told so at once.
"""

from __future__ import annotations

import asyncio
import itertools

from wsgate.sources.nats_client import HardenedClient


class NoResponders(Exception):
    """Nobody answers this kind of question."""


class RequestDenied(Exception):
    """This user must not ask that, or must not hear the answer."""


class Requests:
    """The questions of one connection."""

    def __init__(self, client: HardenedClient) -> None:
        self._client = client
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, tuple[str, asyncio.Future[bytes]]] = {}
        self._over: Exception | None = None
        self.answered = 0

    async def ask(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The answer. TimeoutError, NoResponders, RequestDenied, or why the connection is lost."""
        if self._over is not None:
            raise self._over
        if not self._inbox:
            self._inbox = self._client.new_inbox()
            await self._client.listen(f"{self._inbox}.*", self._on_answer)
        reply = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        key = reply.encode()
        self._waiting[key] = subject, answer
        try:
            self._client.send(subject, payload, reply)
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            del self._waiting[key]

    def denied(self, objection: str) -> bool:
        """Whether what the server objects to, in lower case, is one of the questions."""
        if self._inbox and f'"{self._inbox.lower()}.*"' in objection:
            self.end(RequestDenied("must not subscribe to its own inbox, _INBOX.>"))
            return True
        subjects = [one for one, _ in self._waiting.values() if f'"{one.lower()}"' in objection]
        for subject, answer in self._waiting.values():
            if subject in subjects and not answer.done():
                answer.set_exception(RequestDenied(f"must not publish to {subject}"))
        return bool(subjects)

    def end(self, reason: Exception) -> None:
        """No question is answered any more."""
        self._over = reason
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(reason)

    def _on_answer(
        self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None
    ) -> None:
        self.answered += 1
        _, answer = self._waiting.get(subject, (None, None))
        if answer is None or answer.done():
            return  # it took too long
        if not payload and header is not None and header.startswith(b"NATS/1.0 503"):
            answer.set_exception(NoResponders("nobody answers"))
        else:
            answer.set_result(payload)
