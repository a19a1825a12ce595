"""How far the method is off where a step can be measured: this machine's CPU."""

import timeit
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import tensorflow as tf

from kerasdl.environment import gemm_peak
from kerasdl.plan.step import Step

CALLS = 5
LENGTH = 2**25  # of vectors that fit into no cache


def measured(step: Step, batch: int) -> dict[str, Any]:
    """Return XLA's count of the step's operations and bytes, this CPU's rates, what follows, and the fastest step."""
    cost = step.lower(batch, jax.devices("cpu")[:1]).compile().cost_analysis()
    examples, *others = keras.tree.flatten(step.specs(batch))
    highest = 256 if examples.dtype == np.uint8 else 2  # a token has to be in the vocabulary
    x = tf.constant(np.random.default_rng(0).integers(0, highest, examples.shape).astype(examples.dtype))
    others, function = [tf.zeros(spec.shape, spec.dtype) for spec in others], step.function()
    a, b, c = np.ones((3, LENGTH), "float32")

    def triad():
        np.multiply(b, 3, out=c)
        np.add(a, c, out=c)

    rate, bandwidth = 1e9 * gemm_peak(), 5 * a.nbytes / fastest(triad)
    compute, memory = cost["flops"] / rate, cost["bytes accessed"] / bandwidth
    return {"label": "compiled, and run on this processor", "flops": cost["flops"], "bytes": cost["bytes accessed"],
            "rate": rate, "bandwidth": bandwidth, "bounds": {"operations": compute, "bytes": memory,
            "the larger": max(compute, memory), "both": compute + memory},
            "measured_seconds": fastest(lambda: function(x, *others)["loss"].numpy())}


def fastest(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few calls, after one that is not counted."""
    return min(timeit.repeat(call, number=1, repeat=CALLS + 1)[1:])
