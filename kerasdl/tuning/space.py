"""A search is data: which fields of a recipe vary, what is best, how often to try. Light; JSON in and out."""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kerasdl import recipe as recipes
from kerasdl.errors import UserError, nearest
from kerasdl.recipe import Recipe
from kerasdl.tuning.checks import check, goal
from kerasdl.tuning.dimensions import Dimension, from_json, frozen

SEARCHES = Path(__file__).parent / "searches"
FREE = ("trials", "timeout", "stop_early")  # may differ when a search goes on
TRIALS = 30


@dataclass(frozen=True)
class Search:
    """What to vary, and how to choose.

    Attributes:
        recipe: a Recipe, the name of one, or a path to one. None with `build`.
        space: field of the recipe -> dimension, or several dimensions of which the conditions leave one. Fields of
            dictionaries have dots: "model_args.drop".
        objective: a metric on validation data, "val/accuracy".
        goal: "max" or "min"; None: that of the metric.
        trials: how many; None: 30, and for grid and hyperband all that there are.
        oracle: "grid", "random", "bayesian" or "hyperband".
        seed: of the oracle; each trial trains with the recipe's own.
        timeout: the longest that a trial may take, seconds or "10 min".
        stop_early: whether a trial that is worse than half of the others at the same epoch stops; None: except in grids
            and hyperband.
        overrides: fixed changes of the recipe, as Recipe.override takes them.
        build: in place of recipe and space, a function build(hp) in the manner of keras-tuner that returns a compiled
            model: itself, from a file of Python, or "FILE.py:NAME". `data`, and `epochs` and `batch` among the
            `overrides`, say what it is fitted to.
        data: of `build`.
        name: set from the file's name.
        source: of `build`, a checksum of its file when the search began.

    Raises:
        UserError: for a field, a value or a condition that cannot be.
    """

    recipe: Recipe | str | Path | None = None
    space: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "val/accuracy"
    goal: str | None = None
    trials: int | None = None
    oracle: str = "random"
    seed: int = 0
    timeout: float | str | None = None
    stop_early: bool | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    build: Callable | str | None = None
    data: str | None = None
    name: str = ""
    source: str = ""

    def __post_init__(self):
        for key in ("space", "overrides"):
            if not isinstance(getattr(self, key), Mapping):
                raise UserError(f"{key} is a dictionary, {{field: ...}}. Received: {getattr(self, key)!r}.")
        if self.build is None:
            if self.recipe is None:
                raise UserError("A search needs a recipe: Search(recipe=\"vit_digits\", space={...}).")
            base = recipes.load(self.recipe)
        else:
            if self.recipe is not None or self.space or not self.data:
                raise UserError("A search by build(hp) has `data`, and neither `recipe` nor `space`: build says itself "
                                "what varies.")
            object.__setattr__(self, "build", _source(self.build))
            object.__setattr__(self, "source", self.source or _checksum(self.build))
            base = Recipe(name="build", model="linear", data=self.data)  # of it data, batch, epochs, seed and precision
        object.__setattr__(self, "recipe", base)
        object.__setattr__(self, "overrides", {
            key: {part: frozen(inner) for part, inner in value.items()} if isinstance(value, Mapping) else frozen(value)
            for key, value in self.overrides.items()})
        space = {key: tuple(part) if isinstance(part, (list, tuple)) else (part,) for key, part in self.space.items()}
        object.__setattr__(self, "space", space)
        check(self)

    @property
    def base(self) -> Recipe:
        """The recipe with its fixed changes."""
        return self.recipe.override(**self.overrides)

    @property
    def direction(self) -> str:
        """Whether "max" or "min" is best."""
        return self.goal or goal(self.objective.partition("/")[2])

    @property
    def limit(self) -> int | None:
        """How many trials at most; None: what the oracle has."""
        return self.trials or (None if self.oracle in ("grid", "hyperband") else TRIALS)

    @property
    def stops_early(self) -> bool:
        return self.oracle not in ("grid", "hyperband") if self.stop_early is None else self.stop_early

    @property
    def named(self) -> dict[str, tuple[str, Dimension]]:
        """Unique name -> (field, dimension), parents before what depends on them: the order of the trials' values."""
        found = {key if len(part) == 1 else f"{key} when {_condition(dimension)}": (key, dimension)
                 for key, part in self.space.items() for dimension in part}
        done: dict[str, tuple[str, Dimension]] = {}
        while len(done) < len(found):
            keys = {key for key, _ in done.values()}
            left = {name: entry for name, entry in found.items() if name not in done}
            ready = next((name for name, (_, dimension) in left.items()
                          if all(parent in keys for parent, _ in dimension.conditions)), None)
            if ready is None:
                raise UserError(f"Conditions that wait for one another: {', '.join(left)}.")
            done[ready] = found[ready]
        return done

    def hyperparameters(self):
        """The space as keras_tuner.HyperParameters; empty for `build`, which is asked (see kerasdl.tuning.build)."""
        from keras_tuner import HyperParameters
        from keras_tuner.src.engine import conditions  # the public module forgets it

        hps = HyperParameters()
        for name, (_, dimension) in self.named.items():
            parents = [conditions.Parent(key, [self.space[key][0].label(value) for value in values])
                       for key, values in dimension.conditions]
            hps.merge([dimension.hyperparameter(name, parents)])
        return hps

    def values(self, hp: Any) -> dict[str, Any]:
        """What a trial changes, field -> value as the user wrote it, from keras-tuner's values or their owner."""
        given = getattr(hp, "values", hp)
        given = given if isinstance(given, Mapping) else hp
        return {key: dimension.value(given[name]) for name, (key, dimension) in self.named.items() if name in given}

    def trial(self, hp: Any) -> Recipe:
        """The recipe that a trial trains."""
        return self.base.override(**self.values(hp))

    def cells(self) -> Iterator[dict[str, Any]]:
        """Every combination of values once, active ones only, the last field fastest."""
        from kerasdl.tuning.cells import cells

        return (self.values(values) for values in cells(self.hyperparameters()))

    def to_json(self) -> str:
        """Exactly what runs, as search.json."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["recipe"] = None if self.build else json.loads(self.recipe.model_dump_json())
        plain["space"] = {key: [dimension.describe() for dimension in part] for key, part in self.space.items()}
        plain["timeout"] = self.timeout
        return json.dumps(plain, indent=2, allow_nan=False) + "\n"

    def differences(self, other: "Search") -> list[str]:
        """In words, what changed to `other` of all that makes trials comparable; not how many, nor how long."""
        changed = []
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if each.name in (*FREE, "name", "source") or mine == theirs:
                continue
            if each.name in ("space", "overrides"):
                keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
                changed += [f"{key}: {_told(mine.get(key))} -> {_told(theirs.get(key))}" for key in keys]
            elif each.name == "recipe":
                mine, theirs = mine.model_dump(mode="json"), theirs.model_dump(mode="json")
                changed += [f"recipe.{key}: {mine[key]!r} -> {theirs[key]!r}" for key in mine
                            if mine[key] != theirs[key] and key not in ("name", "claim")]
            else:
                changed.append(f"{each.name}: {mine!r} -> {theirs!r}")
        return changed

    def go_on_from(self, before: "Search", folder: str | Path) -> None:
        """Refuse to continue another search: its trials say nothing about this one.

        Raises:
            UserError: with the differences.
        """
        changed = before.differences(self)
        if self.build and before.source != _checksum(self.build):
            changed.append(f"{self.build.rpartition(':')[0]} was edited")
        if changed:
            raise UserError(f"{folder} holds another search: {'; '.join(changed)}. Choose another folder, or resume "
                            "it as it was.")

    def __str__(self) -> str:
        lines = {"build": self.build} if self.build else {"recipe": self.recipe.name}
        lines |= {"objective": f"{self.objective} ({self.direction})",
                  "oracle": f"{self.oracle}, {self.limit or 'all'} trials, seed {self.seed}"}
        lines |= {key: repr(value) for key, value in self.overrides.items()}
        lines |= {key: _told(part) for key, part in self.space.items()}
        wide = max(map(len, lines)) + 2
        return "\n".join(f"{key:{wide}}{value}" for key, value in lines.items())


def names() -> list[str]:
    """The searches that come with the package, in alphabetical order."""
    return sorted(path.stem for path in SEARCHES.glob("*.py") if path.stem != "__init__")


def load(search: "Search | str | Path") -> Search:
    """A search by name, by path to a Python file that sets `search`, or by a folder's search.json.

    Raises:
        UserError: if there is no such search, or the file does not hold one.
    """
    if isinstance(search, Search):
        return search
    path = Path(search)
    if path.suffix not in (".py", ".json"):
        if str(search) not in names():
            raise UserError(f"Unknown search {str(search)!r}. {nearest(str(search), names())}")
        path = SEARCHES / f"{search}.py"
    if not path.is_file():
        raise UserError(f"There is no search file {path}.")
    try:
        found = _from_json(path.read_text()) if path.suffix == ".json" else recipes.run_file(path).get("search")
    except UserError:
        raise
    except Exception as error:  # whatever the user's own lines raise
        raise UserError(f"{path} is not a search that can be read: {type(error).__name__}: "
                        f"{' '.join(str(error).split())}.") from None
    if not isinstance(found, Search):
        raise UserError(f"{path} must set `search = Search(...)`. Received: {type(found).__name__}.")
    if not found.name:
        object.__setattr__(found, "name", path.stem)
    return found


def _from_json(text: str) -> Search:
    plain = json.loads(text)
    if plain.get("recipe"):
        plain["recipe"] = Recipe.model_validate_json(json.dumps(plain["recipe"]))
    plain["space"] = {key: tuple(map(from_json, part)) for key, part in plain["space"].items()}
    return Search(**plain)


def _source(build: Callable | str) -> str:
    """ "FILE.py:NAME" of a function, for the process of a trial to import."""
    if callable(build):
        name = getattr(build, "__qualname__", repr(build))
        try:
            file = inspect.getsourcefile(build)
        except TypeError:  # of an object that can be called
            file = None
        if not file or not Path(file).is_file() or not name.isidentifier():
            raise UserError(f"Each trial is a process that imports build(hp) from a file. {name} is not at the top of "
                            "one: move it there.")
        return f"{Path(file).resolve()}:{name}"
    file, _, name = str(build).rpartition(":")
    if file and not Path(file).is_file():
        raise UserError(f"There is no file {file} with build(hp).")
    if not file or not name.isidentifier():
        raise UserError(f"build is a function, or FILE.py:NAME. Received: {build!r}.")
    return f"{Path(file).resolve()}:{name}"


def _checksum(build: str) -> str:
    return hashlib.sha256(Path(build.rpartition(":")[0]).read_bytes()).hexdigest()


def _condition(dimension: Dimension) -> str:
    return ", ".join(f"{key}={'|'.join(map(str, values))}" for key, values in dimension.conditions)


def _told(part: Any) -> str:
    if part is None:
        return "not in it"
    return "; ".join(map(str, part)) if isinstance(part, tuple) else repr(part)
