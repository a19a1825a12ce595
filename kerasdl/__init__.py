"""kerasdl: Keras 3 models with recipes whose numbers anyone can reproduce.

    import kerasdl
    run = kerasdl.train("vit_digits", epochs=5)     # a name, a path or a Recipe
    model = run.model()                             # an ordinary keras.Model

    from kerasdl.zoo import vit
    model = vit.build((32, 32, 3), 10, size="Ti", patch=4)

Importing kerasdl imports neither TensorFlow nor Keras; using one of these names does.
"""

import importlib
import sys

__version__ = "0.2.0"

_HOMES = {"Recipe": "kerasdl.recipe", "Claim": "kerasdl.recipe", "Run": "kerasdl.run", "UserError": "kerasdl.errors",
          "load": "kerasdl.run", "tune": "kerasdl.tuning.engine", "report": "kerasdl.reports.page"}
_PACKAGES = ("data", "explain", "train", "zoo")  # `explain` and `train` can be called, too

__all__ = [*_HOMES, *_PACKAGES]


def __getattr__(name: str):
    if name in _PACKAGES:
        return importlib.import_module(f"kerasdl.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kerasdl' has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]


if "keras" in sys.modules:  # so that keras.saving.load_model finds our layers; else kerasdl.load registers them
    importlib.import_module("kerasdl.zoo").register()
