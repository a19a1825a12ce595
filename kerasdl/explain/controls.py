"""Maps that know nothing of the model, which a method has to beat; and one that looks right and is not."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from scipy.ndimage import sobel

from kerasdl.explain.network import Network
from kerasdl.zoo.blocks import set_weights

Maps = Callable[[Network, np.ndarray, int], np.ndarray]


def random(network: Network, x: np.ndarray, seed: int) -> np.ndarray:
    """Return random numbers at the places of the examples."""
    return np.random.default_rng(seed).random(network.present(x).shape)


def edges(network: Network, x: np.ndarray, seed: int) -> np.ndarray:
    """Return how much an image or a sequence changes at each place, by Sobel's filter."""
    numbers = np.nan_to_num(network.numbers(x)).astype("float64")
    axes = range(1, numbers.ndim - 1)
    return np.sqrt(sum(np.square(sobel(numbers, axis=axis)) for axis in axes).sum(axis=-1))


def centre(network: Network, x: np.ndarray, seed: int) -> np.ndarray:
    """Return how near each place is to the middle of an image, or of the steps that are there."""
    present = network.present(x)
    if present.ndim == 3:
        rows, columns = (np.linspace(-1, 1, side) for side in present.shape[1:])
        return np.broadcast_to(-np.hypot(rows[:, None], columns), present.shape)
    middle = (present.sum(1, keepdims=True) - 1) / 2
    return -np.abs(np.arange(present.shape[1]) - middle)


CONTROLS: dict[str, dict[str, Maps]] = {  # of each kind of example
    "image": {"random": random, "edges": edges, "centre": centre},
    "sequence": {"random": random, "edges": edges, "centre": centre},
    "tokens": {"random": random, "centre": centre}, "row": {"random": random}}


class GuidedBackprop:
    """Gradients in which only positive ones pass a ReLU: Springenberg et al. 2015, arXiv:1412.6806.

    Such maps are sharp, and stay nearly the same if the last layers of the model are randomised (Adebayo et al. 2018,
    arXiv:1810.03292). It is no method here: it is the control that the check of random weights has to catch.

    Args:
        network: the model, whose weights are read at each call.
    """

    def __init__(self, network: Network):
        self.network, self.copy = network, Network(guided(network.model), network.kind, network.batch)

    def __call__(self, x: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the guided gradients of the targets' logits (N,) by the numbers of examples (N, ...)."""
        set_weights(self.copy.model, self.network.model.get_weights())
        return self.copy.gradients(x, target)[1]


def guided(model: keras.Model) -> keras.Model:
    """Return a copy of a model, with weights of its own, whose ReLUs pass positive gradients only."""

    @ops.custom_gradient
    def relu(x):
        positive = ops.cast(x > 0, x.dtype)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return upstream * positive * ops.cast(upstream > 0, upstream.dtype)

        return x * positive, gradient

    def copied(layer):
        found = layer.__class__.from_config(layer.get_config())
        if isinstance(layer, keras.layers.ReLU):
            return keras.layers.Activation(relu, name=layer.name)
        if getattr(layer, "activation", None) is keras.activations.relu:
            found.activation = relu
        return found

    return keras.models.clone_model(model, clone_function=copied)
