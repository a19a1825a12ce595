"""What is exported: a network without loops, and what it is tried with."""

import json
from typing import Any

import keras
import numpy as np

from kerasdl import zoo
from kerasdl.data import Split, pipeline
from kerasdl.objectives.base import Objective
from kerasdl.zoo.precision import with_weights

CALIBRATION = 256  # training examples that show a quantizer the ranges of numbers
BATCH = 32
DRAWN = 256  # inputs of a generator


def unrolled(network: keras.Model, steps: int) -> keras.Model:
    """Return the network without loops where it has some, for sequences of `steps` steps.

    Shorter ones are padded, which changes no answer. LiteRT's and OpenVINO's loops take no recurrent layer of Keras.
    """
    if not any(isinstance(layer, keras.layers.RNN) for layer in network.layers):
        return network
    config = json.loads(network.to_json())
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_shape"][1] = steps
        elif "unroll" in layer["config"]:
            layer["config"]["unroll"] = True
    return with_weights(keras.models.model_from_json(json.dumps(config)), network)


def examples_of(objective: Objective, split: Split, count: int | None = None) -> tuple[np.ndarray, Any]:
    """Return a split, or about its first `count` examples, as the network takes it: x (N, ...), and targets or None."""
    prepare = None if objective.prepares_for_learner else objective.prepare
    found = pipeline.in_order(split, objective.targets(split), BATCH, prepare)
    batches = list(found.take(-1 if count is None else -(-count // BATCH)).as_numpy_iterator())
    y = [rest[0] for _, *rest in batches if rest]
    return np.concatenate([x for x, *_ in batches]), np.concatenate(y) if y else None


def drawn(network: keras.Model) -> np.ndarray:
    """Return inputs of a generator of one input: noise (DRAWN, ...)."""
    return np.random.default_rng(0).standard_normal((DRAWN, *network.input_shape[1:])).astype("float32")


def is_generator(objective: Objective) -> bool:
    return objective.recipe.model in zoo.GENERATIVE
