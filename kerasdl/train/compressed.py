"""Trainings of smaller networks: what the fields prune, prune_channels and quantize of a recipe change."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from kerasdl.compression.channels import slimmed
from kerasdl.compression.quantize_aware import BITS, bits_of, quantize_aware
from kerasdl.compression.sparsity import Prune, Pruner, first_full, kernels, zeros
from kerasdl.data import Split
from kerasdl.errors import Impossible, UserError
from kerasdl.recipe import Recipe

logger = logging.getLogger(__name__)
SHOWN = 256  # training examples that show the first ranges of activations


def begin(networks: tuple[keras.Model, ...], recipe: Recipe, split: Split) -> tuple[keras.Model, ...]:
    """Return the networks to train: with channels removed, and rounding, where the recipe says so.

    Raises:
        UserError: the objective has several networks, there is no trained model to begin with, or one that has learned
            to be rounded to other bits, or the optimizer scales kernels that no normalisation follows any more.
            Impossible, if the network cannot be changed so.
    """
    if getattr(recipe.optimizer_settings, "kernel_rms", 0) and (recipe.quantize or any(map(bits_of, networks))):
        raise UserError("kernel_rms is for kernels that a normalisation follows, and quantize folds these. Give "
                        "optimizer_args.kernel_rms=0.")
    asked = [name for name in ("prune", "prune_channels", "quantize") if getattr(recipe, name)]
    if not asked:
        return networks
    if len(networks) > 1:
        raise UserError(f"{asked[0]} is for one network, and objective={recipe.objective} trains {len(networks)}.")
    if (recipe.prune_channels or recipe.quantize) and not recipe.init:
        raise UserError(f"{asked[-1]} changes a trained model, and trains it on. Name it: init=RUN.")
    if recipe.quantize and recipe.precision != "float32":
        raise UserError(f"quantize rounds numbers in float32, and precision={recipe.precision} rounds them otherwise. "
                        "Give precision=float32.")
    (network,) = networks
    if recipe.prune_channels:
        with named("prune_channels"):
            network = slimmed(network, recipe.prune_channels, split.example_shape[0] or 1)
    if recipe.quantize and (other := bits_of(network) - {BITS[recipe.quantize]}):
        raise UserError(f"quantize={recipe.quantize}: init={recipe.init} learned with weights of {min(other)} bits. "
                        "Give the same quantize, or name the run that it began with.")
    if recipe.quantize and not bits_of(network):
        with named("quantize"):
            network = quantize_aware(network, recipe.quantize, split.sample(SHOWN))
    return (network,)


@contextmanager
def named(field: str) -> Iterator[None]:
    """Say which field of the recipe it is that cannot be done."""
    try:
        yield
    except ValueError as error:
        raise Impossible(f"{field}: {error}") from None


def pruner(recipe: Recipe, model: keras.Model, network: keras.Model, kept: keras.Model) -> Pruner | None:
    """Return what keeps pruned weights at zero, which the model keeps as `pruner`; None where nothing is pruned."""
    if not recipe.prune:
        return None
    if not kernels(network):
        raise UserError(f"prune={recipe.prune:g} finds no kernel that learns. Leave it out, or freeze less.")
    model.pruner = Pruner(model, network, kept)
    return model.pruner


def callbacks(recipe: Recipe, model: keras.Model) -> Iterator[keras.callbacks.Callback]:
    """Yield what prunes after each epoch."""
    if recipe.prune:
        yield Prune(model.pruner, recipe.epochs, recipe.prune)


def first_counted(recipe: Recipe) -> int:
    """Return the first epoch, counted from 1, whose weights may be kept: before it, not all that go have gone."""
    return first_full(recipe.epochs) if recipe.prune else 1


def reached(recipe: Recipe, kept: keras.Model, epochs: int) -> dict[str, float]:
    """Return the share of zeros in the kernels that learned, for result.json; nothing where nothing is pruned.

    Log a line where the training has ended before that is the recipe's, as a callback of the user's may do.

    Args:
        epochs: after which it ended.
    """
    if not recipe.prune:
        return {}
    share = zeros(kept)
    if epochs < (full := first_counted(recipe)):
        logger.warning("prune=%g is not reached: %.0f %% of the weights of kernels are zero, as the training ended "
                       "after epoch %d, and the share rises until epoch %d.", recipe.prune, 100 * share, epochs, full)
    return {"zeros": round(share, 4)}
