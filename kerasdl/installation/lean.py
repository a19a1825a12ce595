"""Import TensorFlow and Keras without the half of it that most processes never use.

Keras imports scikit-learn for its wrappers, matplotlib for its galleries and pandas for one check of types; TensorFlow
imports JAX for its converter, and its own API twice more under `compat`. On two cores that is 2.7 of 5.2 seconds. A
module that is put off here is loaded when something of it is asked for, so that nobody can tell but by the time.
"""

import gc
import importlib
import importlib.abc
import sys
import threading
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from kerasdl.installation import backend

# Names that a later version does not have do nothing.
PUT_OFF = frozenset({
    "keras.wrappers", "keras._tf_keras.keras.wrappers",  # scikit-learn, and scipy.stats with it
    "keras.visualization", "keras._tf_keras.keras.visualization", "keras.src.visualization",  # matplotlib
    *(f"tensorflow._api.v2{part}.lite" for part in ("", ".compat.v1", ".compat.v2")),  # JAX
    *(f"tensorflow._api.v2.compat{part}" for part in (".v1", ".v2", ".v1.compat.v1", ".v1.compat.v2", ".v2.compat.v1",
                                                      ".v2.compat.v2")),
})
# What Keras does with these, if they are there: slices a DataFrame as it slices any other array, prints to a notebook,
# and mends an old JAX. All of them can be imported as ever once Keras is.
ABSENT = frozenset({"pandas", "IPython"})


def import_keras() -> None:
    """Import TensorFlow and Keras, if they are not there yet."""
    if "keras" in sys.modules:
        return
    absent = Absent(ABSENT if backend.wanted() == "jax" else ABSENT | {"jax"})
    collecting = gc.isenabled()
    gc.disable()  # a fifth of the time: nothing of a hundred thousand new objects is garbage
    sys.meta_path[:0] = [absent, PutOff(PUT_OFF)]  # the latter stays: what is loaded later would load the rest
    try:
        tensorflow = importlib.import_module("tensorflow")
        bind_lite(tensorflow)
        importlib.import_module("keras")
    finally:
        sys.meta_path.remove(absent)
        if collecting:
            gc.enable()
    gc.freeze()  # nor do later collections have to look through them


def bind_lite(tensorflow: Any) -> None:
    """Let `tensorflow.lite` stay TensorFlow's API: there is a package of that name, too, whose import would take its
    place if it came later than the API's."""
    api = tensorflow.lite
    importlib.import_module("tensorflow.lite")
    tensorflow.lite = api


class Absent(importlib.abc.MetaPathFinder):
    """Makes packages seem not to be installed."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class PutOff(importlib.abc.MetaPathFinder):
    """Finds modules that are empty until something of them is asked for."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
                  ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self.names else None
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader)
        return spec


class Loader(importlib.abc.Loader):
    """Leaves a module empty, and gives it what will load it."""

    def __init__(self, inner: importlib.abc.Loader) -> None:
        self.inner = inner

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        return self.inner.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__.pop("__path__", None)  # whoever imports a module within it asks for this, and needs the parent
        module.__dict__.update(_put_off=(module.__spec__, self.inner), _lock=threading.RLock())
        module.__class__ = Later


class Later(types.ModuleType):
    """A module that is loaded when an attribute is missing. Its name and its file are known, which `inspect` asks of
    all modules."""

    def __getattr__(self, name: str):
        if name.startswith("__") and name != "__path__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        load(self)
        return types.ModuleType.__getattribute__(self, name)

    def __dir__(self):
        load(self)
        return types.ModuleType.__dir__(self)


def load(module: types.ModuleType) -> None:
    """Run the module's file; once, whichever thread asks first."""
    with module.__dict__["_lock"]:
        put_off = module.__dict__.pop("_put_off", None)
        if put_off is None:  # it is loaded, or asks for something of itself before it has it
            return
        spec, loader = put_off
        spec.loader = module.__loader__ = loader
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        loader.exec_module(module)
        module.__class__ = types.ModuleType
