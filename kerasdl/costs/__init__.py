"""What a network costs before it is trained: a cost is one file of this folder, and its module has

- `UNIT`: what it is counted in: "" for plain numbers, "KB" (1000 bytes) or "ms";
- `PACKAGES`: what has to be importable, besides kerasdl;
- `measure(network, examples)`: the cost of a float32 network; `examples` (N, ...) are training examples, as the network
  takes them.

A user's own cost is "FILE.py:NAME", a function of the same two arguments, in plain numbers.

A limit is a number, or text with a unit: 50_000, "50k", "1.5M", "96 KB", "1 MB", "3 ms".
"""

import math
import pkgutil
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kerasdl import user_code
from kerasdl.errors import UserError, nearest
from kerasdl.unimported import constants

FACTORS = {  # from each unit to the unit of the cost
    "": {"": 1, "k": 1e3, "M": 1e6, "G": 1e9},
    "KB": {"": 1, "B": 1e-3, "KB": 1, "kB": 1, "MB": 1e3},
    "ms": {"": 1, "us": 1e-3, "ms": 1, "s": 1e3},
}
EXAMPLES = {"": "50k", "KB": "96 KB", "ms": "3 ms"}  # of a limit


def names() -> list[str]:
    """Return the names of the costs of the package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def check(name: str) -> None:
    """Raise a UserError for a cost that does not exist."""
    if user_code.is_reference(name):
        user_code.check(name)
    elif name not in names():
        raise UserError(f"There is no cost {name!r}. {nearest(name, names())} Your own: FILE.py:NAME.")


def unit(name: str) -> str:
    """Return what a cost is counted in; "" of plain numbers."""
    return "" if user_code.is_reference(name) else constants(Path(__path__[0]) / f"{name}.py")["UNIT"]


def limit(name: str, given: Any) -> float:
    """Return a limit of a cost as a number.

    Raises:
        UserError: it is not a number above 0, or has a unit that this cost is not counted in.
    """
    check(name)
    factors = FACTORS[unit(name)]
    found = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Z]*)\s*", str(given).replace("_", ""))
    try:
        value = float(found[1]) * factors[found[2]] if found else math.nan
    except (KeyError, ValueError):
        value = math.nan
    if not 0 < value < math.inf or isinstance(given, bool):
        units = ", ".join(filter(None, factors))
        raise UserError(f"A limit of {name} is a number above 0, alone or with one of {units}: {EXAMPLES[unit(name)]}. "
                        f"Received: {given!r}.")
    return value


def text(name: str, value: float) -> str:
    """Return a cost as one reads it: 75,290, 96.2 KB, 1.31 ms."""
    number = f"{value:,.0f}" if unit(name) == "" and value == int(value) else f"{value:.3g}" if value < 100 \
        else f"{value:,.0f}"
    return f"{number} {unit(name)}".rstrip()


def over(costs: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Return in words which limits the costs of a network exceed; "" if none."""
    return ", ".join(f"{name} {text(name, costs[name])} of {text(name, most)} at most"
                     for name, most in limits.items() if costs[name] > most)


def find(name: str) -> Any:
    """Return the function that measures a cost.

    Raises:
        UserError: there is none, or its packages are missing.
    """
    check(name)
    if user_code.is_reference(name):
        return user_code.load(name)
    module = import_module(f"{__name__}.{name}")
    if missing := [package for package in module.PACKAGES if find_spec(package) is None]:
        raise UserError(f"The cost {name} needs {' and '.join(missing)}: pip install 'kerasdl[export]'")
    return module.measure
