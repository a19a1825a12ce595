"""What this processor does in a second, and how long the compiled step takes on it."""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

CALLS = 5
SIDE, LENGTH = 2048, 2**25  # of a product of matrices, and of vectors that fit into no cache


def measured(step, batch: int) -> dict[str, float]:
    """Operations and bytes of the step by XLA's count for a processor, this one's rates, and the step's seconds."""
    import jax

    here = jax.devices("cpu")[:1]
    _, cost, _ = step.program(batch, here).start(here)
    rng = np.random.default_rng(0)
    (examples, kind), (targets, _) = step.examples, step.targets
    x = tf.constant(rng.integers(0, 256, (batch, *examples)).astype(kind))
    y = tf.zeros((batch, *targets), step.targets[1])
    function = step.function()
    return {"flops": cost["flops"], "bytes": cost["bytes accessed"], "rate": rate(), "bandwidth": bandwidth(),
            "measured_seconds": fastest(lambda: function(x, y)["loss"].numpy())}


def rate() -> float:
    """float32 operations a second of a large product of matrices."""
    a = tf.random.stateless_normal((SIDE, SIDE), (0, 1))
    return 2 * SIDE**3 / fastest(lambda: (a @ a)[0, 0].numpy())


def bandwidth() -> float:
    """Bytes a second of a triad, c = a + 3 b."""
    a, b, c = (np.ones(LENGTH, "float32") for _ in range(3))

    def triad():
        np.multiply(b, 3, out=c)
        np.add(a, c, out=c)

    return 5 * a.nbytes / fastest(triad)


def fastest(call: Callable[[], object]) -> float:
    """Seconds of the fastest of a few calls, after the first."""
    call()
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)
