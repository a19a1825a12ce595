"""What cannot be in a search, told in one line before anything heavy is imported."""

import ast
from pathlib import Path

from kerasdl.errors import UserError, nearest
from kerasdl.recipe import OPTIMIZERS, Recipe
from kerasdl.tuning.dimensions import Choice, Dimension

ZOO = Path(__file__).parents[1] / "zoo"
ORACLES = ("grid", "random", "bayesian", "hyperband")
GOALS = {"accuracy": "max", "r2": "max", "loss": "min", "mae": "min", "frechet": "min", "kid": "min", "density": "max",
         "coverage": "max"}
METRICS = {"classify": ("accuracy", "loss"), "regress": ("loss", "mae", "r2")}  # all that an objective logs


def goal(metric: str) -> str | None:
    """Whether "max" or "min" is best of a metric, which may have its referee's name behind: kid_digits."""
    return GOALS.get(metric) or GOALS.get(metric.partition("_")[0])


def check(search) -> None:
    """Raise a UserError at the first thing of a Search that cannot be."""
    if search.oracle not in ORACLES:
        raise UserError(f"Unknown oracle {search.oracle!r}. {nearest(search.oracle, ORACLES)}")
    if search.goal not in (None, "max", "min"):
        raise UserError(f"goal is \"max\" or \"min\". Received: {search.goal!r}.")
    for key in ("trials", "seed"):
        value = getattr(search, key)
        if not (key == "trials" and value is None) and (type(value) is not int or value < (key == "trials")):
            raise UserError(f"{key} is a whole number from {int(key == 'trials')} on. Received: {value!r}.")
    if not isinstance(search.objective, str):
        raise UserError(f"An objective is a metric on validation data, such as val/accuracy. "
                        f"Received: {search.objective!r}.")
    base = search.base
    _objective(search, base)
    if search.build:
        return
    if not search.space:
        raise UserError("A search needs a space: what shall vary?")
    for key, part in search.space.items():
        if not part:
            raise UserError(f"{key} has no dimension. Leave it out, or write choice(...), uniform(...) and so on.")
        for dimension in part:
            if not isinstance(dimension, Dimension):
                raise UserError(f"{key} is choice(...), uniform(...), log(...) or integer(...). "
                                f"Received: {dimension!r}.")
            _conditions(search, key, dimension)
            _field(search, base, key, dimension)
        _alternatives(search, key, part)
    _of_optimizers(search, base)
    for name, (_, dimension) in search.named.items():
        if search.oracle == "grid" and dimension.options() is None:
            raise UserError(f"A grid needs values that can be counted. {name} is {dimension}: "
                            "write choice(...), or uniform with a step.")
    for key in search.space:
        if _fixed(search, key):
            raise UserError(f"{key} is fixed by the overrides, and searched, too. Take it out of one of the two.")
    if search.oracle == "hyperband" and "epochs" in search.space:
        raise UserError("hyperband gives out the epochs itself. Take epochs out of the space.")


def _objective(search, base: Recipe) -> None:
    split, _, metric = search.objective.partition("/")
    if split != "val" or not metric:
        raise UserError(f"An objective is a metric on validation data, such as val/accuracy. "
                        f"Received: {search.objective!r}.")
    logged = METRICS.get(base.objective)
    if not search.build and logged and metric not in logged:
        raise UserError(f"{search.objective} is never logged by objective={base.objective}. "
                        f"{nearest(search.objective, [f'val/{name}' for name in logged])}")
    if search.goal is None and goal(metric) is None:
        raise UserError(f"Is a high {search.objective} best or a low one? Write goal=\"max\" or \"min\".")


def _fixed(search, key: str) -> bool:
    """Whether an override changes a field that is searched."""
    if key in search.overrides:
        return True
    field, _, part = key.partition(".")
    fixed = search.overrides.get(field)
    return isinstance(fixed, dict) and part in fixed and fixed[part] != getattr(search.recipe, field).get(part)


def _conditions(search, key: str, dimension: Dimension) -> None:
    for parent, values in dimension.conditions:
        if parent not in search.space:
            raise UserError(f"{key} depends on {parent!r}, which does not vary. {nearest(parent, search.space)}")
        options = search.space[parent][0].options()
        if len(search.space[parent]) > 1 or options is None:
            raise UserError(f"{key} depends on {parent}, and a condition needs a choice or an integer.")
        for value in values:
            if not any(value == option and type(value) is type(option) for option in options):
                raise UserError(f"{key} depends on {parent}={value!r}, which {parent} never is. "
                                f"{nearest(value, options)}")


def _of_optimizers(search, base: Recipe) -> None:
    """That a setting of some optimizers does not come to another, whose trials would all fail."""
    every = {name for part in search.space.get("optimizer", ()) for name in part.options()} or {base.optimizer}
    for key, those in OPTIMIZERS.items():
        for dimension in search.space.get(key, ()):
            conditions = dict(dimension.conditions)
            met = set(conditions.get("optimizer", () if conditions else every))
            if others := sorted(met - set(those)):
                raise UserError(f"{key} is for {' and '.join(those)}, and is searched with optimizer={others[0]}. "
                                f"Add .when(optimizer={those[0]!r}).")
        default = Recipe.model_fields[key].default
        if key not in search.space and getattr(base, key) != default and (others := sorted(every - set(those))):
            raise UserError(f"{key}={getattr(base, key)} is for {' and '.join(those)}, and {others[0]} is searched, "
                            f"too. Add overrides={{{key!r}: {default}}}.")


def _alternatives(search, key: str, part: tuple[Dimension, ...]) -> None:
    for index, one in enumerate(part):
        for other in part[:index]:
            mine, theirs = dict(one.conditions), dict(other.conditions)
            if not any(not set(mine[parent]) & set(theirs[parent]) for parent in mine if parent in theirs):
                raise UserError(f"{key} has two dimensions that can be active at once: {other}, and {one}. "
                                "Give them conditions of which only one can hold.")


def _field(search, base: Recipe, key: str, dimension: Dimension) -> None:
    """By trying it: the recipe knows its fields and their types, and the model its arguments."""
    for value in dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high):
        try:
            base.override(**{key: value})
        except UserError as error:
            raise UserError(f"{key}: {error}" if not str(error).startswith(key) else str(error)) from None
    if not key.startswith("model_args."):
        return
    models = search.space["model"][0].options() if "model" in search.space else (base.model,)
    for model in dict(dimension.conditions).get("model", models):
        known = arguments(model)
        argument = key.partition(".")[2]
        if known and argument not in known:
            hint = " Add .when(model=...) for the models that have it." if len(models) > 1 else ""
            raise UserError(f"{model} has no argument {argument!r}. {nearest(argument, known)}{hint}")


def arguments(model: str) -> list[str]:
    """What a model's `build` takes by name, read from its source: importing it would import Keras."""
    file = ZOO / f"{model}.py"
    if not file.is_file():
        return []
    functions = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))
    return [argument.arg for node in functions if node.name == "build" for argument in node.args.kwonlyargs]
