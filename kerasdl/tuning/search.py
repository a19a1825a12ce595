"""A search as data: which fields of a recipe vary, what is best, how many trials. Light; JSON in and out."""

import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kerasdl import costs, user_code
from kerasdl import recipe as recipes
from kerasdl.errors import UserError, nearest
from kerasdl.recipe import Recipe
from kerasdl.tuning import preflight
from kerasdl.tuning.checks import check
from kerasdl.tuning.dimensions import Choice, Dimension, from_json, frozen
from kerasdl.tuning.samplers import ranked
from kerasdl.tuning.samplers.grid import combinations

SEARCHES = Path(__file__).parent / "searches"
FREE = ("trials", "timeout", "stop_early")  # may differ when a search is continued
FROM_FILES = ("model", "objective")  # recipe fields that may name a user's file, "my.py:build"
ALWAYS = ("parameters", "multiply_adds")  # reported with any cost: the cheapest guess of how good a network is
TRIALS = 30


@dataclass
class Search:
    """What to vary, and how to choose.

    Attributes:
        recipe: a Recipe, the name of one, or a path to one. None with `build`.
        space: field of the recipe -> dimension, or several dimensions of which the conditions leave one. Fields of
            dictionaries have dots: "model_args.drop".
        objective: a metric on validation data, "val/accuracy".
        goal: "max" or "min"; None: that of the metric.
        trials: how many; None: 30, and for grid and hyperband all that there are.
        oracle: "grid", "random", "bayesian", "hyperband", "evolution", a sampler of Optuna, such as
            "optuna:TPESampler", or "ranked:FILE", a ranking of `kerasdl tune rank`.
        seed: of the oracle; each trial trains with the recipe's own.
        timeout: the longest that a trial may take, seconds or "10 min".
        costs: what is to be low besides the objective, such as "parameters" and "multiply_adds": see kerasdl.costs.
            "bayesian" and Optuna's samplers of several aims, such as "optuna:NSGAIISampler", search for both; the page
            shows the front of any search.
        limits: cost -> how much a network may have of it: 50_000, "50k", "96 KB". Networks beyond it are not trained.
        stop_early: whether a trial that is worse than half of the others at the same epoch stops; None: except in grids
            and hyperband.
        inherit: whether a trial that evolution made begins with the weights of its parent, where layers have the same
            name and shape.
        overrides: fixed changes of the recipe, as Recipe.override takes them.
        build: in place of recipe and space, a function build(hp) in the manner of keras-tuner that returns a compiled
            model: itself, from a file of Python, or "FILE.py:NAME". `data`, and `epochs` and `batch` among the
            `overrides`, say what it is fitted to.
        data: of `build`.
        name: set from the file's name.
        source: of `build`, a checksum of its file when the search began.
        code: {file: checksum} of the user's files that trials run, of those next to them that they import, and of a
            ranking, when the search began.

    Raises:
        UserError: for an unknown field, a wrong value, or a condition that can never hold.
    """

    recipe: Any = None
    space: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "val/accuracy"
    goal: str | None = None
    trials: int | None = None
    oracle: str = "random"
    seed: int = 0
    timeout: float | str | None = None
    stop_early: bool | None = None
    costs: Sequence[str] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    inherit: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    build: Any = None
    data: str | None = None
    name: str = ""
    source: str = ""
    code: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for key in ("space", "overrides", "limits"):
            if not isinstance(getattr(self, key), Mapping):
                raise UserError(f"{key} is a dictionary, {{field: ...}}. Received: {getattr(self, key)!r}.")
        if self.build is None:
            if self.recipe is None:
                raise UserError("A search needs a recipe: Search(recipe=\"vit_digits\", space={...}).")
            base = recipes.load(self.recipe)
            self.recipe = base.model_copy(update={key: absolute(getattr(base, key)) for key in FROM_FILES})
        else:
            if self.recipe is not None or self.space or not self.data:
                raise UserError("A search by build(hp) has `data`, and neither `recipe` nor `space`: build says itself "
                                "what varies.")
            self.build = _source(self.build)
            self.source = self.source or _checksum(self.build)
            self.recipe = Recipe(name="build", model="linear", data=self.data)  # data, batch, epochs, seed, precision
        if isinstance(self.oracle, str) and self.oracle.startswith(ranked.PREFIX):
            self.oracle = ranked.PREFIX + str(Path(self.oracle.removeprefix(ranked.PREFIX)).resolve())
        asked = (self.costs,) if isinstance(self.costs, str) else self.costs
        self.costs = tuple(dict.fromkeys(map(absolute, asked)))
        self.limits = {absolute(name): costs.limit(name, given) for name, given in self.limits.items()}
        self.overrides = {moved(key): _override(key, value) for key, value in self.overrides.items()}
        space = {moved(key): part if isinstance(part, (list, tuple)) else (part,) for key, part in self.space.items()}
        self.space = {key: tuple(_normal(key, dimension) for dimension in part) for key, part in space.items()}
        check(self)
        known = {**({str(user_code.split(self.build)[0]): self.source} if self.build else {}), **self.code}
        self.code = {file: known.get(file, digest) for file, digest in _checksums(self).items()}

    @property
    def base(self) -> Recipe:
        """The recipe with its fixed changes."""
        return self.recipe.override(**self.overrides)

    @property
    def direction(self) -> str:
        """Whether "max" or "min" is best. Unless `goal` says so, this imports Keras.

        Raises:
            UserError: if neither `goal` nor the recipe's objective knows.
        """
        return preflight.goal(self)

    @property
    def ranking(self) -> str:
        """The file of the oracle ranked:FILE; "" for other oracles."""
        return self.oracle.removeprefix(ranked.PREFIX) if self.oracle.startswith(ranked.PREFIX) else ""

    @property
    def limit(self) -> int | None:
        """How many trials at most; None: what the oracle has."""
        return self.trials or (None if self.oracle in ("grid", "hyperband") else TRIALS)

    @property
    def measured(self) -> list[str]:
        """The costs of each network that are measured before it is trained, the cheapest first; none unless asked for.
        """
        asked = [*self.limits, *self.costs]
        return list(dict.fromkeys([*ALWAYS, *asked])) if asked else []

    @property
    def stops_early(self) -> bool:
        return self.oracle not in ("grid", "hyperband") if self.stop_early is None else self.stop_early

    @property
    def dimensions(self) -> list[tuple[str, Dimension]]:
        """(field, dimension) in the order of the space, but each after the fields that its conditions name.

        Raises:
            UserError: if conditions depend on one another in a circle.
        """
        left = [(key, dimension) for key, part in self.space.items() for dimension in part]
        done: list[tuple[str, Dimension]] = []
        while left:
            known = {key for key, _ in done}
            ready = next((entry for entry in left if known.issuperset(dict(entry[1].conditions))), None)
            if ready is None:
                raise UserError(f"Conditions that wait for one another: {', '.join(key for key, _ in left)}.")
            left.remove(ready)
            done.append(ready)
        return done

    def trial(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe that a trial with these values trains: field -> value."""
        return self.recipe.override(**{**self.overrides, **values})  # in one call: a new model would drop model_args

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield every combination of active values once, the last field fastest."""
        return combinations(self.dimensions)

    def to_json(self) -> str:
        """Return exactly what runs, as search.json holds it."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["recipe"] = None if self.build else json.loads(self.recipe.model_dump_json())
        plain["space"] = {key: [dimension.describe() for dimension in part] for key, part in self.space.items()}
        return json.dumps(plain, indent=2, allow_nan=False) + "\n"

    def differences(self, other: "Search") -> list[str]:
        """Return in words what differs in `other`, except how many trials it has and how long they may take."""
        changed = []
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if each.name in (*FREE, "name", "source", "code") or mine == theirs:
                continue
            if each.name in ("space", "overrides"):
                keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
                changed += [f"{key}: {_text(mine.get(key))} -> {_text(theirs.get(key))}" for key in keys]
            elif each.name == "recipe":
                mine, theirs = mine.model_dump(mode="json"), theirs.model_dump(mode="json")
                changed += [f"recipe.{key}: {mine[key]!r} -> {theirs[key]!r}" for key in mine
                            if mine[key] != theirs[key] and key not in ("name", "claim")]
            else:
                changed.append(f"{each.name}: {mine!r} -> {theirs!r}")
        return changed

    def check_continues(self, before: "Search", folder: str | Path) -> None:
        """Refuse to continue another search, whose trials say nothing about this one.

        Raises:
            UserError: with the differences.
        """
        changed = before.differences(self) + before.edited(ranking=True)
        if changed:
            raise UserError(f"{folder} holds another search: {'; '.join(changed)}. Choose another folder, or resume "
                            "it as it was.")

    def edited(self, ranking: bool = False) -> list[str]:
        """Return in words which of the user's files are not as they were when the search began.

        Args:
            ranking: whether the file of a ranking counts, too, which no trial reads.
        """
        now = _checksums(self)
        return [f"{file} was edited" for file, digest in self.code.items()
                if now.get(file) != digest and (ranking or file != self.ranking)]

    def __str__(self) -> str:
        lines = {"build": self.build} if self.build else {"recipe": self.recipe.name}
        lines |= {"objective": self.objective + (f" ({self.goal})" if self.goal else ""),
                  "oracle": f"{self.oracle}, {self.limit or 'all'} trials, seed {self.seed}"}
        lines |= {"costs": ", ".join(self.costs)} if self.costs else {}
        lines |= {"limits": ", ".join(f"{name} {costs.text(name, most)}" for name, most in self.limits.items())
                  } if self.limits else {}
        lines |= {key: repr(value) for key, value in self.overrides.items()}
        lines |= {key: _text(part) for key, part in self.space.items()}
        wide = max(map(len, lines)) + 2
        return "\n".join(f"{key:{wide}}{value}" for key, value in lines.items())


def names() -> list[str]:
    """Return the searches that come with the package, in alphabetical order."""
    return sorted(path.stem for path in SEARCHES.glob("*.py") if path.stem != "__init__")


def load(search: "Search | str | Path") -> Search:
    """Return a search by its name, a path to a Python file that sets `search`, or a folder's search.json.

    Raises:
        UserError: if there is no such search, or the file does not hold one.
    """
    if isinstance(search, Search):
        return search
    if not isinstance(search, (str, os.PathLike)):
        raise UserError("A search is a kerasdl.tuning.Search, the name of one, or a file. "
                        f"Received: {type(search).__name__}. A function build(hp): Search(build=build, data=...).")
    path = Path(search)
    if path.suffix not in (".py", ".json"):
        if str(search) not in names():
            raise UserError(f"Unknown search {str(search)!r}. {nearest(str(search), names())}")
        path = SEARCHES / f"{search}.py"
    if not path.is_file():
        raise UserError(f"There is no search file {path}.")
    try:
        found = _from_json(path.read_text(encoding="utf-8")) if path.suffix == ".json" else \
            recipes.run_file(path).get("search")
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's own lines raise
        raise UserError(f"{path} is not a search that can be read: {type(error).__name__}: "
                        f"{' '.join(str(error).split())}.") from None
    if not isinstance(found, Search):
        raise UserError(f"{path} must set `search = Search(...)`. Received: {type(found).__name__}.")
    found.name = found.name or path.stem
    return found


def _from_json(text: str) -> Search:
    plain = json.loads(text)
    if plain.get("recipe"):
        plain["recipe"] = Recipe.model_validate_json(json.dumps(plain["recipe"]))
    plain["space"] = {key: tuple(map(from_json, part)) for key, part in plain["space"].items()}
    return Search(**plain)


def moved(key: str) -> str:
    """Return the field that was called `key` before 0.2."""
    return f"{recipes.MOVED[key]}.{key}" if key in recipes.MOVED else key


def absolute(name: str) -> str:
    """Return "FILE.py:NAME" with the file's absolute path, so that a trial in another folder finds it."""
    if not user_code.is_reference(name):
        return name
    file, attribute = user_code.split(name)
    return f"{file.resolve()}:{attribute}"


def _override(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {part: frozen(inner) for part, inner in value.items()}
    return absolute(value) if key in FROM_FILES and isinstance(value, str) else frozen(value)


def _normal(key: str, dimension: Any) -> Any:
    """Return a dimension with absolute paths and the fields' present names, in its values and its conditions."""
    if not isinstance(dimension, Dimension):
        return dimension
    conditions = tuple((moved(parent), tuple(map(absolute, allowed)) if parent in FROM_FILES else allowed)
                       for parent, allowed in dimension.conditions)
    if key in FROM_FILES and isinstance(dimension, Choice):
        dimension = replace(dimension, values=tuple(absolute(str(value)) for value in dimension.values))
    return replace(dimension, conditions=conditions)


def _source(build: Callable | str) -> str:
    """Return "FILE.py:NAME" of a function, for the process of a trial to import."""
    if callable(build):
        name = getattr(build, "__qualname__", repr(build))
        try:
            file = inspect.getsourcefile(build)
        except TypeError:  # a callable object
            file = None
        if not file or not Path(file).is_file() or not name.isidentifier():
            raise UserError(f"Each trial is a process that imports build(hp) from a file. {name} is not at the top of "
                            "one: move it there.")
        return f"{Path(file).resolve()}:{name}"
    if not user_code.is_reference(str(build)):
        raise UserError(f"build is a function, or FILE.py:NAME. Received: {build!r}.")
    user_code.check(str(build))
    return absolute(str(build))


def _checksum(build: str) -> str:
    return user_code.digest(user_code.split(build)[0])


def _checksums(search: Search) -> dict[str, str]:
    """Return {file: checksum} of the ranking, the user's files that trials run, and what these import next to them."""
    searched = [str(value) for key in FROM_FILES for part in search.space.get(key, ())
                for value in getattr(part, "values", ())]
    named = [search.build or "", *user_code.references(search.base), *searched, *search.costs, *search.limits]
    files = sorted(_with_imports({user_code.split(name)[0] for name in named if user_code.is_reference(name)}))
    files += [Path(search.ranking)] if search.ranking else []
    return {str(file): user_code.digest(file) for file in files if file.is_file()}


def _with_imports(files: set[Path]) -> set[Path]:
    """Return files with those next to them that they import, and that these import, but for kerasdl's."""
    found, waiting = set(files), [file for file in files if file.is_file()]
    while waiting:
        file = waiting.pop()
        try:
            names = {name.partition(".")[0] for name in user_code.imported(file)} - {"kerasdl"}
        except (SyntaxError, ValueError):  # whoever imports the file says so
            continue
        own = {each for name in names if user_code.is_near(file, name)
               for each in (file.with_name(f"{name}.py"), *file.with_name(name).rglob("*.py")) if each.is_file()}
        waiting += own - found
        found |= own
    return found


def _text(part: Any) -> str:
    if part is None:
        return "not in it"
    return "; ".join(map(str, part)) if isinstance(part, tuple) else repr(part)
