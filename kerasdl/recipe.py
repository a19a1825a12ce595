"""What to run. A Recipe is data: printable, comparable, overridable, JSON in and out. It imports nothing heavy."""

import ast
import math
import os
import runpy
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticSerializationError

from kerasdl import registry, words
from kerasdl.errors import UserError, nearest
from kerasdl.settings import Settings, complaint, parse
from kerasdl.words import parse_value

RECIPES = Path(__file__).parent / "recipes"
OWNED = {"data": "splits", "model": "model_args", "objective": "objective_args", "optimizer": "optimizer_args"}
TYPED = ("optimizer_args", "objective_args", "private")  # have classes of settings, which check the values
NAMES = ("init", "model_args.size")  # text even if it looks like a number: a folder 1, a ResNet of size 20
MOVED = {"momentum": "optimizer_args", "betas": "optimizer_args", "kernel_rms": "optimizer_args",
         "ns_steps": "optimizer_args", "label_smoothing": "objective_args"}  # fields of version 0.1
LOADED: ContextVar[set[str]] = ContextVar("LOADED")  # names of the recipes that the file being read begins with
OLD_DEFAULTS = {"momentum": 0.9, "betas": None, "kernel_rms": 0.0, "ns_steps": 5, "label_smoothing": 0.0}


class Claim(BaseModel):
    """The number a recipe stands for. What we measured never stands here: that is in result.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    metric: str = "test/accuracy"
    published: float | None = None
    source: str = ""


EXAMPLES = {  # what follows a complaint about the value of a field
    "augment": " Write augment=flip, or augment=\"('flip', ('cutout', 8))\" for several of which some have arguments.",
    "freeze": " Write freeze=features, or freeze=\"('stem_*', 'stage1_*')\".",
    "optimizer": " Adam is adamw with weight_decay=0, which is the default.",
}
Decay = Annotated[float, Field(ge=0, lt=1)]


class AdamW(Settings):
    """Settings of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999), strict=False, description="decay rates of the mean gradient and of the mean squared gradient")


class SGD(Settings):
    """Settings of SGD with Nesterov momentum."""

    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum")


class Lion(Settings):
    """Lion (Chen et al. 2023, arXiv:2302.06675) has no settings of its own."""


class Muon(Settings):
    """Settings of Muon (Jordan et al. 2024)."""

    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum")
    kernel_rms: float = Field(
        0.0, ge=0, description="scale each kernel to this root mean square before each step; 0: do not")
    ns_steps: int = Field(5, gt=0, description="Newton-Schulz iterations; fewer make a rougher, quicker step")


LOOSE = 100  # an epsilon above this promises nothing, and is usually a number in another unit


class Private(Settings):
    """Settings of differentially private training, DP-SGD (Abadi et al. 2016, arXiv:1607.00133)."""

    clip: float = Field(gt=0, description="the gradient of each example is clipped to this L2 norm")
    delta: float = Field(gt=0, lt=1, description="chance that the promise of epsilon fails, less than 1 / examples")
    epsilon: float | None = Field(
        None, gt=0, le=LOOSE, description="what the whole training may spend: the noise follows from it. 1 is strong, "
                                          "10 is weak")
    noise: float | None = Field(None, gt=0, description="deviation of the noise, in units of clip, in place of "
                                                        "epsilon, which then follows from it")

    @model_validator(mode="after")
    def _one(self) -> "Private":
        if (self.epsilon is None) == (self.noise is None):
            raise UserError("private takes one of epsilon and noise: the other follows. Received: "
                            f"{'neither' if self.noise is None else 'both'}. Write private.epsilon=3.")
        return self


SEEDS = 2**31  # that there are, from 0 on
OPTIMIZERS: dict[str, type[Settings]] = {"adamw": AdamW, "sgd": SGD, "lion": Lion, "muon": Muon}


