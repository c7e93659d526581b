"""nats-py's client, without the parts through which a publisher can break it or delay another.

A subject, a reply subject or a header that nats-py cannot decode ends its read loop, and whoever
may publish may send one. Here all three are handed on as the bytes they are.

nats-py hands each message to a task of its subscription, which gets it a round of the event loop
later. Under attack a round takes milliseconds: so a message is handed over where it is read.

The methods replaced are private to nats-py: its version is pinned to the minor one, and tests with
a real server see each of them at work.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from fcntl import ioctl
from termios import FIONREAD

from nats.aio.client import DEFAULT_BUFFER_SIZE, Client
from nats.protocol import command
from nats.protocol.parser import Parser

Receiver = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes subject, reply subject, payload and header of a message. Must not raise."""


class _Parser(Parser):
    """Says when all that had come was handed over, and then lets more come before it reads on."""

    def __init__(
        self, client: HardenedClient, on_all_read: Callable[[], None], gather_s: float
    ) -> None:
        super().__init__(client)
        self._client = client
        self._on_all_read = on_all_read
        self._gather_s = gather_s

    async def parse(self, data: bytes = b"") -> None:
        await super().parse(data)
        if len(data) == DEFAULT_BUFFER_SIZE:
            # There is more, and its turn is next; or it was just as much as one may be.
            asyncio.get_running_loop().call_soon(self._on_all_read)
            return
        self._on_all_read()
        if self._gather_s:
            # Of a transport that is not read the kernel wakes nobody.
            self._client.pause_reading()
            try:
                await asyncio.sleep(self._gather_s)
            finally:
                self._client.resume_reading()


class HardenedClient(Client):
    """Calls ``on_reader_end`` when its read loop has ended, for whatever reason.

    And ``on_all_read`` when everything that had come was handed to the receivers.
    With ``gather_s`` nothing is read for so long after that: under load one read then has many
    messages, and each costs a fraction, but for being as much later.
    """

    def __init__(
        self,
        on_reader_end: Callable[[], None],
        on_all_read: Callable[[], None],
        *,
        gather_s: float = 0.0,
    ) -> None:
        super().__init__()
        self._on_reader_end = on_reader_end
        self._ps = _Parser(self, on_all_read, gather_s)
        self._receivers: dict[int, Receiver] = {}

    def pause_reading(self) -> None:
        self._transport._io_writer.transport.pause_reading()  # type: ignore[union-attr]

    def resume_reading(self) -> None:
        transport = self._transport._io_writer.transport  # type: ignore[union-attr]
        if not transport.is_closing():
            transport.resume_reading()

    async def listen(self, subject: str, receiver: Receiver) -> int:
        """Subscribe; returns what :meth:`unlisten` wants."""
        self._sid += 1
        sid = self._sid
        self._receivers[sid] = receiver
        await self._send_command(command.sub_cmd(subject, "", sid))
        await self._flush_pending()
        return sid

    async def unlisten(self, sid: int) -> None:
        """From now on nothing reaches the receiver, not even what has come already."""
        if self._receivers.pop(sid, None) is not None and self.is_connected:
            await self._send_unsubscribe(sid)

    def send(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Publish, in the next turn of the loop: for those who cannot wait. Of no use if closed."""
        if not self.is_connected or self._flush_queue is None:
            return
        message = command.pub_cmd(subject, reply, payload)
        self._pending.append(message)
        self._pending_data_size += len(message)
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        receiver = self._receivers.get(sid)
        if receiver is not None:
            receiver(subject, reply, data, headers)

    async def _process_pong(self) -> None:
        """Who asked may be gone by now, which nats-py would end its read loop for."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    def write(self, commands: bytes) -> None:
        """Whole commands, past nats-py's queue, which has no bound and costs a task each time."""
        self._transport.write(commands)  # type: ignore[union-attr]  # who is connected has one

    def unwritten_bytes(self) -> int:
        """What was written and the kernel does not take yet."""
        writer = getattr(self._transport, "_io_writer", None)
        return 0 if writer is None else int(writer.transport.get_write_buffer_size())

    def unsubscribe_all(self) -> None:
        """Ask for no more. What is on its way still comes to the callbacks, as in no nats-py."""
        self.write(b"".join(b"UNSUB %d\r\n" % sid for sid in self._receivers))

    def unread_bytes(self) -> int:
        """What the kernel has received and nobody has read; of ciphertext, with TLS."""
        writer = getattr(self._transport, "_bare_io_writer", None)
        if writer is None or writer.is_closing():
            return 0
        unread = array("i", [0])
        ioctl(writer.get_extra_info("socket").fileno(), FIONREAD, unread)
        return unread[0]

    async def _read_loop(self) -> None:
        try:
            await super()._read_loop()
        finally:
            self._on_reader_end()
