"""Several models as one: Lakshminarayanan et al. 2017, "Deep Ensembles", arXiv:1612.01474.

The prediction is the mean of the members' probabilities, or of their numbers. The logarithm of mean probabilities takes
the place of the logits: the softmax of that is the mean again, so everything that accepts a classifier of the zoo
accepts an ensemble.
"""

import math
import re

import keras
from keras import layers, ops

from kerasdl.zoo.blocks import set_weights


@keras.saving.register_keras_serializable(package="kerasdl")
class MeanProbability(layers.Layer):
    """Map logits of several members, each (B, classes), to the logarithm of their mean probabilities (B, classes)."""

    def call(self, members):
        logs = ops.stack([ops.log_softmax(ops.cast(logits, "float32")) for logits in members])
        return ops.logsumexp(logs, axis=0) - math.log(len(members))

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def build(members, numbers: bool = False, name: str = "ensemble") -> keras.Model:
    """Build one flat graph of all members: raw examples to float32 "logits" (B, classes), or to "numbers" (B, outputs).

    Args:
        members: models of the same input shape and number of outputs. Of sequences some may take any length and
            others one. Their weights are copied; the layer "stem" of the first becomes "member1_stem".
        numbers: average the outputs as they are, and not as logits.
        name: name of the model.

    Raises:
        ValueError: fewer than two members, or different shapes.
    """
    shapes = {(tuple(member.inputs[0].shape), tuple(member.output_shape)) for member in members}
    first = min((member.inputs[0] for member in members), key=lambda each: each.shape.count(None))
    fit = all(len(sides) == len(first.shape) and all(side in (None, own) for side, own in zip(
        sides, first.shape, strict=True)) for sides, _ in shapes)
    if len(members) < 2 or not fit or len({answers for _, answers in shapes}) > 1:
        raise ValueError(f"Expected two members or more of one shape. Received: {len(members)}, "
                         f"{sorted(shapes, key=str)}")
    inputs = keras.Input(first.shape[1:], dtype=first.dtype, name=first.name)
    answers = [copy(member, inputs, f"member{i}").outputs[0] for i, member in enumerate(members, 1)]
    kind, label = (layers.Average, "numbers") if numbers else (MeanProbability, "logits")
    return keras.Model(inputs, kind(dtype="float32", name=label)(answers), name=name)


def own_name(name: str) -> str:
    """Return the name that a layer has in its member: "stem" of "member1_stem"; any other one as it is."""
    return re.sub(r"^member\d+_", "", name)


def copy(member, inputs, prefix):
    """Copy the member onto other inputs, with its own weights and a prefix to the name of each layer."""
    def renamed(layer):
        return type(layer).from_config(layer.get_config() | {"name": f"{prefix}_{layer.name}"})

    given = [inputs] if isinstance(member.input, (list, tuple)) else inputs
    twin = keras.models.clone_model(member, input_tensors=given, clone_function=renamed)
    for layer in member.layers:
        if layer.weights:
            set_weights(twin.get_layer(f"{prefix}_{layer.name}"), layer.get_weights())
    return twin