class Recipe(BaseModel):
    """Model x data x objective, and how to train: everything that decides a run's numbers, and nothing else.

    A duration (`warmup`) is a share of the run ("5%"), epochs ("3 epochs") or a number of steps (1000).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=(), allow_inf_nan=False)

    name: str = Field("", description="set from the file's name")
    model: str = Field(description="a module of kerasdl.zoo, or FILE.py:FUNCTION")
    model_args: dict[str, Any] = Field({}, description="arguments of the model's build function")
    objective: str = Field(
        "classify", description="what the model learns: a file of kerasdl.objectives, or FILE.py:CLASS")
    objective_args: dict[str, Any] = Field({}, description="settings of the objective")
    data: str = Field(description="digits, a tensorflow-datasets name, csv:PATH or folder:PATH")
    data_args: dict[str, Any] = Field({}, description="arguments of kerasdl.data.load, such as label=COLUMN")
    splits: dict[Literal["train", "val", "test"], str] = Field({}, description="which part of the data is which split")
    augment: tuple[str | tuple[Any, ...], ...] = Field((), strict=False, description="batch transforms, in order")
    init: str = Field("", description="a run's folder or a .keras file: initial weights for the layers that match")
    freeze: str | Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="layers that are not trained: names or patterns with *; features: all layers below the head")
    batch: int = Field(128, gt=0, description="examples per step, over all replicas")
    epochs: int = Field(10, gt=0, description="passes over the training split")
    optimizer: Literal["adamw", "sgd", "lion", "muon"] = Field("adamw", description="optimizer")
    optimizer_args: dict[str, Any] = Field({}, description="settings of the optimizer, such as momentum")
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    schedule: Literal["constant", "cosine", "onecycle", "step"] = Field(
        "cosine", description="learning-rate schedule")
    warmup: int | str = Field("0%", description="a duration: linear warm-up of the learning rate")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay, on kernels only")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the learning rate per block below the head; 0.7: each lower block "
                                     "learns 30 % slower")
    clipnorm: float | None = Field(None, gt=0, description="clip the gradient of each weight to this L2 norm")
    global_clipnorm: float | None = Field(None, gt=0, description="clip the gradient of all weights to this L2 norm")
    clipvalue: float | None = Field(None, gt=0, description="clip each entry of the gradient to this magnitude")
    accumulate: int = Field(1, gt=0, description="gradient accumulation: split each batch into this many parts "
                                                   "and add their gradients, which saves memory")
    ema: float = Field(
        0.0, ge=0, lt=1, description="keep an exponential moving average of the weights, with this decay; 0: off")
    patience: int | None = Field(None, gt=0, description="stop after this many epochs without improvement")
    keep: Literal["best", "last"] = Field("best", description="which epoch's weights the run keeps")
    monitor: str = Field("", description="score on val that chooses the best epoch, such as macro_f1; by default the "
                                         "objective's own")
    tta: Literal["flip", "flip_shift"] | None = Field(
        None, description="test-time augmentation; result.json holds its scores and those without it")
    private: dict[str, Any] = Field({}, description="differentially private training, DP-SGD: clip, delta, and epsilon "
                                                   "or noise; {}: not private")
    prune: float = Field(
        0.0, ge=0, lt=1, description="share of the weights of kernels that become zero by the last quarter of the "
                                     "epochs, the smallest ones; 0: none")
    prune_channels: float = Field(
        0.0, ge=0, lt=1, description="share of the multiply-adds that go with whole filters of the model that init "
                                     "names, before the first step; 0: none")
    quantize: Literal["int8", "int4"] | None = Field(
        None, description="quantisation-aware training of the model that init names: bits of its weights")
    precision: Literal["float32", "mixed_bfloat16", "auto"] = Field(
        "float32", description="dtype policy of the layers; weights stay float32; auto: the faster one")
    jit: bool | Literal["auto"] | None = Field(
        None, description="compile the step with XLA; auto: if it is faster; None: Keras decides, which is no on a CPU")
    seed: int = Field(0, ge=0, lt=SEEDS, description="seed of weights, order, augmentation and dropout")
    claim: Claim | None = Field(None, description="the published number that the recipe is compared with")

    @model_validator(mode="before")
    @classmethod
    def _move(cls, fields: Any) -> Any:
        """Read the fields of version 0.1, which had those of one optimizer or objective at the top."""
        if not isinstance(fields, dict):
            return fields
        moved = {key: value for key, value in fields.items() if key not in MOVED}
        if "augment" in moved:
            moved["augment"] = _transforms(moved["augment"])
        for key, home in MOVED.items():
            if key in fields and fields[key] != OLD_DEFAULTS[key]:
                moved[home] = {**moved.get(home, {}), key: fields[key]}
        for key in ("optimizer_args", "objective_args"):  # lists, which are all that JSON has, as tuples
            if isinstance(moved.get(key), dict):
                moved[key] = {name: _frozen(value) for name, value in moved[key].items()}
        return moved

    @model_validator(mode="after")
    def _typed(self) -> "Recipe":
        if "target" in self.data_args:  # which the objective says, and would come twice
            raise UserError("data_args has no target. Name the column of the answers with data_args.label=COLUMN. "
                            "Whether they are classes or numbers follows from the objective, classify or regress.")
        parse(OPTIMIZERS[self.optimizer], self.optimizer_args, "optimizer_args", f"optimizer={self.optimizer}")
        self.private_settings  # noqa: B018  are checked
        return self

    @property
    def private_settings(self) -> Private | None:
        """The settings of private training, checked; None where it is not private."""
        return parse(Private, self.private, "private", "private training") if self.private else None

    @property
    def optimizer_settings(self) -> Any:
        """The optimizer's settings, checked and with their defaults."""
        return parse(OPTIMIZERS[self.optimizer], self.optimizer_args, "optimizer_args", f"optimizer={self.optimizer}")

    def override(self, *pairs: str, **values: Any) -> "Recipe":
        """A new recipe with some fields changed: `recipe.override("lr=3e-4", "model_args.size=S", epochs=3)`.

        Keyword values that are dictionaries are merged into the recipe's. What belongs to one word means nothing for
        another, so a new `data` starts without `splits`, a new `model` without `model_args`, and so do `objective` and
        `optimizer`, unless the same call gives some.

        Raises:
            UserError: for a key that does not exist or a value of the wrong type.
        """
        changed = {key: getattr(self, key) for key in Recipe.model_fields}
        for key, value, text in sorted(_assignments(pairs, values), key=lambda item: item[0] not in OWNED):
            if text and type(value) in (int, float) and (isinstance(_leaf(changed, key), str) or key in NAMES):
                value = text
            _assign(changed, key, value)
            if key in OWNED and value != getattr(self, key):
                changed[OWNED[key]] = {}
        return validate(changed)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Return the recipe of a JSON text, with the tuples that JSON wrote as lists."""
        found = cls.model_validate_json(text)
        return found.model_copy(update={key: {name: _frozen(part) for name, part in value.items()}
                                        for key, value in found if isinstance(value, dict)})

    @property
    def micro_batch(self) -> int:
        """Examples that are on the devices at once."""
        return max(1, self.batch // self.accumulate)

    def diff(self) -> dict[str, Any]:
        """The fields that are not at their default, in the order of the class."""
        return {key: value for key, value in self.model_dump(mode="json").items()
                if key in ("model", "data") or value != _default(key)}

    def changes(self, old: "Recipe") -> list[str]:
        """The fields that are other ones in an older recipe, as "lr 0.1 -> 0.2"; what it claims trains nothing."""
        before, now = (each.model_dump(mode="json", exclude={"claim"}) for each in (old, self))
        return [f"{key} {before[key]!r} -> {now[key]!r}" for key in before if before[key] != now[key]]

    def __str__(self) -> str:
        return "\n".join(f"{key:16}{value}" for key, value in self.diff().items())


def validate(fields: dict[str, Any]) -> Recipe:
    """A Recipe from plain fields, with pydantic's complaint told in one line."""
    try:
        made = Recipe.model_validate(fields)
        registry.check(made.objective)
        made.model_dump_json()
        if not _finite(made.model_dump()):
            raise UserError("A recipe holds finite numbers. Received one that is infinite, or no number.")
        return made
    except PydanticSerializationError as error:
        raise UserError(f"A recipe holds plain values of Python. Received: {str(error).rpartition(': ')[2]}. "
                        "Write .tolist() behind an array of NumPy, and .item() behind its number.") from None
    except ValidationError as error:
        raise UserError(recipe_complaint(error)) from None


