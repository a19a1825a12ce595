"""ZiCo (Li et al. 2023, arXiv:2301.11300): how steady the gradients of each layer are from batch to batch.

The score is the sum over layers of log(sum over a layer's weights of mean |g| / deviation of |g|), where g are the
gradients of the loss in several batches.
"""

import math

import numpy as np
from keras import losses, ops

from kerasdl.gradients import by_weights

LOOKS = True
BATCHES, BATCH = 4, 16
LEAST = 2  # dimensions of a kernel: gains and biases do not count


def score(network, x, y):
    """Raises ValueError for fewer than two batches of examples."""
    if len(x) < 2 * BATCH:
        raise ValueError(f"ZiCo compares batches of {BATCH} examples, two or more. Received: {len(x)} examples.")
    seen = []
    for start in range(0, min(len(x) - BATCH + 1, BATCHES * BATCH), BATCH):
        some, labels = (ops.convert_to_tensor(part[start:start + BATCH]) for part in (x, y))

        def loss(some=some, labels=labels):
            logits = network(some, training=True)
            return ops.mean(losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))

        seen.append([np.abs(ops.convert_to_numpy(gradient)) for gradient in by_weights(network, loss)])
    total = 0.0
    for kernel in (np.stack(found) for found in zip(*seen, strict=True)):
        deviation = kernel.std(0)
        steady = (kernel.mean(0)[deviation > 0] / deviation[deviation > 0]).sum()
        if kernel.ndim - 1 >= LEAST and steady > 0:
            total += math.log(steady)
    return total
