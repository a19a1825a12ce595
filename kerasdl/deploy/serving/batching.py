"""Requests that wait at the same time are answered together: one call of the model for many of them."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from kerasdl.deploy.serving.limits import Refused

logger = logging.getLogger(__name__)


@dataclass
class Waiting:
    """Some examples (N, ...) of one request, and where their outputs go."""

    x: np.ndarray
    outputs: "asyncio.Future[np.ndarray]"


class Batcher:
    """Gather examples into batches, one batch at a time in a thread of its own.

    While a batch is computed, the next one gathers. The batch waits for requests that are being read, but never longer
    than `wait`, and not at all for a request that is alone.

    Args:
        call: the model, (B, ...) -> outputs.
        most: examples of a batch.
        wait: seconds.
        room: examples that may wait. More are refused.
        watch: is called with the size of each batch, and the seconds that the model took.
    """

    def __init__(self, call: Callable[[np.ndarray], np.ndarray], most: int = 32, wait: float = 0.002, room: int = 4096,
                 watch: Callable[[int, float], None] = lambda size, seconds: None):
        self.call, self.most, self.wait, self.room, self.watch = call, most, wait, room, watch
        self.queue: deque[Waiting] = deque()
        self.queued = self.reading = 0
        self.took = math.inf  # seconds of the last call
        self.some, self.complete = asyncio.Event(), asyncio.Event()
        self.thread = ThreadPoolExecutor(1, "model")

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Within it a request is being read, which a batch may wait for."""
        self.reading += 1
        try:
            yield
        finally:
            self.reading -= 1
            self._look()

    async def submit(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs of some examples (N, ...).

        Raises:
            Refused: too many wait.
        """
        if self.queued + len(x) > self.room:
            raise Refused(503, "Too many examples wait for the model. Try again in a second.", {"Retry-After": "1"})
        loop = asyncio.get_running_loop()
        parts = [Waiting(x[start:start + self.most], loop.create_future()) for start in range(0, len(x), self.most)]
        self.queue.extend(parts)
        self.queued += len(x)
        self.some.set()
        self._look()
        outputs = await asyncio.gather(*(part.outputs for part in parts))
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _look(self) -> None:
        if not self.reading or self.queued >= self.most:
            self.complete.set()
        else:
            self.complete.clear()

    async def run(self) -> None:
        """Answer for ever; to be cancelled."""
        while True:
            await self.some.wait()
            if self.reading and self.queued < self.most:
                try:
                    await asyncio.wait_for(self.complete.wait(), self.wait)
                except TimeoutError:
                    pass
            if batch := self._taken():
                await self._answer(batch)

    def _taken(self) -> list[Waiting]:
        """Return what makes the next batch, without requests that were given up meanwhile."""
        batch: list[Waiting] = []
        size = 0
        while self.queue and size + len(self.queue[0].x) <= self.most:
            part = self.queue.popleft()
            self.queued -= len(part.x)
            if not part.outputs.done():
                batch.append(part)
                size += len(part.x)
        if not self.queue:
            self.some.clear()
        return batch

    async def _answer(self, batch: list[Waiting]) -> None:
        loop = asyncio.get_running_loop()
        x = batch[0].x if len(batch) == 1 else np.concatenate([part.x for part in batch])
        began = loop.time()
        alone = len(batch) == 1 and not self.queue and not self.reading
        try:
            if alone and self.took < self.wait:  # nobody waits longer than for a batch, and two threads cost more
                outputs = self.call(x)
            else:
                outputs = await loop.run_in_executor(self.thread, self.call, x)
        except Exception as error:  # a runtime raises anything, and the next batch may be fine
            logger.warning("the model failed: %s", " ".join(str(error).split())[:300])
            for part in batch:
                if not part.outputs.done():
                    part.outputs.set_exception(Refused(500, "The model failed on this batch."))
            return
        self.took = loop.time() - began
        self.watch(len(x), self.took)
        start = 0
        for part in batch:
            if not part.outputs.done():
                part.outputs.set_result(outputs[start:start + len(part.x)])
            start += len(part.x)

    def close(self) -> None:
        self.thread.shutdown()
