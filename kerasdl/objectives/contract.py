"""Checks of an objective's class before training: whether it keeps the contract of its base class."""

import inspect
from collections.abc import Iterator
from typing import get_args

from kerasdl import settings
from kerasdl.data import spec
from kerasdl.errors import UserError
from kerasdl.objectives.base import Objective

PREPARE = ("self", "x", "y", "seed")  # of the one member that the base class has not as a method


def check_class(kind: type[Objective], name: str) -> None:
    """Check an objective's class.

    Args:
        kind: the class.
        name: what the recipe calls it, for the message.

    Raises:
        UserError: with the first thing that is wrong.
    """
    for complaint in complaints(kind):
        raise UserError(f"{name}: {complaint}")


def complaints(kind: type[Objective]) -> Iterator[str]:
    """Yield what is wrong with an objective's class, a sentence each."""
    if kind.compute_loss is Objective.compute_loss and kind.assemble is Objective.assemble:
        yield "an objective needs a method compute_loss(self, x, y, y_pred), which returns (B,)."
    for name, arguments, options in calls():
        function = getattr(kind, name)
        static = isinstance(inspect.getattr_static(kind, name), staticmethod)
        try:
            if function is not None:
                inspect.signature(function).bind(*arguments[static:], **options)
        except TypeError as error:
            yield f"{name} is called as {name}({', '.join([*arguments[1:], *options])}), and cannot be: {error}."
    if not (isinstance(kind.Settings, type) and issubclass(kind.Settings, settings.Settings)):
        yield "Settings must be a subclass of kerasdl.settings.Settings."
    else:
        for parent in kind.__mro__[1:]:
            wanted = vars(parent).get("Settings")
            if wanted and not issubclass(kind.Settings, wanted):
                yield (f"Settings must be a subclass of {wanted.__module__}.{wanted.__name__}, because "
                       f"{parent.__name__} reads those.")
    for score, better in {**kind.scores, **kind.overall_scores}.items():
        if better not in ("max", "min"):
            yield f"scores says whether 'max' or 'min' is better. Received: {{{score!r}: {better!r}}}."
    if kind.monitor not in kind.scores:
        yield f"monitor={kind.monitor!r} is not among its scores: {', '.join(kind.scores)}."
    if kind.target not in (None, *get_args(spec.Target)):
        yield f"target is 'class', 'labels', 'number', 'tags' or None. Received: {kind.target!r}."
    if isinstance(kind.inputs, str) or not set(kind.inputs) <= set(spec.KINDS):
        yield f"inputs is a tuple of {', '.join(map(repr, spec.KINDS))}. Received: {kind.inputs!r}."


def calls() -> Iterator[tuple[str, tuple[str, ...], dict[str, None]]]:
    """Yield the members that are called, with the names of positional arguments and those of the others."""
    yield "prepare", PREPARE, {}
    for name, function in vars(Objective).items():
        if inspect.isfunction(function) and name != "__init__":
            parameters = inspect.signature(function).parameters.values()
            yield (name, tuple(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD),
                   {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY})
