"""The tables of README and docs, made from docs/results/*.json and the recipes: no number is typed by hand.

    python docs/make_results.py             write them
    python docs/make_results.py --check     write nothing; exit code 1 if a file on disk differs

A file docs/results/<recipe>-<seed>.json is the result.json of that run, unchanged; kerasdl/results.py reads them, for
`kerasdl results` and `kerasdl reproduce` too. The files bench*.json there are from benchmarks/, and benchmarks/page.py
reads them; plan.json is from benchmarks/plans.py.
"""

import json
import re
import statistics
import sys
import tomllib
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel

from benchmarks import (
    audit,
    auto,
    compress,
    ensembles,
    explain,
    exports,
    frontier,
    nas_cifar10,
    nas_replay,
    orders,
    page,
    photos_page,
    private,
    probes,
    reproduced,
    robust,
    searches,
    sequences,
    serving,
    smaller,
    texts,
    timeline,
    transfer,
    tried,
    variants,
)
from benchmarks import zoo as zoo_page
from benchmarks.plans import ROWS as PLANS
from kerasdl import objectives
from kerasdl.data.table import TableArgs
from kerasdl.installation import versions
from kerasdl.plan import report as plans
from kerasdl.published.results import (
    DATA,
    NOT_RUN,
    augmented,
    differing,
    machine,
    machines,
    mean_sd,
    metric,
    minutes,
    ordered,
    place,
    read,
    runs,
    score,
    table_row,
    template,
    told,
)
from kerasdl.published.results import HEAD as SHORT
from kerasdl.published.results import orders as orders_of
from kerasdl.recipe import OPTIMIZERS, Private, Recipe, shipped, validate
from kerasdl.settings import describe

ROOT = Path(__file__).parents[1]
BUSY = "The runs shared the machine with other work, so that their minutes are too many."
NOTES = {  # what a reader of a data set's numbers should know
    "digits": "1,797 handwritten digits of 8x8 pixels, embedded in the package. The test split has 360 images, so one\n"
              "image is 0.28 points.",
    "mnist": "The standard test split of 10,000 images. Validation is the last 5,000 images of the training part.",
    "cifar10": "These images went through JPEG once and differ slightly from the originals, so compare the results\n"
               "with published ones with care. Validation is the last 5,000 images of the training part, or the last\n"
               "1,000 in recipes that say so (`splits`). The runs of AlexNet, ConvNeXt, ResNet-8 and ResNet-20\n"
               "shared the machine with other work, and the first two were stopped at times, so that their seconds\n"
               "are too many.",
    "text:rt_polarity": "10,662 sentences of Pang & Lee 2005, of which a fixed tenth is the test split. TF-IDF with\n"
                        "logistic regression has no recipe: `controls` in each result has its accuracy. The\n"
                         "runs of `mlm_rt` are of the division that data without labels had until November 2026, with\n"
                         "another test split.",
    "series:mnist1d.npz": "4,000 series of 40 numbers, which `benchmarks/sequences_data.py` makes, and 1,000 for the\n"
                          "test.",
    **dict.fromkeys((f"series:{name}_TRAIN.ts" for name in ("GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf")),
                    BUSY),
    "chars:tinyshakespeare/input.txt": BUSY,
    "audio:spoken_digit": "Six speakers. The standard test has recordings 0 to 4 of every speaker and digit. The\n"
                          "recipes `..._speaker` are tested on a speaker whom training has never heard.",
    "imagenet2012": "Not run: these recipes need a TPU; [TPU](tpu.md) says what they need there. Validation is the\n"
                    "last hundredth of the training part, and the test split is the standard validation part of\n"
                    "50,000 images.",
}
RESULTS = """\
<!-- Made by docs/make_results.py. Do not edit. -->
# Results

Every row is a shipped recipe, run unchanged: mean and sample standard deviation of the test accuracy over its seeds.
`kerasdl results` prints the same, and `kerasdl reproduce NAME` [tests](reproduce.md) whether a result is reproduced.
"""
LEGEND = """\
- **test accuracy**: the test split is read once, at the end. The epoch is chosen on validation data, or is the last one
  if the recipe has `keep=last`.
- **with flips**: the mean of the answers for an image and its mirror image; **with flips and shifts**: of six views,
  also moved by one pixel. Only for recipes with `tta`.
- **seconds**: the whole training, with compilation and validation. **examples/s**: training steps alone. For runs on
  different machines both are ranges.
- **GEMM**: the speed of a float32 matrix product on the same cores right after the run, because processors of one name
  differ.
- **†**: runs of kerasdl 0.1, whose seeds [shared their batches](lab/orders.md), so that a deviation is not one of
  independent draws. Not run again yet.
- **published**: by the network and training of its authors; sources are below each table.

On the same machine and versions, a CPU gives the same numbers again.
"""
HEAD = ("recipe", "model", "test accuracy, %", "runs (seeds)", "parameters", "seconds", "examples/s", "GEMM, GFLOP/s",
        "published, %")
