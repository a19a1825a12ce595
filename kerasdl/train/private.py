"""DP-SGD: the gradient of each example is clipped, and noise is added to their sum.

Abadi et al. 2016, "Deep Learning with Differential Privacy", arXiv:1607.00133. Examples are drawn by Poisson sampling,
kerasdl.data.poisson, as the account in kerasdl.train.accounting assumes. The step on JAX is in private_jax.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from kerasdl.data import Split, pipeline, poisson
from kerasdl.data.tokens import TRAINED
from kerasdl.errors import UserError
from kerasdl.evaluation.located import absolute, located_args
from kerasdl.keras_private import flat_layers
from kerasdl.objectives.base import Objective
from kerasdl.recipe import LOOSE, Private, Recipe
from kerasdl.run import Run
from kerasdl.train import accounting

STREAM = 1101  # of kerasdl.data.pipeline.key: the noise
MIXING = ("mixup", "cutmix")  # augmentations that put several examples into one


@dataclass(frozen=True)
class Plan:
    """What private training does in each step.

    Attributes:
        settings: of the recipe.
        noise: deviation of the noise, in units of the norm that gradients are clipped to.
        batch: examples of a step, on average.
        size: examples of the training split.
        steps: of the whole training.
        places: of a batch, some of which stay empty.
        parts: that a batch is divided into.
        replicas: that add up their gradients.
        seed: of the noise.
    """

    settings: Private
    noise: float
    batch: int
    size: int
    steps: int
    places: int
    parts: int
    replicas: int
    seed: int

    @property
    def share(self) -> float:
        """The chance of an example to be in a step."""
        return self.batch / self.size

    def facts(self, steps: int) -> dict[str, Any]:
        """Return what result.json says of it after a number of steps."""
        settings, spent = self.settings, accounting.epsilon(self.noise, self.share, steps, self.settings.delta)
        return {"epsilon": spent, "delta": settings.delta, "noise": self.noise, "clip": settings.clip,
                "share": self.share, "steps": steps, "examples": self.size, "neighbours": accounting.NEIGHBOURS,
                "sampling": "Poisson", "accountant": f"PLD, {accounting.version()}",
                "holds": "for the weights, for whoever does not know the seed, and for this training alone: not for "
                         "choices between trainings, the training curves, or what init brought"}


def plan(recipe: Recipe, split: Split, objective: Objective, replicas: int) -> Plan | None:
    """Return how a recipe trains privately; None where it does not.

    Raises:
        UserError: something of recipe, objective or data that private training cannot account for.
    """
    settings = recipe.private_settings
    if settings is None:
        return None
    check(recipe, split, objective, settings)
    steps = pipeline.steps_per_epoch(split, recipe.batch) * recipe.epochs
    share = recipe.batch / len(split)
    if settings.noise and (spent := accounting.most(settings.noise, share, steps, settings.delta)) > LOOSE:
        raise UserError(f"private.noise={settings.noise:g} spends an epsilon of up to {spent:.3g} in {steps} steps, "
                        f"and above {LOOSE} it promises nothing. Raise private.noise, or give private.epsilon in its "
                        "place, from which it follows.")
    noise = settings.noise or accounting.noise(settings.epsilon or 0.0, share, steps, settings.delta)
    places = poisson.capacity(len(split), recipe.batch, recipe.accumulate * replicas)
    return Plan(settings, noise, recipe.batch, len(split), steps, places, recipe.accumulate, replicas, recipe.seed)


def check(recipe: Recipe, split: Split, objective: Objective, settings: Private) -> None:
    """Raise a UserError for what private training cannot account for."""
    name = f"objective={recipe.objective}"
    if not objective.separate:
        raise UserError(f"private training bounds what one example can change, and the loss of {name} reads more than "
                        "that example and its labels. Take objective=classify or multilabel.")
    if split.streamed:
        raise UserError("private training draws each example with the same chance, and the data is streamed. Take data "
                        "that fits in memory.")
    if settings.delta < accounting.LEAST_DELTA:
        raise UserError(f"private.delta is {accounting.LEAST_DELTA:g} or more: what a smaller one spends cannot be "
                        f"computed exactly. Received: {settings.delta:g}.")
    if settings.delta >= 1 / len(split):
        raise UserError(f"private.delta is less than 1 / examples, {1 / len(split):.2g} here: with more, giving away a "
                        f"whole example would be allowed. Received: {settings.delta:g}.")
    if mixed := [spec if isinstance(spec, str) else spec[0] for spec in recipe.augment
                 if (spec if isinstance(spec, str) else spec[0]) in MIXING]:
        raise UserError(f"augment={mixed[0]} puts two examples into one, so that no gradient is that of one example. "
                        "Leave it out of private training.")
    for field, why in (("quantize", "reads the range of the data"), ("prune_channels", "reads the data")):
        if getattr(recipe, field):
            raise UserError(f"{field} {why}, which private training does not account for. Leave it out.")
    if split.files and vocabulary_of(recipe.data, recipe.data_args) == path_of(recipe.data):
        raise UserError("A vocabulary that is made of the training texts shows their words, whatever the noise. Give "
                        "data_args.tokens a file or public weights, such as minilm.")
    if split.weights is not None or getattr(objective.settings, "class_weight", None) == "balanced":
        raise UserError("Weights that are counted from all examples are not accounted for by private training. Leave "
                        "them out.")


def vocabulary_of(data: str, args: Mapping[str, Any], folder: str | None = None) -> str:
    """Return the address of the data of whose texts a vocabulary was made; "" where no run of kerasdl made it.

    Args:
        data: of a recipe.
        args: its data_args, whose `tokens` may be a run's folder or the file there.
        folder: from which their paths are; None: this one.
    """
    tokens = str(located_args({"tokens": "word", **args}, folder)["tokens"])
    if tokens in TRAINED:
        return path_of(data, folder)
    path = Path(tokens).expanduser()
    home = path if path.is_dir() else path.parent
    if not path.exists() or not all((home / name).is_file() for name in ("recipe.json", "data.json")):
        return ""
    run = Run(home)
    return vocabulary_of(run.recipe.data, run.recipe.data_args, run.data.get("folder"))


def path_of(data: str, folder: str | None = None) -> str:
    """Return the whole path of data, whatever reads it, or its name if it has none."""
    return absolute(data, folder).partition(":")[2] or data


def check_network(network: keras.Model) -> None:
    """Raise a UserError for a layer that computes with several examples, or with what it was shown of all."""
    for layer in flat_layers(network):
        what = f"The layer {layer.name!r} of {network.name}"
        if isinstance(layer, keras.layers.BatchNormalization):
            raise UserError(f"{what} normalises over the batch, so that one example changes the gradients of others, "
                            "which private training cannot bound. Take a model without batch normalisation, such as "
                            "mlp, vit or model=cnn model_args.size=textbook.")
        if getattr(layer, "seed_generator", None) is not None and any(
                getattr(layer, name, 0) for name in ("rate", "dropout", "recurrent_dropout", "stddev")):
            raise UserError(f"{what} draws random numbers, as dropout does, which private training does without: its "
                            "own noise regularises already. Set model_args.drop=0.")
        if getattr(layer, "activity_regularizer", None) or any(weight.regularizer for weight in layer.weights):
            raise UserError(f"{what} adds a penalty to the loss, which the step of private training does not see. Take "
                            "it out, and give weight_decay.")
        if hasattr(layer, "adapt"):
            raise UserError(f"{what} learns statistics of all examples, which private training does not account for. "
                            "Take a model without it.")


def step_on_tensorflow(model: keras.Model, plan: Plan) -> Callable[..., None]:
    """Return a function (x, y, real) that takes a step; `real` (B,) is 1 for an example and 0 for an empty place."""
    variables = model.trainable_weights
    deviation = plan.settings.clip * plan.noise / plan.replicas

    def step(x, y, real):
        total: list[tf.Tensor] = []
        for number in range(plan.parts):
            part = tree.map_structure(lambda value, number=number: tf.split(value, plan.parts)[number], (x, y, real))
            losses, y_pred, grads = clipped(model, variables, plan.settings.clip, *part)
            total = grads if not total else [a + b for a, b in zip(total, grads, strict=True)]
            model.metrics[0].update_state(losses, sample_weight=part[2])
            model.compute_metrics(part[0], part[1], y_pred, part[2])
        draw = pipeline.key(plan.seed, model.optimizer.iterations.value, STREAM)
        noisy = []
        for number, grad in enumerate(total):
            own = tf.random.fold_in(draw, tf.constant(number, tf.int64), alg="philox")
            noise = tf.random.stateless_normal(tf.shape(grad), own, alg="philox")  # the same in every replica,
            noisy.append((grad + deviation * noise) / plan.batch)  # so that their sum has it once
        model.optimizer.apply(noisy, variables)

    return step


def clipped(model: keras.Model, variables: list, clip: float, x: Any, y: Any, real: Any) -> tuple[Any, Any, list]:
    """Return the losses (B,), the answers, and the sum of the examples' gradients, each clipped to an L2 norm."""
    def one(example):
        x, y = (tf.expand_dims(value, 0) for value in example)
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model.objective.compute_loss(x, y, y_pred)[0]
        return loss, y_pred[0], tape.gradient(loss, [variable.value for variable in variables],
                                                 unconnected_gradients=tf.UnconnectedGradients.ZERO)

    losses, y_pred, grads = tf.vectorized_map(one, (x, y), warn=False)
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(tf.reshape(grad, (tf.shape(grad)[0], -1))), axis=1)
                             for grad in grads]))
    share = real * tf.minimum(1.0, clip / tf.maximum(norm, 1e-12))
    return losses, y_pred, [tf.tensordot(share, grad, 1) for grad in grads]
