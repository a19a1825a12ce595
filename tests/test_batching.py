"""Requests that wait at the same time are answered together, and a lonely one for itself."""

import asyncio
import threading

import numpy as np
import pytest

from kerasdl.deploy.serving.batching import Batcher
from kerasdl.deploy.serving.limits import Refused


def run(scenario, **settings):
    """Run a coroutine function of a batcher and the sizes of its batches, and return what it returns."""
    async def main():
        sizes = []
        batcher = Batcher(watch=lambda size, seconds: sizes.append(size), **settings)
        worker = asyncio.create_task(batcher.run())
        try:
            return await asyncio.wait_for(scenario(batcher, sizes), 60)
        finally:
            worker.cancel()
            batcher.close()

    return asyncio.run(main())


def doubled(x):
    return 2 * x


def test_what_waits_together_is_answered_together_and_apart():
    async def scenario(batcher, sizes):
        x = [np.full((1 + place % 3, 2), place) for place in range(40)]
        for given, outputs in zip(x, await asyncio.gather(*map(batcher.submit, x)), strict=True):
            np.testing.assert_array_equal(outputs, 2 * given)
        return sizes

    sizes = run(scenario, call=doubled, most=8)
    assert sum(sizes) == sum(1 + place % 3 for place in range(40)) and max(sizes) <= 8 and len(sizes) < 15


def test_a_request_of_more_than_a_batch_keeps_its_order():
    x = np.arange(50).reshape(25, 2)
    np.testing.assert_array_equal(run(lambda batcher, _: batcher.submit(x), call=doubled, most=8), 2 * x)


def test_a_batch_waits_for_a_request_that_is_being_read_and_a_lonely_one_for_nobody():
    async def scenario(batcher, sizes):
        await batcher.submit(np.zeros((1, 1)))  # would take an hour
        with batcher.expected():
            first = asyncio.create_task(batcher.submit(np.zeros((1, 1))))
            for _ in range(9):  # until the batch waits
                await asyncio.sleep(0)
        await batcher.submit(np.zeros((1, 1)))
        await first
        return sizes

    assert run(scenario, call=doubled, wait=3600) == [1, 2]


@pytest.mark.parametrize(("wait", "threads"), [(3600, [False, True, False]), (0, [False, False, False])])
def test_a_lonely_request_of_a_quick_model_needs_no_other_thread(wait, threads):
    own, here = threading.main_thread(), []

    def call(x):
        here.append(threading.current_thread() is own)
        return x

    async def scenario(batcher, sizes):
        for count in (1, 1, 2):  # the first one tells how quick it is, and two are gathered
            await asyncio.gather(*(batcher.submit(np.zeros((1, 1))) for _ in range(count)))
        return here

    assert run(scenario, call=call, wait=wait) == threads


def test_a_full_queue_is_refused_and_what_was_given_up_is_not_computed():
    entered, free, calls = threading.Event(), threading.Event(), []

    def slow(x):
        calls.append(len(x))
        entered.set()
        free.wait()
        return x

    async def scenario(batcher, sizes):
        first = asyncio.create_task(batcher.submit(np.zeros((1, 1))))
        await asyncio.to_thread(entered.wait)
        second, third = (asyncio.create_task(batcher.submit(np.zeros((2, 1)))) for _ in range(2))
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="Too many") as refused:
            await batcher.submit(np.zeros((1, 1)))
        assert refused.value.status == 503 and refused.value.headers["Retry-After"]
        second.cancel()
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(first, third)
        assert batcher.queued == 0
        return calls

    assert run(scenario, call=slow, room=4) == [1, 2]


def test_a_model_that_fails_fails_one_batch():
    def fragile(x):
        if x.min() < 0:
            raise RuntimeError("no")
        return x

    async def scenario(batcher, sizes):
        with pytest.raises(Refused, match="failed"):
            await batcher.submit(np.full((1, 1), -1))
        return await batcher.submit(np.ones((1, 1)))

    assert run(scenario, call=fragile)[0, 0] == 1
