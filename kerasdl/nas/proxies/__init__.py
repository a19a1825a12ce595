"""Scores of untrained networks that are to rank them as training would: a proxy is one file of this folder, and its
module has `score(network, x, y) -> float`, the higher the better, and `LOOKS = True` if that depends on x.

`network` is float32 and untrained, x (N, ...) are training examples as it takes them, and y (N,) their classes, None
where there are no classes. For those that look at x, layers that adapt to data have seen the training split. No proxy
is reliably better than the number of parameters (Li et al. 2023, arXiv:2301.11300, for all that came before theirs), so
parameters and multiply-adds are proxies, too, and stand next to each.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from kerasdl.errors import UserError, nearest


def names() -> list[str]:
    """Return the names of the proxies."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Callable[[Any, Any, Any], float]:
    """Return the function of a proxy.

    Raises:
        UserError: there is none of that name.
    """
    if name not in names():
        raise UserError(f"There is no proxy {name!r}. {nearest(name, names())}")
    return import_module(f"{__name__}.{name}").score


def looks(name: str) -> bool:
    """Return whether the score of a proxy depends on the examples."""
    return getattr(import_module(f"{__name__}.{name}"), "LOOKS", False)
