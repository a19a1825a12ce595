"""What is learned. An objective module turns a recipe and its data into networks, and these into a model that learns.

Each module has
    TARGET              what the data must give: "class" or "number"
    BACKENDS            of Keras, on which its step runs
    METRIC, GOAL        what chooses the best epoch on validation data, and whether "max" or "min" is better
    LOSSES              {name in a step's logs: what it is}; the first that is not finite is the one to blame
    targets(split, smoothing=0.0)       the split's answers as a step takes them, (N, ...)
    networks(model, split, args)        a tuple of keras.Models from the zoo that fit the data; the first one is kept
    rates(recipe)       for each network (the recipe of its optimizer, its optimizer's steps in one of training)
    assemble(networks, stepping, recipe, steps)     (the model to fit, the network kept: the first one or its average);
                        steps: of the whole training; stepping(class): that class of keras.Model with the steps of feed
                        and devices around its own
    compile(model, *optimizers, jit=None)   sets losses and metrics, and whether XLA compiles the step
    watchers()          callbacks of its own
    judge, pictures     None where loss and metrics of the kept network's answers are all there is to see; else
    judge(kept, referee)    its own form of kerasdl.evaluation.judge.Scores; a Referee sees images;
                        `check(split)` refuses what it cannot measure on
    pictures(kept)      an image (H, W, C) uint8 of what the network makes now, always from the same noise

What is the same for all that learn from answers is in `supervised`.
"""

import importlib
from types import ModuleType

OBJECTIVES = ("classify", "regress", "adversarial")


def get(name: str) -> ModuleType:
    """The objective of this name, one of OBJECTIVES."""
    return importlib.import_module(f"{__name__}.{name}")
