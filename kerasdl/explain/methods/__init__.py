"""Methods of explanation: one file each, and the folder is the registry. A method's module has

- `TITLE`, `READS` and `SOURCE`: its name, how to read what it shows, and the paper;
- `KINDS`: the kinds of example that it takes, of kerasdl.data.spec;
- `fits(network)`, if it does not fit every model of these kinds: "" or why it says nothing about this one;

and one of

- `attribute(network, x, target, ...) -> values`, for a method that explains answers for examples; `SIGNED` says whether
  its numbers are for and against. It may have `seed`, `layer` and settings of its own with defaults, and
  `maps(network, x, values)`, where its values are not one number for each number of an example, and `grid(network,
  values)`, the cells that they are on, where these are coarser than an example;
- `describe(network, material) -> arrays` by name, for a method that explains the model as a whole, with
  `show(found, material)`, HTML for the page, and `NEEDS`, what it reads of the test split: "" or "labels".
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from kerasdl.errors import UserError
from kerasdl.explain import names
from kerasdl.explain.network import Network


class Method(Protocol):
    """What every method's module has; `fits` may be missing."""

    TITLE: str
    READS: str
    SOURCE: str
    KINDS: tuple[str, ...]


class Attribution(Method, Protocol):
    """A method that explains answers for examples."""

    SIGNED: bool
    attribute: Callable[..., np.ndarray]


def find(name: str) -> Any:
    """Return the module of a method.

    Raises:
        UserError: there is none of that name.
    """
    names.check(name)
    return import_module(f"{__name__}.{name}")


def is_attribution(method: Any) -> bool:
    """Return whether a method explains answers for examples, and not the model as a whole."""
    return hasattr(method, "attribute")


def settings(method: Any) -> tuple[str, ...]:
    """Return the names of what may be set of a method that explains examples."""
    return tuple(method.attribute.__kwdefaults__ or ())


def misfit(name: str, network: Network) -> str:
    """Return why a method says nothing about a model: one sentence, or ""."""
    method = find(name)
    return names.other_kind(name, network.kind) or (method.fits(network) if hasattr(method, "fits") else "")


def fitting(network: Network) -> list[str]:
    """Return the methods that say something about a model."""
    return [name for name in names.names() if not misfit(name, network)]


def check(name: str, network: Network) -> Any:
    """Return the module of a method that fits a model.

    Raises:
        UserError: there is no such method, or it does not fit; the message names those that do.
    """
    if why := misfit(name, network):
        raise UserError(f"{why} Choose from: {', '.join(fitting(network))}.")
    return find(name)