IMAGES = """\
Scores of generated images, seen through a classifier that this package trained. They are not comparable with
published FID, which uses an Inception network. [GANs](gan.md#what-the-numbers-mean) explains the scores.
"""
IMAGES_LEGEND = """\
- **samples, classifier**: how often and how many images were generated; scores are means of these draws. A score
  carries the name of the classifier's recipe.
- **Fréchet distance**, **KID**: distance to the test images; smaller is better. **real to real**: the distance of
  training images from test images. **untrained**: that of the same generator before its first step.
- **density**: about 1 for real images. **coverage**: the share of test images that have a generated neighbour.
- Conditional generators only: **sample accuracy**, the share of samples that the classifier recognises as their class;
  **learned from samples**, the test accuracy of a classifier trained on samples only.
"""
IMAGE_SCORES = ("Fréchet distance", "real to real", "untrained", "KID × 1000", "density", "coverage",
                "sample accuracy, %", "learned from samples, %")
IMAGES_HEAD = ("recipe", "network", *IMAGE_SCORES, "samples, classifier", "runs (seeds)", "minutes")
NUMBERS = (*IMAGE_SCORES, "test accuracy, %", "parameters", "seconds", "minutes", "images/s", "examples/s",
           "GEMM, GFLOP/s", "published, %")  # right


def pages(root: Path = ROOT) -> dict[Path, str]:
    """What each file with made parts should hold."""
    recipes = [recipe for recipe, _ in shipped()]
    folder = root / "docs" / "results"
    found = read(recipes, folder)
    return {
        root / "docs" / "results.md": results_page(recipes, found),
        root / "README.md": filled(root / "README.md", results=short_table(recipes, found), colab=badges(root)),
        root / "docs" / "recipes.md": filled(root / "docs" / "recipes.md", fields=field_table(),
                                             settings=settings_table()),
        root / "docs" / "data.md": filled(root / "docs" / "data.md", table=table(
            ("argument", "takes", "default", "meaning"), field_rows(TableArgs))),
        root / "docs" / "benchmarks.md": filled(root / "docs" / "benchmarks.md",
                                                bench=page.body(root / "docs" / "results"),
                                                sequences=sequences.body(page.load(folder, sequences.NAME))),
        root / "docs" / "tpu.md": filled(root / "docs" / "tpu.md",
                                         plans=plans_table(recipes, root / "docs" / "results")),
        root / "docs" / "lab" / "tpu.md": filled(root / "docs" / "lab" / "tpu.md", broken=broken_table(),
                                                 bounds=bounds_table(root / "docs" / "results")),
        root / "docs" / "zoo.md": filled(
            root / "docs" / "zoo.md", sizes=zoo_page.body(page.load(folder, zoo_page.NAME), folder),
            arguments=zoo_page.arguments_body()),
        root / "docs" / "lab" / "tried.md": filled(
            root / "docs" / "lab" / "tried.md", improvement=tried.improvement_body(page.load(folder, tried.NAME)),
            lazy=tried.lazy_body(page.load(folder, tried.NAME))),
        root / "docs" / "lab" / "orders.md": filled(
            root / "docs" / "lab" / "orders.md", shared=orders.body(page.load(root / "docs" / "results", orders.NAME)),
            again=again_table(recipes, found, folder, "orders_of_0_1", "orders")),
        root / "docs" / "reproduce.md": filled(
            root / "docs" / "reproduce.md",
            reproduced=reproduced.body(page.load(root / "docs" / "results", reproduced.NAME))),
        root / "docs" / "lab" / "transfer.md": filled(
            root / "docs" / "lab" / "transfer.md",
            transfer=transfer.body(page.load(root / "docs" / "results", "transfer"))),
        root / "docs" / "lab" / "export.md": filled(
            root / "docs" / "lab" / "export.md",
            export=exports.body(page.load(root / "docs" / "results", exports.NAME))),
        root / "docs" / "compress.md": filled(
            root / "docs" / "compress.md",
            compress=compress.body(page.load(root / "docs" / "results", compress.NAME)),
            smaller=smaller.body(page.load(root / "docs" / "results", smaller.NAME))),
        root / "docs" / "lab" / "serve.md": filled(
            root / "docs" / "lab" / "serve.md",
            serve=serving.body(page.load(root / "docs" / "results", serving.NAME))),
        root / "docs" / "nas.md": filled(
            root / "docs" / "nas.md", nas=nas_replay.body(page.load(root / "docs" / "results", "nas_replay") or None),
            cifar10=nas_cifar10.body(page.load(root / "docs" / "results", "nas_cifar10"), root / "docs" / "results")),
        root / "docs" / "lab" / "texts.md": filled(
            root / "docs" / "lab" / "texts.md", texts=texts.body(page.load(root / "docs" / "results", "texts")),
            sums=again_table(recipes, found, folder, "places_of_tokens", "gradients")),
        root / "docs" / "photos.md": filled(
            root / "docs" / "photos.md", folders=photos_page.folders(photos_page.load(folder)),
            frozen=photos_page.frozen(photos_page.load(folder)), tuned=photos_page.tuned(photos_page.load(folder))),
        root / "docs" / "auto.md": filled(
            root / "docs" / "auto.md", auto=auto.body(page.load(root / "docs" / "results", auto.NAME))),
        root / "docs" / "probe.md": filled(
            root / "docs" / "probe.md", probes=probes.body(page.load(root / "docs" / "results", probes.NAME))),
        root / "docs" / "robust.md": filled(
            root / "docs" / "robust.md", robust=robust.body(page.load(root / "docs" / "results", robust.NAME))),
        root / "docs" / "private.md": filled(
            root / "docs" / "private.md", private=private.body(page.load(root / "docs" / "results", private.NAME))),
        root / "docs" / "audit.md": filled(
            root / "docs" / "audit.md", audit=audit.body(page.load(root / "docs" / "results", audit.NAME))),
        root / "docs" / "explain.md": filled(
            root / "docs" / "explain.md", explain=explain.body(page.load(root / "docs" / "results", explain.NAME))),
        root / "docs" / "ensembles.md": filled(
            root / "docs" / "ensembles.md",
            ensembles=ensembles.body(page.load(root / "docs" / "results", ensembles.NAME))),
        root / "docs" / "lab" / "cifar10.md": filled(
            root / "docs" / "lab" / "cifar10.md",
            searches=searches.body(page.load(root / "docs" / "results", searches.NAME)),
            variants=variants.body(page.load(root / "docs" / "results", variants.NAME), recipes)),
        root / "docs" / "tuning.md": filled(root / "docs" / "tuning.md",
                                            oracles=page.tuning(root / "docs" / "results")),
    }


