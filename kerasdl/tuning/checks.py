"""Refuse a malformed search in one line. This needs no Keras, so a mistake shows before anything heavy is imported.

What only the code of models and objectives knows is checked when the study starts: see kerasdl.tuning.preflight.
"""

from kerasdl import costs
from kerasdl.errors import UserError, nearest
from kerasdl.recipe import Recipe
from kerasdl.tuning.dimensions import Choice, Dimension, same

ORACLES = ("grid", "random", "bayesian", "hyperband", "evolution")
MORE = {"optuna": "Or a sampler of Optuna: optuna:TPESampler.", "ranked": "Or a ranking: ranked:FILE."}


def check(search) -> None:
    """Raise a UserError for the first mistake in a Search."""
    _settings(search)
    base = search.base
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
        if _fixed(search, key):
            raise UserError(f"{key} is fixed by the overrides, and searched, too. Take it out of one of the two.")
    for key, dimension in search.dimensions:
        if search.oracle == "grid" and dimension.options() is None:
            raise UserError(f"A grid needs values that can be counted. {key} is {dimension}: "
                            "write choice(...), or uniform with a step.")
    if search.oracle == "hyperband" and "epochs" in search.space:
        raise UserError("hyperband chooses the epochs itself. Take epochs out of the space.")


def _settings(search) -> None:
    """Refuse an oracle, a goal, a number or an objective of the wrong form."""
    name, _, rest = str(search.oracle).partition(":")
    if not (name in ORACLES and not rest or name in MORE and rest):
        raise UserError(f"Unknown oracle {search.oracle!r}. {nearest(search.oracle, ORACLES)} "
                        f"{' '.join(MORE.values())}")
    for name in search.costs:
        costs.check(name)
    if search.inherit and search.oracle != "evolution":
        raise UserError(f"inherit=True is for oracle=evolution, whose trials have parents. Received: {search.oracle}.")
    if search.measured and search.build:
        raise UserError("costs and limits are of the network of a recipe. A search of build(hp) has neither.")
    if search.goal not in (None, "max", "min"):
        raise UserError(f"goal is \"max\" or \"min\". Received: {search.goal!r}.")
    for key, least in (("trials", 1), ("seed", 0)):
        value = getattr(search, key)
        if not (key == "trials" and value is None) and (type(value) is not int or value < least):
            raise UserError(f"{key} is a whole number from {least} on. Received: {value!r}.")
    split, _, metric = search.objective.partition("/") if isinstance(search.objective, str) else ("", "", "")
    if split != "val" or not metric:
        raise UserError(f"An objective is a metric on validation data, such as val/accuracy. "
                        f"Received: {search.objective!r}.")


def _fixed(search, key: str) -> bool:
    """Return whether an override changes a field that is searched."""
    if key in search.overrides:
        return True
    field, _, part = key.partition(".")
    fixed = search.overrides.get(field)
    return isinstance(fixed, dict) and part in fixed and fixed[part] != getattr(search.recipe, field).get(part)


def _conditions(search, key: str, dimension: Dimension) -> None:
    """Refuse a condition on what does not vary, cannot be counted, or never has the value."""
    for parent, values in dimension.conditions:
        if parent not in search.space:
            raise UserError(f"{key} depends on {parent!r}, which does not vary. {nearest(parent, search.space)}")
        options = search.space[parent][0].options()
        if len(search.space[parent]) > 1 or options is None:
            raise UserError(f"{key} depends on {parent}, and a condition needs a choice or an integer.")
        for value in values:
            if not any(same(value, option) for option in options):
                raise UserError(f"{key} depends on {parent}={value!r}, which {parent} never is. "
                                f"{nearest(value, options)}")


def _alternatives(search, key: str, part: tuple[Dimension, ...]) -> None:
    """Refuse two dimensions of a field that could be active at once."""
    for index, one in enumerate(part):
        for other in part[:index]:
            mine, theirs = _all_conditions(search, one), _all_conditions(search, other)
            if not any(mine[parent].isdisjoint(theirs[parent]) for parent in mine if parent in theirs):
                raise UserError(f"{key} has two dimensions that can be active at once: {other}, and {one}. "
                                "Give them conditions of which only one can hold.")


def _all_conditions(search, dimension: Dimension) -> dict[str, set]:
    """Return the values that each parent may have, and those of the parents, while a dimension is active."""
    found: dict[str, set] = {}
    left, seen = [dimension], set()
    while left:
        for parent, values in left.pop().conditions:
            found[parent] = found[parent] & set(values) if parent in found else set(values)
            if parent not in seen and len(part := search.space.get(parent, ())) == 1:
                left += part
            seen.add(parent)
    return found


def _field(search, base: Recipe, key: str, dimension: Dimension) -> None:
    """Try the values: the recipe knows its fields and their types, and the settings of each optimizer."""
    owner = key.partition("_args.")[0] if "_args." in key else ""
    owners = owners_of(search, base, owner, dimension) if owner else [None]
    tried = dimension.values if isinstance(dimension, Choice) else [vars(dimension)[end] for end in ("low", "high")]
    for value in tried:
        for name in owners:
            try:
                search.trial(({owner: name} if owner else {}) | {key: value})
            except UserError as error:
                hint = f" Add .when({owner}=...) for those that have it." if len(owners) > 1 else ""
                raise UserError((f"{key}: {error}" if not str(error).startswith(key) else str(error)) + hint) from None


def owners_of(search, base: Recipe, owner: str, dimension: Dimension) -> list[str]:
    """Return the models, optimizers and so on (`owner`) whose settings a dimension may be."""
    return list(dict(dimension.conditions).get(owner, options_of(search, base, owner)))


def options_of(search, base: Recipe, owner: str) -> list[str]:
    """Return the models, optimizers and so on (`owner`) that the trials may have."""
    return list(search.space[owner][0].options()) if owner in search.space else [getattr(base, owner)]
