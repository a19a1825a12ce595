"""Each model of the zoo in each size: parameters, multiply-adds, smallest image: python -m benchmarks.zoo; a minute.

Writes docs/results/bench_zoo.json, from which docs/zoo.md has its table. Nothing is trained.
"""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kerasdl import zoo
from kerasdl.files import write_json
from kerasdl.published import results
from kerasdl.published.results import NOT_RUN, metric, minutes, read, template
from kerasdl.recipe import Recipe, shipped
from kerasdl.settings import describe_function
from kerasdl.text import thousands

NAME = "bench_zoo"
FILE = Path(__file__).parents[1] / "docs" / "results" / f"{NAME}.json"
SMALL, LARGE = (32, 32, 3), (224, 224, 3)
IMAGENET = {  # sizes made for 224x224 pixels
    "alexnet": ("2012", "2014"), "vgg": ("11", "13", "16", "19"), "resnet": ("18", "50"),
    "inception": ("googlenet", "googlenet_norm", "v3"), "mobilenet": ("v2", "lite0"),
    "convnext": ("Femto", "Pico", "Nano", "T", "S", "B"), "vit": ("S", "B", "L")}
PATCHES = {"vit": {SMALL: 4, LARGE: 16}, "convnext": {SMALL: 2, LARGE: 4}}


def measure(model: str, size: str) -> dict[str, Any]:
    """Return what a model needs at the size of image that it is made for."""
    from kerasdl.zoo.cost import multiply_adds

    shape = LARGE if size in IMAGENET.get(model, ()) else SMALL
    args = arguments(model, size, shape)
    network = zoo.build(model, shape, 10, **args)
    return {"model": model, "size": size, "side": shape[0], "patch": args.get("patch"),
            "parameters": network.count_params(), "multiply_adds": multiply_adds(network),
            "smallest": smallest(model, args)}


def arguments(model: str, size: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the arguments of `build`."""
    args: dict[str, Any] = {"size": size} if size else {}
    return args | {"patch": PATCHES[model][shape]} if model in PATCHES else args


def smallest(model: str, args: dict[str, Any]) -> int:
    """Return the side in pixels of the smallest square image that the model can be built for."""
    for side in range(1, 225):
        try:
            zoo.build(model, (side, side, 3), 10, **args)
            return side
        except ValueError:
            continue
    raise ValueError(f"{model} cannot be built for up to 224 pixels")


def body(rows: list[dict[str, Any]], folder: Path) -> str:
    """Return the table of docs/zoo.md: sizes and costs, and the published accuracies of that size."""
    found = read([recipe for recipe, _ in shipped()], folder)
    recipes = [recipe for recipe, _ in shipped() if not template(recipe)]
    lines = []
    for row in rows:
        at = f"{row['side']}x{row['side']}" + (f", patch {row['patch']}" if row["patch"] else "")
        own = [recipe for recipe in recipes if recipe.model == row["model"] and recipe.objective == "classify"
               and (recipe.model_args.get("size") or default(row["model"])) == row["size"]]
        lines.append((f"`{row['model']}`", f"`{row['size']}`" if row["size"] else "", at, f"{row['parameters']:,}",
                      thousands(row["multiply_adds"]), f"{row['smallest']}x{row['smallest']}",
                      "<br>".join(published(recipe, found.get(recipe.name, [])) for recipe in own)))
    head = ("model", "size", "image", "parameters", "multiply-adds", "smallest image",
            "test accuracy; minutes of training")
    return table(head, lines, right=(3, 4))


def arguments_body() -> str:
    """Return for each model what it is and a table of the arguments of its `build`."""
    parts = []
    for model in (*zoo.MODELS, *zoo.SEQUENCES):
        module = zoo.module(model)
        headline = " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split())
        rows = [(f"`{row.name}`", row.takes.replace("|", "or"), f"`{row.default}`", row.meaning)
                for row in describe_function(module.build, zoo.options(module.build), getattr(module, "SIZES", ()))]
        own = table(("argument", "takes", "default", "meaning"), rows) if rows else "It has no arguments.\n"
        parts.append(f"### {model}\n\n{headline}\n\n{own}")
    return "\n".join(parts)


def table(head: Iterable[str], lines: Iterable[Iterable[str]], right: Iterable[int] = ()) -> str:
    """Return a table of Markdown. `right`: numbers of the columns that are aligned to the right."""
    head = list(head)
    rule = ["---:" if number in set(right) else "---" for number in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *lines))


def default(model: str) -> str:
    """Return the size that `build` has by itself; "" for a model without sizes."""
    sizes = zoo.options(zoo.module(model).build).get("size")
    return sizes.default if sizes else ""


def published(recipe: Recipe, runs: list[dict[str, Any]]) -> str:
    """Return "`vit_digits` 98.28 %, 0.4 min"."""
    if not runs:
        return f"`{recipe.name}` {NOT_RUN}"
    chosen = metric(recipe)
    mean = sum(map(chosen.of, runs)) / len(runs)
    return f"`{recipe.name}` {chosen.scale * mean:.2f} %, {results.told(runs, 'seconds', minutes)} min"


def main() -> None:
    rows = [measure(model, size) for model in zoo.MODELS for size in getattr(zoo.module(model), "SIZES", [""])]
    write_json(FILE, rows)
    print(f"{len(rows)} models in {FILE}")


if __name__ == "__main__":
    main()
