"""What is the same for every objective with one network, which learns the answers that the data gives."""

from collections.abc import Callable

import keras

from kerasdl import zoo
from kerasdl.objectives import ema

LOSSES = {"loss": "loss"}
BACKENDS = ("tensorflow", "jax")
judge = pictures = None


def single(model: str, shape, outputs: int, **args) -> keras.Model:
    """A model of the zoo that is one network.

    Raises:
        ValueError: as its build does, and for a model that is a pair.
    """
    if model in zoo.GENERATIVE:
        raise ValueError(f"it is two networks, for objective=adversarial. Expected one of: {', '.join(zoo.MODELS)}")
    return zoo.build(model, shape, outputs, **args)


def rates(recipe) -> tuple:
    """One optimizer, as the recipe says."""
    return ((recipe, 1),)


def watchers() -> list[keras.callbacks.Callback]:
    """None."""
    return []


def assemble(networks: tuple[keras.Model, ...], stepping: Callable, recipe, steps: int
             ) -> tuple[keras.Model, keras.Model]:
    """The network with its training step, and itself or, if the recipe says so, its average."""
    (network,) = networks
    kind, kept = stepping(keras.Model), network
    if recipe.ema:
        kept = ema.copy(network)
        averager = ema.Averager(network, kept, recipe.ema)
        kind = type("Averaged", (ema.averaging(), kind), {"averager": averager})
    return kind(network.inputs[0], network.outputs[0], name=network.name), kept
