"""A recipe as text that runs: a Python file, and a command."""

import shlex
from typing import Any

from kerasdl.errors import UserError
from kerasdl.recipe import Recipe, load, names

OMITTED = ("name", "claim")  # fields that neither a command nor a new recipe repeats


def python(recipe: Recipe, headline: str) -> str:
    """Return a Python file that sets this recipe, which `kerasdl train` takes.

    Args:
        headline: the first line of the file's docstring.
    """
    fields = {key: getattr(recipe, key) for key in recipe.diff() if key not in OMITTED}
    headline = headline.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = [f"    {key}={value!r}," for key, value in fields.items()]
    return "\n".join([f'"""{headline}"""', "", "from kerasdl.recipe import Recipe", "", "recipe = Recipe(", *lines, ")",
                      ""])


def command(recipe: Recipe, otherwise: str, backend: str | None = None) -> str:
    """Return the command that trains this recipe: one of the package's by its name, and what differs from it.

    Args:
        otherwise: what to train if the package has no recipe of that name, such as a run's folder.
        backend: of Keras; None: TensorFlow, with which `kerasdl train` trains by itself.
    """
    return shlex.join(["kerasdl", "train", *(_of_package(recipe) or [otherwise]), *backend_option(backend)])


def backend_option(backend: str | None) -> list[str]:
    """Return the option of a command that chooses this backend; none for TensorFlow, which needs none."""
    return [] if backend in (None, "tensorflow") else ["--backend", backend]


def _of_package(recipe: Recipe) -> list[str]:
    """The package's recipe of that name and the overrides that make this one of it; nothing where there are none."""
    if recipe.name not in names():
        return []
    base = load(recipe.name)
    pairs = [pair for key, value in recipe if key not in OMITTED and value != getattr(base, key)
             for pair in _pairs(key, value, getattr(base, key))]
    try:
        same = base.override(*pairs) == recipe
    except UserError:  # of two settings that exclude each other the package's recipe has one, and this one the other
        same = False
    return [recipe.name, *pairs] if same else []


def _pairs(key: str, value: Any, before: Any) -> list[str]:
    """The overrides that change a field: one for each part of a dictionary."""
    if isinstance(value, dict):
        return [f"{key}.{part}={inner}" for part, inner in value.items() if before.get(part) != inner]
    return [f"{key}={value}"]
