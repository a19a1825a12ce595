"""Whether a network is worth saving, known at the end; and whether a user's own can be loaded again, known before."""

import json
import random

import keras
import numpy as np

from kerasdl import user_code
from kerasdl.errors import UserError
from kerasdl.keras_private import flat_layers
from kerasdl.recipe import Recipe
from kerasdl.train.callbacks import Diverged


def check(network: keras.Model, recipe: Recipe) -> None:
    """Raise a UserError if the network, made of a user's own code, could not be saved at the end, or not loaded."""
    if not user_code.references(recipe):
        return
    own = {keras.saving.get_registered_name(type(layer)): type(layer) for layer in flat_layers(network)}
    own = {name: layer for name, layer in own.items() if ">" in name}  # a teacher may have others of these names
    state = random.getstate()  # the copy leaves the numbers of dropout as they are
    try:
        text = json.dumps(keras.saving.serialize_keras_object(network))
        with keras.saving.custom_object_scope(own), keras.device("cpu"):
            keras.saving.deserialize_keras_object(json.loads(text))
    except Exception as error:  # whatever the user's own lines raise
        why = " ".join(str(error).rpartition("Exception encountered: ")[2].split()).partition(". ")[0].rstrip(".")
        raise UserError(f"The model of {' and '.join(user_code.references(recipe))} could not be loaded once it is "
                        f"saved: {why[:250]}. Give each layer of your own a get_config with the arguments of its "
                        "__init__ as plain values, and write a Lambda, or a function that a layer is given, as a "
                        "layer: keras.layers.Rescaling, or one of your own.") from None
    finally:
        random.setstate(state)


def check_numbers(network: keras.Model) -> None:
    """Raise Diverged if a weight is infinite or no number, which the scores of a generator's images do not show."""
    for weight in network.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight.value)).all():
            raise Diverged(f"The weight {weight.path} is not finite at the end. Lower lr, or add warmup.")
