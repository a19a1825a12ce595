"""SynFlow (Tanaka et al. 2020, arXiv:2006.05467): how much signal flows through all weights together.

With |w| in place of every weight and ones as input, R is the sum of the outputs, and the score sum(w dR/dw). Untrained
normalisations change nothing in inference. The computation is in float64, and the score a logarithm: R grows with each
layer. It needs no data; it says nothing of networks with attention, whose scores are not linear in their weights.
"""

import math

import keras
import numpy as np
from keras import ops

from kerasdl.gradients import by_weights

WHITE = 255.0  # an image of ones, once it is scaled


def score(network, x, y):
    copy = in_float64(network)
    copy.set_weights([np.abs(weight) for weight in network.get_weights()])
    ones = ops.full((1, *copy.input_shape[1:]), WHITE, dtype="float64")
    flow = by_weights(copy, lambda: ops.sum(copy(ones, training=False)))
    total = sum(float(ops.sum(ops.abs(gradient * variable))) for gradient, variable in zip(
        flow, copy.trainable_variables, strict=True))
    return math.log(total) if total > 0 else -math.inf


def in_float64(network):
    """Return a copy of a network of plain layers that computes in float64."""
    return keras.models.model_from_json(network.to_json().replace('"float32"', '"float64"'))
