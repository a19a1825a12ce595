"""Which backend Keras computes with. It is chosen before Keras is imported, because it cannot be changed after."""

import importlib.util
import json
import os
import sys
from pathlib import Path

from kerasdl.errors import UserError, nearest
from kerasdl.installation import tpu

BACKENDS = ("tensorflow", "jax")


def choose(name: str | None = None) -> None:
    """Let Keras use this backend; by default what KERAS_BACKEND or Keras' own file says, and JAX where it has a TPU.

    Call it before anything imports Keras.

    Raises:
        UserError: an unknown name, a backend that is not installed, or Keras is imported with another one.
    """
    if name is None:
        check()
        if "KERAS_BACKEND" in os.environ or "keras" in sys.modules or not (tpu.attached() and tpu.route() == "jax"):
            return
        name = "jax"
    _check(name, "")
    if "keras" in sys.modules and current() != name:
        raise UserError(f"Keras already computes with {current()} in this process, and cannot change to {name}. "
                        f"Start a new one, with KERAS_BACKEND={name}.")
    os.environ["KERAS_BACKEND"] = name


def wanted() -> str:
    """What KERAS_BACKEND or Keras' own file says, with no look at Keras, which may not be imported yet."""
    return os.environ.get("KERAS_BACKEND") or _in_file() or "tensorflow"


def _file() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"


def _in_file() -> str | None:
    try:
        return str(json.loads(_file().read_text(encoding="utf-8"))["backend"])
    except (OSError, RuntimeError, ValueError, LookupError, TypeError):  # no such file, no home, another content
        return None


def check() -> None:
    """Of what KERAS_BACKEND or Keras' own file asks for, before Keras is imported, which answers with a traceback.

    Raises:
        UserError: an unknown name, one that kerasdl cannot train with, or a backend that is not installed.
    """
    if "keras" in sys.modules:
        return
    if asked := os.environ.get("KERAS_BACKEND"):
        _check(asked, " in KERAS_BACKEND")
    elif asked := _in_file():
        _check_trains(asked)
        _check(asked, f" in {_file()}")


def _check(name: str, where: str) -> None:
    if name not in BACKENDS:
        raise UserError(f"Unknown backend {name!r}{where}. {nearest(name, BACKENDS)}")
    if name == "jax" and importlib.util.find_spec("jax") is None:
        extra = "tpu" if tpu.attached() else "jax"
        raise UserError(f"backend=jax{where} needs JAX, which is not installed: pip install 'kerasdl[{extra}]'")


def _check_trains(name: str) -> None:
    if name not in BACKENDS:
        raise UserError(f"Keras computes with {name}, and kerasdl trains with tensorflow or jax. "
                        "Set KERAS_BACKEND to one of them.")


def current() -> str:
    """The backend that Keras has.

    Raises:
        UserError: if it is one that kerasdl cannot train with.
    """
    import keras

    name = keras.backend.backend()
    _check_trains(name)
    return name


def jax() -> bool:
    """Whether it is JAX."""
    return current() == "jax"


def check_floatx() -> None:
    """Raises UserError if Keras is set to other numbers than float32, which what is between layers has here."""
    import keras

    if (numbers := keras.config.floatx()) != "float32":
        raise UserError(f"Keras is set to {numbers}, and kerasdl computes in float32, or by precision= in layers of "
                        "less. Set it back: keras.config.set_floatx('float32')")
