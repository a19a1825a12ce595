"""What a model learns: one class in one file for each objective. The folder is the registry.

Importing this package is light: Keras arrives with the first objective.
"""

import importlib
from pathlib import Path

from kerasdl import user_code
from kerasdl.errors import UserError
from kerasdl.registry import check, names

__all__ = ["check", "get", "names", "of"]


def get(name: str, run: Path | None = None):
    """Return the class of an objective.

    Args:
        name: a file of this folder, or FILE.py:CLASS.
        run: the folder of a run, whose copy of FILE.py is used if it has one.

    Raises:
        UserError: there is no such objective, or the file's class is none or does not keep the contract.
    """
    from kerasdl.objectives.base import Objective
    from kerasdl.objectives.contract import check_class

    if user_code.is_reference(name):
        found = user_code.load(name, run)
        if not (isinstance(found, type) and issubclass(found, Objective)):
            raise UserError(f"{name} is not an objective. Expected a subclass of kerasdl.objectives.base.Objective.")
        check_class(found, name)
        return found
    check(name)
    module = importlib.import_module(f"{__name__}.{name}")
    return next(value for value in vars(module).values()
                if isinstance(value, type) and issubclass(value, Objective) and value.__module__ == module.__name__)


def of(recipe, run: Path | None = None):
    """Return a recipe's objective with its settings, checked.

    Raises:
        UserError: there is no such objective, or a setting is unknown or of the wrong type.
    """
    return get(recipe.objective, run)(recipe, run)