def badges(root: Path) -> str:
    """The badges that open Colab: at the notebook in the repository, or, as long as it has no address, to upload it."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    home = project.get("urls", {}).get("Repository", "").removeprefix("https://github.com/").strip("/")
    parts = []
    for kind in ("gpu", "tpu"):
        file = f"docs/notebooks/colab_{kind}.ipynb"
        address = f"github/{home}/blob/main/{file}" if home else "#upload"
        parts.append(f"[![Open Colab for a {kind.upper()}](docs/images/colab_{kind}.svg)]"
                     f"(https://colab.research.google.com/{address}) " + f"[{Path(file).name}]({file})" * (not home))
    return "\n".join(part.strip() for part in parts) + "\n" + (
        "" if home else "\nThe badges open Colab's upload dialog: choose the notebook there, and the wheel when its "
                        "first cell asks.\n")


def told_by_accuracy(recipe: Recipe) -> bool:
    """Whether the recipe has data of its own and its number is a test accuracy."""
    return not template(recipe) and recipe.objective == "classify"


def results_page(recipes: list[Recipe], found: dict[str, list[dict]]) -> str:
    """docs/results.md."""
    own = [recipe for recipe in ordered(recipes) if told_by_accuracy(recipe)]
    sections = [section(data, list(rows), found) for data, rows in groupby(own, key=lambda recipe: recipe.data)]
    if others := [recipe for recipe in ordered(recipes)
                  if recipe.objective not in ("classify", "adversarial")]:
        rows = [table_row(recipe, found.get(recipe.name, [])) for recipe in others]
        sections.append(f"## Other objectives\n\n{table(SHORT, rows)}\n{sources(others)}"
                        f"{commands(others)}")
    if images := [recipe for recipe in recipes if recipe.objective == "adversarial"]:
        sections.append(images_section(images, found))
    if points := frontier.panels(recipes, found):
        sections.insert(0, f"![Test accuracy against minutes of training]({frontier.PICTURE})\n\n"
                           f"{folded('How to read the chart', frontier.told(points))}")
    waiting = ", ".join(f"`{recipe.name}`" for recipe in recipes if template(recipe))
    sections.append(f"## Your own data\n\n{waiting} have no result: they are for [your own data](data.md).\n")
    if found:
        sections.append("## Machines\n\n" + measured_on(found))
    return "\n".join([RESULTS, folded("How to read the tables", LEGEND), *sections])


def section(data: str, recipes: list[Recipe], found: dict[str, list[dict]]) -> str:
    title, note = DATA.get(data, data), NOTES.get(data, "")
    rows = [long_row(recipe, found.get(recipe.name, [])) for recipe in recipes]
    return f"## {title}\n\n{note}\n\n{table(HEAD, rows)}\n{sources(recipes)}{commands(recipes)}"


def commands(recipes: list[Recipe]) -> str:
    """The commands of a table."""
    lines = "".join(f"kerasdl train {recipe.name} seed=0\n" for recipe in recipes)
    return folded("Commands (seed 0)", f"```bash\n{lines}```\n")


def long_row(recipe: Recipe, results: list[dict]) -> tuple[str, ...]:
    size = recipe.model_args.get("size", "")
    model = f"[{f'{recipe.model} {size}'.strip()}](zoo.md#{recipe.model})"
    published = recipe.claim and recipe.claim.published
    claim = f"{100 * published:.4g}" if published else "none"
    measured = (NOT_RUN, "", "", "", "", "")
    if results:
        measured = (score(recipe, results) + augmented(results), runs(results), f"{results[0]['parameters']:,}",
                    told(results, "seconds", seconds),
                    told(results, "examples_per_second", lambda speed: f"{significant(speed):,}"),
                    gemm(results))
    return recipe.name, model, *measured, claim


def gemm(results: list[dict]) -> str:
    """The mean speed of matrix products on the machines of the runs; "" for runs from before it was measured."""
    speeds = [result["environment"].get("gemm_gflops") for result in results]
    return f"{significant(statistics.mean(speeds)):,}" if all(speeds) else ""


def images_section(recipes: list[Recipe], found: dict[str, list[dict]]) -> str:
    """The generators, in the order of their data, beside what real images and an untrained generator score."""
    ordered = sorted(recipes, key=lambda recipe: (place(recipe.data), recipe.name))
    rows = [images_row(recipe, found.get(recipe.name, [])) for recipe in ordered]
    return (f"## Generated images\n\n{IMAGES}\n{table(IMAGES_HEAD, rows)}\n{folded('How to read it', IMAGES_LEGEND)}\n"
            f"{commands(ordered)}")


def images_row(recipe: Recipe, results: list[dict]) -> tuple[str, ...]:
    net = f"{recipe.model_args.get('net', 'dcgan')} {recipe.model_args.get('size', 'S')}"
    if clusters := recipe.model_args.get("clusters"):
        net += f", {clusters} clusters"
    if not results:
        return recipe.name, net, NOT_RUN, *[""] * (len(IMAGES_HEAD) - 3)
    samples = results[0]["samples"]
    referee = samples["referee"]
    draws = "-".join(str(count) for count in sorted({result["samples"].get("draws", 1) for result in results}))
    metric = f"frechet_{referee}"

    def of(*keys, scale=1.0, digits=2):
        """The mean over the runs of one number of result.json; "" where there is none."""
        try:
            return mean_sd([scale * reach(result, keys) for result in results], digits)
        except KeyError:
            return ""

    scores = (of("test", metric, digits=3), of("references", "train", metric, digits=3),
              of("references", "untrained", metric),
              of("test", f"kid_{referee}", scale=1000), of("test", "density"), of("test", "coverage"),
              of("test", "accuracy", scale=100), of("taught", "accuracy", scale=100))
    return (recipe.name, net, *scores, f"{draws} × {samples['test']:,}, {referee}", runs(results),
            told(results, "seconds", minutes))


def reach(result: dict, keys: tuple[str, ...]) -> float:
    for key in keys:
        result = result[key]
    return result


def sources(recipes: list[Recipe]) -> str:
    """Where the published numbers of a table are from."""
    lines = [f"- `{recipe.name}`: {recipe.claim.source}.\n" for recipe in recipes
             if recipe.claim and recipe.claim.published]
    return folded("Sources of the published numbers", "".join(lines)) + "\n" if lines else ""


def short_table(recipes: list[Recipe], found: dict[str, list[dict]]) -> str:
    """README's table: what has been run, and the names of what has not."""
    own = [recipe for recipe in ordered(recipes) if told_by_accuracy(recipe)]
    measured = {recipe.name: found[recipe.name] for recipe in own if recipe.name in found}
    rows = []
    for recipe in own:
        if recipe.name in measured:
            name, data, _, *numbers = table_row(recipe, measured[recipe.name])
            rows.append((f"`{name}`", data, *numbers))
    waiting = ", ".join(f"`{recipe.name}`" for recipe in own if recipe.name not in measured)
    head = ("recipe", "data", "test accuracy, %", "runs (seeds)", "minutes", "parameters")
    parts = [table(head, rows)] if rows else []
    if any(orders_of(runs[0]) == 1 for runs in measured.values()):
        parts.append("† Runs of kerasdl 0.1, whose seeds [shared their batches](docs/lab/orders.md). Not run again "
                     "yet.\n")
    parts += [f"Not run: {waiting}.\n"] if waiting else []
    parts += [folded("Measured on", measured_on(measured))] if rows else []
    return "\n".join(parts)


