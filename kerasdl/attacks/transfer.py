"""A small network that has learned the answers of a model: what fools it may fool the model, too."""

import keras
import numpy as np
from keras import layers

from kerasdl.attacks.network import Attacked

FILTERS = 32
PASSES = 8  # over the images that it learns from
BATCH = 64


def substitute(model: keras.Model | Attacked, x: np.ndarray, seed: int = 0) -> keras.Model:
    """Return a small convolutional network, images -> logits, that has learned what a model answers to some images.

    Args:
        model: raw images -> logits.
        x: images (N, H, W, C), bytes or floats 0..255, which are not those that are attacked.
        seed: of weights and of the order of the images.
    """
    attacked = Attacked.of(model)
    said, random = attacked.logits(x).argmax(1), np.random.default_rng([seed, 0, 3])
    drawn = iter(random.integers(0, 2**31, 4).tolist())

    def initial():
        return keras.initializers.GlorotUniform(seed=next(drawn))

    inputs = keras.Input(x.shape[1:])
    h = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    h = layers.Conv2D(FILTERS, 3, padding="same", activation="relu", kernel_initializer=initial())(h)
    h = layers.Conv2D(FILTERS, 3, strides=2, padding="same", activation="relu", kernel_initializer=initial())(h)
    h = layers.Conv2D(2 * FILTERS, 3, strides=2, padding="same", activation="relu", kernel_initializer=initial())(h)
    network = keras.Model(inputs, layers.Dense(attacked.classes, kernel_initializer=initial())(layers.Flatten()(h)))
    network.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    size = min(BATCH, len(x))
    order = np.concatenate([random.permutation(len(x))[:len(x) // size * size] for _ in range(PASSES)])
    network.fit(x[order], said[order], batch_size=size, shuffle=False, verbose=0)
    return network
