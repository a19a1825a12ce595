"""`kerasdl fields`: what can be set in a recipe."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import kerasdl
from kerasdl.cli.terminal import AsJson, print_json, print_line, print_table, quiet
from kerasdl.errors import UserError, nearest


def show_fields(word: Annotated[str | None, typer.Argument(
                    metavar="[NAME]", help="a field, an optimizer, an objective or a model, for its settings; or "
                                           "augment, for the transforms")] = None,
                as_json: AsJson = False) -> None:
    """List the fields of a recipe: what each takes, its default and its meaning."""
    rows, note = found(word)
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    table = Table("field", "takes", "default", "meaning", box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    if rows:
        print_table(table)
    print_line(f"\n{note}" if rows else note)


def prefixes() -> list[str]:
    """Return the sources of data that read a path, without importing one."""
    folder = Path(kerasdl.__file__).parent / "data" / "sources"
    return [file.stem for file in folder.glob("*.py") if file.stem not in ("__init__", "arrays", "digits", "tfds")]


def found(word: str | None) -> tuple[list, str]:
    """Return the descriptions of what a word names, and how to set them."""
    from kerasdl import registry, words, zoo
    from kerasdl.recipe import OPTIMIZERS, Private, Recipe
    from kerasdl.settings import describe, describe_function

    fields = describe(Recipe)
    if word is None:
        return fields, "Set one: kerasdl train RECIPE KEY=VALUE    " \
                       "Settings of an optimizer, an objective or a model: kerasdl fields sgd"
    if word == "augment":
        with quiet():
            from kerasdl.data.augment import AUGMENTS
        rows = [transform(name, function) for name, function in AUGMENTS.items()]
        return rows, "Set some: augment=flip    or with arguments: augment=\"('flip', ('cutout', 8))\""
    if word in OPTIMIZERS:
        return describe(OPTIMIZERS[word]), f"Set one: optimizer={word} optimizer_args.KEY=VALUE"
    if word == "private":
        return describe(Private), "Set one: private.KEY=VALUE"
    if word in registry.names() or ".py:" in word and word.rpartition(":")[2][:1].isupper():
        with quiet():
            from kerasdl import objectives
        return describe(objectives.get(word).Settings), f"Set one: objective={word} objective_args.KEY=VALUE"
    if word in zoo.NAMES:
        with quiet():
            function = zoo.module(word).build
            sizes = getattr(zoo.module(word), "SIZES", {})
        return describe_function(function, zoo.options(function), sizes), f"Set one: model={word} model_args.KEY=VALUE"
    if word in (*prefixes(), "tfds"):
        with quiet():
            rows, name = arguments(word), "a name of tensorflow-datasets" if word == "tfds" else f"{word}:PATH"
        return rows, f"Set one: data={name} data_args.KEY=VALUE"
    if rows := [row for row in fields if row.name == word]:
        kinds = {"optimizer": OPTIMIZERS, "objective": registry.names(), "model": zoo.MODELS}
        more = f"    Settings: kerasdl fields {' | '.join(kinds[word])}" if word in kinds else ""
        return rows, f"Set it: kerasdl train RECIPE {word}=VALUE{more}"
    known = [*Recipe.model_fields, *OPTIMIZERS, *registry.names(), *zoo.NAMES]
    hint = words.hint(word, known) if word in words.FIELDS or word in words.SENTENCES else nearest(word, known)
    raise UserError(f"There is no field {word!r}. {hint}")


def arguments(source: str) -> list:
    """Return descriptions of what `data_args` takes with a source of data."""
    from kerasdl.data import sources
    from kerasdl.settings import describe, describe_function

    module = import_module(f"{sources.__name__}.{source}")
    if hasattr(module, "Args"):
        return describe(module.Args)
    options = {key: parameter for key, parameter in inspect.signature(module.read).parameters.items()
               if parameter.kind is parameter.KEYWORD_ONLY and key not in sources.OWN}
    return describe_function(module.read, options)


def transform(name: str, function):
    """Return an augmentation with its arguments as defaults, and the first line of its docstring."""
    from kerasdl.settings import Description

    own = [parameter for parameter in list(inspect.signature(function).parameters.values())[3:]
           if parameter.kind is not parameter.KEYWORD_ONLY]
    return Description(name, ", ".join(parameter.name for parameter in own),
                       ", ".join(repr(parameter.default) for parameter in own),
                       (inspect.getdoc(function) or "").partition("\n")[0])
