"""The network whose features are probed: the classifier of a run's model with the run's weights, or random ones."""

from collections.abc import Mapping
from typing import Any

import keras

from kerasdl import objectives, zoo
from kerasdl.data import Split
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import pretrained
from kerasdl.train.pretrained import FEATURES, Pretrained
from kerasdl.train.setup import adapt, seeded


def classifier(recipe: Recipe, split: Split, run: Run, initial: Pretrained | None) -> keras.Model:
    """Return the classifier that a training of the recipe begins with.

    Args:
        recipe: of a classification; its seed decides the weights that are random.
        split: whose examples and classes it is for.
        run: whose copy of a user's own model file is used.
        initial: the weights that it takes; None: all are random.

    Raises:
        UserError: the model has no layer "features", or one up to it has no weights in `initial`.
    """
    with seeded(recipe.seed):
        try:
            network = objectives.of(recipe, run.path).network(split)
        except UserError:
            raise
        except (ValueError, TypeError, ArithmeticError) as error:
            raise without(run, " ".join(str(error).split())) from None
    if FEATURES not in [layer.name for layer in network.layers]:
        raise without(run, f"{recipe.model} has no layer {FEATURES!r}")
    adapt(network, split)
    if initial is None:
        return network
    network = pretrained.continued(network, initial)
    try:
        begun = pretrained.account(network, initial, split.classes)
    except UserError as error:
        raise without(run, str(error)) from None
    if new := [name for name in begun["new"] if name in pretrained.before_head(network)]:
        raise without(run, f"its model has no weights for {', '.join(new)} of {recipe.model}, or of another shape")
    pretrained.load_into(network, initial, recipe, split.classes)
    return network


def without(run: Run, why: str) -> UserError:
    """Return the error of a run whose features cannot be probed."""
    return UserError(f"This is a probe of a run without features, {run.path}: {why.rstrip('.')}. Probe a run whose "
                     f"model is a classifier's up to the layer {FEATURES!r}.")


def body(network: keras.Model) -> keras.Model:
    """Return the network up to its features (B, D), sharing its weights."""
    return zoo.features(network)


def hashes(network: keras.Model) -> dict[str, str]:
    """Return a SHA-256 of all weights of each layer, statistics such as moving means among them; and of all, "all"."""
    weights = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    return {"all": pretrained.fingerprint(weights),
            **{name: pretrained.fingerprint({name: arrays}) for name, arrays in weights.items()}}


def check_same(before: Mapping[str, str], after: Mapping[str, str], whose: str) -> None:
    """Raise a UserError that names the layers of a frozen network whose weights or statistics are not as before."""
    if moved := [name for name in before if name != "all" and before[name] != after[name]]:
        raise UserError(f"The features of {whose} moved while they were probed, in {', '.join(moved)}, so that no "
                        "number of this probe counts. A layer that changes itself outside of training must not do so.")


def taken(network: keras.Model, initial: Pretrained, split: Split) -> dict[str, Any]:
    """Return which layers up to the features have the run's weights, and which of these were made to fit."""
    begun, ours = pretrained.account(network, initial, split.classes), pretrained.before_head(network)
    return {"taken": [name for name in begun["taken"] if name in ours],
            "fitted": {name: how for name, how in begun["fitted"].items() if name in ours}}
