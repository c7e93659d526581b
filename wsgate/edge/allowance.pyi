"""How much one connection may ask: a token bucket for commands and one for pings."""

class Allowance:
    """Commands and pings a second, and how many at once. A rate of 0 is no limit."""

    def __init__(
        self,
        *,
        commands_per_s: float,
        commands_burst: float,
        pings_per_s: float,
        pings_burst: float,
    ) -> None: ...
    @property
    def commands_per_s(self) -> float: ...
    @property
    def commands_burst(self) -> float: ...
    @property
    def pings_per_s(self) -> float: ...
    @property
    def pings_burst(self) -> float: ...
