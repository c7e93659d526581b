"""max_rate: a connection that wants its state channels at most n times a second."""

from wsgate.core.channel import Channels

class Pace:
    """One connection's clocks."""

class Paces:
    """The clocks of all connections, by slot."""

    def __init__(self, channels: Channels) -> None: ...
