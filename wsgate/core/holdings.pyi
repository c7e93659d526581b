"""The keyframes that a connection holds, as the gateway remembers them."""

class Holdings:
    """What one connection holds."""

    def find(self, number: int, /) -> int | None:
        """The generation that is held of the channel with this number."""

    def put(self, number: int, generation: int) -> None:
        """This keyframe has been sent."""

    def __len__(self) -> int:
        """Of how many channels a keyframe is held."""
