"""Encoded WebSocket frames, built once and shared by everybody they are owed to."""

PREFIX_TYPE: bytes
PREFIX_CHANNEL: bytes
PREFIX_SEQ: bytes

def publication_head(kind: str, channel: str) -> bytes:
    """The part of a publication's envelope that never changes for a channel."""

class Frame:
    """One shared frame; ``bytes(frame)`` is what goes over the wire."""

    @staticmethod
    def text(payload: bytes, *, deflated: bool = False) -> Frame:
        """A text message, queued as it comes; `deflated`: compressed already (RFC 7692 6)."""

    @staticmethod
    def binary(payload: bytes, *, deflated: bool = False) -> Frame:
        """A binary message, queued as it comes; `deflated`: as of ``text``."""

    @staticmethod
    def feed(payload: bytes) -> Frame:
        """A text message about the feed: a newer one takes the place of an owed one."""

    @staticmethod
    def pong(payload: bytes) -> Frame:
        """A PONG with at most 125 bytes; of many only the first few and the newest stay owed."""

    @staticmethod
    def ping() -> Frame:
        """An empty PING."""

    @staticmethod
    def close(code: int | None = None, reason: str = "") -> Frame:
        """A CLOSE; `reason` is at most 123 bytes of UTF-8. No code: an empty CLOSE."""

    @staticmethod
    def publication(kind: str, channel: str, seq: int, prev: int, payload: bytes) -> Frame:
        """A publication in its envelope; `payload` is JSON already."""

    @property
    def references(self) -> int:
        """How many owners the frame has, this object included."""

    @property
    def channel(self) -> str:
        """The channel's name as read from the frame; empty if it is not a publication."""

    def __bytes__(self) -> bytes:
        """The header and the payload."""

    def __len__(self) -> int:
        """The size of both, in bytes."""