def recipe_complaint(error: ValidationError) -> str:
    """Return pydantic's complaint about a recipe in one line, with the nearest key for one that is unknown."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:1]) or "recipe"
    own = error.title == Recipe.__name__ and len(first["loc"]) == 1  # and not a field of its claim
    if own and first["type"] == "extra_forbidden":
        return f"A recipe has no field {key!r}. {words.hint(key, Recipe.model_fields)}"
    if own and first["type"] == "missing":
        return f"A recipe needs the key {key!r}."
    return complaint(error) + EXAMPLES.get(key, "")


def _finite(value: Any) -> bool:
    """Whether every number at every depth is."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def names() -> list[str]:
    """The recipes that come with the package, in alphabetical order."""
    return sorted(path.stem for path in RECIPES.glob("*.py") if path.stem != "__init__")


def shipped() -> Iterator[tuple[Recipe, str]]:
    """Every recipe of the package with the first line of its file."""
    for name in names():
        yield load(name), headline(name)


def load(recipe: "Recipe | str | Path") -> Recipe:
    """A recipe by name, by path to a Python file that sets `recipe`, or by the folder or recipe.json of a run.

    Raises:
        UserError: if there is no such recipe, or the file does not hold one.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, (str, os.PathLike)):
        raise UserError("A recipe is a kerasdl.Recipe, the name of one, a file or the folder of a run, run.path. "
                        f"Received: {type(recipe).__name__}. A model of your own is given as model=FILE.py:FUNCTION.")
    path = Path(recipe)
    if path.suffix not in (".py", ".json"):
        if str(recipe) not in names():
            if not (path / "recipe.json").is_file():
                raise UserError(f"Unknown recipe {str(recipe)!r}. {nearest(str(recipe), names())}")
            path = path / "recipe.json"  # the folder of a run
        else:
            path = RECIPES / f"{recipe}.py"
    if not path.is_file():
        raise UserError(f"There is no recipe file {path}.")
    found = _from_json(path) if path.suffix == ".json" else _from_python(path)
    LOADED.get(set()).add(found.name)
    return found


def _from_python(path: Path) -> Recipe:
    """The recipe that a file sets, called as the file is, unless that says a name: one that comes with a recipe that it
    begins with is not its own."""
    before = LOADED.set(loaded := {""})
    try:
        found = run_file(path).get("recipe")
    except ValidationError as error:
        raise UserError(f"{path}: {recipe_complaint(error)}") from None
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's own lines raise
        raise UserError(f"{path} is not a recipe that Python can read: {type(error).__name__}: "
                        f"{' '.join(str(error).split())}.") from None
    finally:
        LOADED.reset(before)
    if not isinstance(found, Recipe):
        raise UserError(f"{path} must set `recipe = Recipe(...)`. Received: {type(found).__name__}.")
    return found.model_copy(update={"name": path.stem}) if found.name in loaded else found


def run_file(path: Path) -> dict[str, Any]:
    """What a Python file sets, which may import its neighbours, as when Python runs it."""
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        return runpy.run_path(str(path))
    finally:
        sys.path.pop(0)


def _from_json(path: Path) -> Recipe:
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path} does not hold a recipe: {recipe_complaint(error)}") from None


def headline(name: str) -> str:
    """What a recipe of the package is, in a line."""
    return _headline(RECIPES / f"{name}.py")


def _headline(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _default(key: str) -> Any:
    default = Recipe.model_fields[key].get_default()
    return list(default) if isinstance(default, tuple) else default


def _assignments(pairs: tuple[str, ...], values: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(key, value, the text it came as) of each override, dictionaries part by part; an empty one empties the field."""
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"An override is written key=value. Received: {pair!r}.")
        yield key.strip(), parse_value(text.strip()), text.strip()
    for key, value in values.items():
        parts = key in Recipe.model_fields and isinstance(_default(key), dict)
        if parts and isinstance(value, dict) and value:
            yield from ((f"{key}.{leaf}", inner, "") for leaf, inner in value.items())
        else:
            yield key, value, ""


