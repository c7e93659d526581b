"""The raw client over TLS: below it, the same socket; above it, the same bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from tests.support.client import READ_BYTES, Client, Ended
from tests.support.frames import Frame


class TlsClient(Client):
    """``secure`` makes one of a bare client."""

    def __init__(self, bare: Client, context: ssl.SSLContext, session: ssl.SSLSession | None):
        super().__init__(bare.socket)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname="127.0.0.1", session=session
        )
        self.notified = False
        """Whether it was ended by close_notify."""

    @classmethod
    async def secure(
        cls, bare: Client, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> TlsClient:
        """Do the TLS handshake; Ended if the gateway leaves instead."""
        client = cls(bare, context, session)
        await client._with_more(client.tls.do_handshake)
        await client.flush()
        return client

    async def _with_more(self, step: Callable[[], Any], most: int = READ_BYTES) -> Any:
        """The step's result, after as many reads from the socket as it needs."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self.flush()
                self._incoming.write(await super().read(most))

    async def flush(self) -> None:
        """Send what TLS wants to."""
        if self._outgoing.pending:
            await super().send(self._outgoing.read())

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def read(self, most: int = READ_BYTES) -> bytes:
        try:
            data: bytes = await self._with_more(lambda: self.tls.read(most), most)
        except ssl.SSLZeroReturnError:
            data = b""
        if not data:
            self.notified = True
            raise Ended
        return data

    def feed(self, data: bytes) -> list[Frame]:
        """What the socket gave is encrypted."""
        self._incoming.write(data)
        frames: list[Frame] = []
        try:
            while plain := self.tls.read(READ_BYTES):
                frames += super().feed(plain)
        except ssl.SSLWantReadError:
            pass
        return frames

    async def until_closed(self) -> None:
        """Until the socket itself is closed, which TLS was about to say."""
        while await asyncio.get_running_loop().sock_recv(self.socket, READ_BYTES):
            pass
