"""Search over the fields of any recipe, with a process for each trial.

    from kerasdl.tuning import Search, choice, log, uniform
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1), "model_args.drop": uniform(0, 0.5)})

Importing this is light: Keras and keras-tuner are imported when a search starts.
"""

import importlib

_HOMES = {name: "kerasdl.tuning.dimensions" for name in ("choice", "uniform", "log", "integer")} \
    | {name: "kerasdl.tuning.search" for name in ("Search", "load", "names")} \
    | {"tune": "kerasdl.tuning.engine"}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kerasdl.tuning' has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