def measured_on(found: dict[str, list[dict]]) -> str:
    """A list of the machines and what ran on each."""
    return "".join(f"- {line}: {', '.join(f'`{name}`' for name in names)}\n" for line, names in machines(found).items())


def folded(title: str, body: str) -> str:
    """A block that a reader opens, on the site and on GitHub."""
    return f'<details markdown="1">\n<summary>{title}</summary>\n\n{body}\n</details>\n'


def plans_table(recipes: list[Recipe], folder: Path) -> str:
    """What was compiled for TPUs that were not there.

    Raises:
        ValueError: for a plan of a recipe that has changed since.
    """
    path = folder / "plan.json"
    made = json.loads(path.read_text()) if path.exists() else []
    done = {(row["recipe"], row["on"]) for row in made}
    waiting = ", ".join(f"`{name}` on {on}" for name, on in PLANS if (name, on) not in done)
    missing = f"Not compiled yet: {waiting}; `make plans` does.\n" if waiting else ""
    if not made:
        return missing
    now = {recipe.name: recipe.diff() for recipe in recipes}
    rows = []
    for row in made:
        if changed := differing(validate(row["settings"]).diff(), now[row["recipe"]]):
            raise ValueError(f"{path.name}: {row['recipe']} has changed since that plan: {', '.join(changed)}")
        facts = dict(plans.facts(row))
        rows.append((f"`{row['recipe']}`", row["on"], {"tensorflow": "TensorFlow", "jax": "JAX"}[row["backend"]],
                     facts["batch"], facts["memory of a chip"], facts.get("largest batch a chip", "not searched"),
                     facts["operations a chip"].removesuffix(" a step"), facts["a step takes"].removesuffix(" ms"),
                     facts["images a second"], facts.get("all-reduce", "none").removesuffix(" a step, among chips")
                     if row["chips"] > 1 else "none"))
    head = ("recipe", "slice", "step of", "batch", "memory of a chip", "largest batch a chip", "operations of a chip",
            "step, ms", "images/s", "all-reduces of a step")
    versions = sorted({", ".join(f"{name} {version}" for name, version in row["versions"].items()) for row in made})
    return f"{table(head, rows)}\nCompiled, not run, with {'; '.join(versions)}.\n" + f"\n{missing}" * bool(missing)


