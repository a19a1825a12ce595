"""NASWOT (Mellor et al. 2021, arXiv:2006.04647): how differently the ReLUs of a network see the examples of a batch.

Each example has a code c, one bit for each ReLU that is above zero. With K the number of bits that two examples share,
the score is log det K.
"""

import keras
import numpy as np
from keras import ops

EXAMPLES = 64
LOOKS = True


def score(network, x, y):
    """Raises ValueError if the network has no ReLU."""
    outputs = [layer.output for layer in network.layers if is_relu(layer)]
    if not outputs:
        raise ValueError("NASWOT counts ReLUs, and this network has none.")
    probe = keras.Model(network.inputs, outputs)
    found = probe(ops.convert_to_tensor(x[:EXAMPLES]), training=True)
    shared = 0.0
    for output in found if isinstance(found, (list, tuple)) else [found]:
        code = (ops.convert_to_numpy(output).reshape(len(output), -1) > 0).astype("float64")
        shared = shared + code @ code.T + (1 - code) @ (1 - code).T
    return float(np.linalg.slogdet(shared)[1])


def is_relu(layer):
    return isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu
