"""Unstructured pruning: weights of small magnitude become zero while the network learns, and stay zero.

The share of zeros rises by a cubic schedule (Zhu & Gupta 2018, "To Prune, or Not to Prune", arXiv:1710.01878), once an
epoch, and is constant in the last quarter of the training. Which weights go is decided over all layers by LAMP (Lee et
al. 2021, arXiv:2010.07611), by which the largest weight of a layer always stays, so that no layer dies.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

RISES = 0.75  # of the epochs


def share_of_zeros(epoch: int, epochs: int, target: float) -> float:
    """Return the share of zeros after an epoch, of which the first is 0."""
    left = max(0.0, 1 - (epoch + 1) / first_full(epochs))
    return target * (1 - left**3)


def first_full(epochs: int) -> int:
    """Return after how many epochs the target is reached."""
    return math.ceil(RISES * epochs)


def kernels(network: keras.Model) -> list[keras.Variable]:
    """Return what is pruned: the matrices and filters that learn."""
    return [variable for variable in network.trainable_variables if variable.name == "kernel"]


def masks_of(values: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Return for each of some kernels 1 where a weight stays and 0 where it goes, float32.

    A weight's score is its square by the sum of the squares that are no smaller in its layer.
    """
    scores = []
    for kernel in values:
        squares = np.square(kernel.astype("float64")).ravel()
        order = np.argsort(squares, kind="stable")
        score = np.empty_like(squares)
        score[order] = squares[order] / np.maximum(np.cumsum(squares[order][::-1])[::-1], 1e-300)
        scores.append(score)
    flat = np.concatenate(scores)
    keep = np.ones(len(flat), "float32")
    keep[np.argsort(flat, kind="stable")[:round(share * len(flat))]] = 0
    cuts = np.cumsum([len(score) for score in scores])[:-1]
    return [part.reshape(kernel.shape) for part, kernel in zip(np.split(keep, cuts), values, strict=True)]


class Pruner:
    """Keep pruned weights at zero in every step. A plain object, so that Keras does not track it.

    Args:
        model: what is fitted. It gets the masks, so that they are saved and restored with its state.
        network: what learns.
        kept: its average, or itself.
    """

    def __init__(self, model: keras.Model, network: keras.Model, kept: keras.Model):
        self.kernels = kernels(network)
        self.masks = [model.add_weight(shape=kernel.shape, initializer="ones", trainable=False, name=f"mask{i}")
                      for i, kernel in enumerate(self.kernels)]
        self.pairs = list(zip(self.kernels, self.masks, strict=True))
        if kept is not network:
            average = dict(zip(map(id, network.variables), kept.variables, strict=True))
            self.pairs += [(average[id(kernel)], mask) for kernel, mask in self.pairs]

    def update(self, step: Any) -> None:
        """Apply the masks in a replica, after a step."""
        tf.distribute.get_replica_context().merge_call(self._apply)

    def _apply(self, strategy) -> None:
        """Change each replica's own copy, which is the same everywhere: an assignment in a replica would be summed."""
        for kernel, mask in self.pairs:
            strategy.extended.update(kernel.value, lambda kernel, mask: kernel.assign(kernel * mask),
                                     args=(mask.value,), group=False)

    def updated(self, values: Mapping[int, Any], step: Any) -> dict[int, Any]:
        """Return new values of variables after a step, {id: value}, with the masks applied, on JAX."""
        return {**values, **{id(kernel): values[id(kernel)] * values[id(mask)] for kernel, mask in self.pairs}}

    def prune(self, share: float) -> None:
        """Choose the masks anew, between two steps, for a share of zeros."""
        found = masks_of([ops.convert_to_numpy(kernel) for kernel in self.kernels], share)
        for mask, chosen in zip(self.masks, found, strict=True):
            mask.assign(chosen)
        for kernel, mask in self.pairs:
            kernel.assign(ops.convert_to_numpy(kernel) * ops.convert_to_numpy(mask))


class Prune(keras.callbacks.Callback):
    """Choose the masks after each epoch in which the share of zeros rises, before the network is validated."""

    def __init__(self, pruner: Pruner, epochs: int, target: float):
        super().__init__()
        self.pruner, self.epochs, self.target = pruner, epochs, target

    def on_epoch_end(self, epoch, logs=None):
        if epoch < first_full(self.epochs):
            self.pruner.prune(share_of_zeros(epoch, self.epochs, self.target))


def zeros(network: keras.Model) -> float:
    """Return the share of zeros in the kernels of a network."""
    values = [ops.convert_to_numpy(kernel) for kernel in kernels(network)]
    return float(sum((value == 0).sum() for value in values) / max(1, sum(value.size for value in values)))