def bounds_table(folder: Path) -> str:
    """How far the bounds are off where steps can be measured."""
    path = folder / "plan_cpu.json"
    if not path.exists():
        return "Not measured yet; `python -m benchmarks.plans --cpu` does.\n"
    made = json.loads(path.read_text())
    names = list(made[0]["bounds"])
    rows = [(f"`{row['recipe']}`", f"{row['batch']:,}", f"{1000 * row['measured_seconds']:.3g}",
             *(f"{row['measured_seconds'] / row['bounds'][name]:.2f}" for name in names)) for row in made]
    head = ("recipe", "batch", "measured step, ms", *(f"measured / {name}" for name in names))
    return f"{table(head, rows)}\nCompiled, and run on {machine(made[0]['environment'])}.\n"


def seconds(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def significant(value: float) -> int:
    """Rounded to three digits: a speed is not known better."""
    return int(float(f"{value:.3g}"))


def field_table() -> str:
    """The fields of a recipe, from the class itself."""
    return table(("field", "takes", "default", "meaning"), field_rows(Recipe))


def settings_table() -> str:
    """The settings of each optimizer and objective, from their classes."""
    owners = {f"`optimizer={name}`": settings for name, settings in OPTIMIZERS.items()} | {"`private`": Private}
    owners |= {f"`objective={name}`": objectives.get(name).Settings for name in objectives.names()}
    rows = [(owner, *row) for owner, settings in owners.items() for row in field_rows(settings)]
    return table(("of", "setting", "takes", "default", "meaning"), rows)


def field_rows(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """Name, type, default and description of each field of a pydantic class, with what one types as code."""
    return [(f"`{name}`", re.sub(r'("[^"]*")', r"`\1`", takes), f"`{default}`" * bool(default), meaning)
            for name, takes, default, meaning in describe(model)]


def again_table(recipes: list[Recipe], found: dict[str, list[dict]], folder: Path, kept: str, what: str) -> str:
    """Of each recipe that was made again, its number before and now.

    Args:
        recipes, found: those of the package, and their results.
        folder: of the results.
        kept: the file there with the numbers before.
        what: was changed.
    """
    before, rows = page.load(folder, kept) or {}, []
    for recipe in ordered(recipes):
        runs = found.get(recipe.name, [])
        if recipe.name not in before or not runs or orders_of(runs[0]) == 1:
            continue
        chosen = metric(recipe)
        if [run["train"]["seconds"] for run in runs] == before[recipe.name]["seconds"]:
            continue  # these are the same runs
        old = [chosen.scale * value for value in before[recipe.name]["scores"].values()]
        new = [chosen.scale * chosen.of(run) for run in runs]
        spread = f"{statistics.stdev(new) / statistics.stdev(old):.2f}" if min(len(old), len(new)) > 1 \
            and statistics.stdev(old) else ""
        rows.append((f"`{recipe.name}`", chosen.titled(runs[0]), f"{mean_sd(old, chosen.digits)} ({len(old)})",
                     f"{mean_sd(new, chosen.digits)} ({len(new)})",
                     f"{statistics.mean(new) - statistics.mean(old):+.{chosen.digits}f}", spread))
    if not rows:
        return "None is made again yet.\n"
    return table(("recipe", "what is measured", f"old {what} (runs)", f"new {what} (runs)", "difference of means",
                  "ratio of deviations"), rows)


def broken_table() -> str:
    """The versions that are known not to work together, as kerasdl doctor knows them."""
    def pair(packages):
        return " with ".join(f"no {name}" if specifier is None else f"{name} {specifier}".rstrip()
                             for name, specifier in packages.items())

    return table(("versions", "what happens", "seen", "what to do"),
                 ((pair(row.packages), row.why, row.seen, f"`{row.do}`" if row.do.startswith("pip") else row.do)
                  for row in versions.TABLE))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---:" if name in NUMBERS else "---" for name in head], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def filled(path: Path, **bodies: str) -> str:
    """The file's text with what stands between the lines of each name replaced by its body.

    Raises:
        ValueError: a pair of lines is not there, or not once.
    """
    text = path.read_text()
    for name, body in bodies.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{path.name} needs the lines {begin.strip()} and {end}, once each")
        text = re.sub(f"(?s){begin}.*{end}", lambda _, made=begin + body + end: made, text)
    return text


def main() -> int:
    made = pages()
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if "--check" not in sys.argv[1:]:
            path.write_text(made[path])
        print(("differs: " if "--check" in sys.argv[1:] else "wrote ") + str(path.relative_to(ROOT)))
    if "--check" not in sys.argv[1:] and (ROOT / "docs" / "results" / "bench.json").exists():
        page.draw(ROOT / "docs" / "results", ROOT / "docs" / page.PICTURE)
        if replayed := page.load(ROOT / "docs" / "results", "nas_replay"):
            nas_replay.draw(replayed, ROOT / "docs" / nas_replay.PICTURE)
        if compressed := page.load(ROOT / "docs" / "results", compress.NAME):
            compress.draw(compressed, ROOT / "docs" / compress.PICTURE)
        timeline.draw(page.load(ROOT / "docs" / "results", "bench_startup"), ROOT / "docs" / timeline.PICTURE)
    if "--check" not in sys.argv[1:]:
        recipes = [recipe for recipe, _ in shipped()]
        frontier.draw(frontier.panels(recipes, read(recipes)), ROOT / "docs" / frontier.PICTURE)
    return int(bool(stale) and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
