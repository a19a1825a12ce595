"""Which backend Keras computes with. It is chosen before Keras is imported, because it cannot be changed after."""

import importlib.util
import os
import sys

from kerasdl import tpu
from kerasdl.errors import UserError, nearest

BACKENDS = ("tensorflow", "jax")


def choose(name: str | None = None) -> None:
    """Let Keras use this backend; by default what KERAS_BACKEND or Keras' own file says, and JAX where it has a TPU.

    Call it before anything imports Keras.

    Raises:
        UserError: an unknown name, a backend that is not installed, or Keras is imported with another one.
    """
    if name is None:
        if "KERAS_BACKEND" in os.environ or "keras" in sys.modules or not (tpu.attached() and tpu.route() == "jax"):
            return
        name = "jax"
    if name not in BACKENDS:
        raise UserError(f"Unknown backend {name!r}. {nearest(name, BACKENDS)}")
    if name == "jax" and importlib.util.find_spec("jax") is None:
        extra = "tpu" if tpu.attached() else "jax"
        raise UserError(f"backend=jax needs JAX, which is not installed: pip install 'kerasdl[{extra}]'")
    if "keras" in sys.modules and current() != name:
        raise UserError(f"Keras already computes with {current()} in this process, and cannot change to {name}. "
                        f"Start a new one, with KERAS_BACKEND={name}.")
    os.environ["KERAS_BACKEND"] = name


def current() -> str:
    """The backend that Keras has.

    Raises:
        UserError: if it is one that kerasdl cannot train with.
    """
    import keras

    name = keras.backend.backend()
    if name not in BACKENDS:
        raise UserError(f"Keras computes with {name}, and kerasdl trains with tensorflow or jax. "
                        "Set KERAS_BACKEND to one of them.")
    return name


def jax() -> bool:
    """Whether it is JAX."""
    return current() == "jax"