def _frozen(value: Any) -> Any:
    """Lists as tuples, at every depth: on a command line one writes either. Keys are texts, as JSON has them."""
    if isinstance(value, dict):
        return {str(key): _frozen(part) for key, part in value.items()}
    return tuple(_frozen(part) for part in value) if isinstance(value, (list, tuple)) else value


def _transforms(value: Any) -> Any:
    """Augmentations as a tuple: one name, or several with commas and perhaps brackets, is a list of names."""
    if not isinstance(value, str):
        return _frozen(value)
    return tuple(name for part in value.strip("[]() ").split(",") if (name := part.strip(" '\"")))


def _leaf(fields: dict[str, Any], key: str) -> Any:
    head, _, leaf = key.partition(".")
    return fields[head].get(leaf) if isinstance(fields.get(head), dict) else None


def _assign(fields: dict[str, Any], key: str, value: Any) -> None:
    key = f"{MOVED[key]}.{key}" if key in MOVED else key
    head, dot, leaf = key.partition(".")
    if head not in Recipe.model_fields:
        raise UserError(f"A recipe has no field {head!r}. {words.hint(head, Recipe.model_fields)}")
    if not dot:
        fields[head] = _frozen(value)
        return
    if not isinstance(fields[head], dict):
        raise UserError(f"{head} has no parts, so {key!r} cannot be set. Write {head}=VALUE.")
    old = fields[head].get(leaf)
    numbers = (int, float, tuple, list)  # some settings are one number or several, and 0 may stand for 0.0
    fits = (head in TYPED or old is None or value is None or type(value) is type(old)
            or (type(old) in numbers and type(value) in numbers)
            or (head == "data_args" and type(old) is str and type(value) in (tuple, list)))  # one column, or several
    if not fits:
        raise UserError(f"{key} is a {type(old).__name__} ({old!r}). Received: {value!r} ({type(value).__name__}).")
    fields[head] = {**fields[head], leaf: value}
