"""The names of strategies. Imports no TensorFlow."""

from kerasdl.errors import UserError, nearest

NAMES = ("auto", "one", "mirrored", "multiworker", "tpu")
REFUSED = {
    "parameterserver": "Keras 3 does not support ParameterServerStrategy (keras#18624)",
    "centralstorage": "under CentralStorageStrategy Keras computes another loss than on one device",
}


def check_name(name: str) -> None:
    """Raise a UserError for an unknown or refused name."""
    plain = name.lower().replace("_", "").replace("-", "").removesuffix("strategy")
    if plain in REFUSED:
        raise UserError(f"{name} is not offered: {REFUSED[plain]}. Use mirrored or multiworker.")
    if name not in NAMES:
        raise UserError(f"Unknown strategy {name!r}. {nearest(name, NAMES)}")
