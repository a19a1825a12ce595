"""What a request may cost, and how one that is refused is answered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

VALUES = 2**26  # of all examples of a request, as the model takes them: 256 MB of float32


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        megabytes: of a request's body.
        examples: in a request.
        megapixels: of an image, before it is decoded.
        seconds: until a body is read, and again until it is answered.
        waiting: examples that wait for the model, of all requests.
    """

    megabytes: float = 20
    examples: int = 1000
    megapixels: float = 50
    seconds: float = 30
    waiting: int = 4096

    @property
    def bytes(self) -> int:
        return int(self.megabytes * 1e6)

    @property
    def pixels(self) -> int:
        return int(self.megapixels * 1e6)


class Refused(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        why: one line.
        headers: of the answer.
    """

    def __init__(self, status: int, why: str, headers: dict[str, str] | None = None):
        super().__init__(" ".join(why.split()))
        self.status, self.headers = status, headers or {}


def check_count(count: int, limits: Limits, shape: Sequence[int]) -> None:
    """Raise a Refused for no examples, or for too many; `shape` is that of an example, as the model takes it."""
    if not count:
        raise Refused(422, "The request holds no examples.")
    if count > limits.examples:
        raise Refused(413, f"A request may hold {limits.examples:,} examples. Received: {count:,}. Send several.")
    if count > (most := max(1, VALUES // math.prod(shape))):
        raise Refused(413, f"A request may hold {most:,} examples of {math.prod(shape):,} values each. Received: "
                           f"{count:,}. Send several.")
