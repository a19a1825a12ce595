"""What is learned. An objective module turns a recipe and its data into a network and compiles it.

Each module has
    TARGET              what the data must give: "class" or "number"
    METRIC, GOAL        what chooses the best epoch on validation data, and whether "max" or "min" is better
    network(model, split, args)         a keras.Model from the zoo that fits the data
    targets(split, smoothing=0.0)       the split's answers as the loss wants them, float32 (N, outputs)
    compile(network, optimizer, jit=None)   sets loss and metrics, and whether XLA compiles the step
"""

import importlib
from types import ModuleType

OBJECTIVES = ("classify", "regress")


def get(name: str) -> ModuleType:
    """The objective of this name, one of OBJECTIVES."""
    return importlib.import_module(f"{__name__}.{name}")
