"""`kerasdl tune` and the verbs below it: run a search, write its report, take its best recipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from kerasdl.cli.terminal import (
    AsJson,
    Backend,
    CheckpointEvery,
    Overrides,
    WriteReport,
    is_override,
    named,
    print_field,
    print_json,
    print_line,
    print_table,
    print_text,
    quiet,
    verbose,
)
from kerasdl.errors import UserError
from kerasdl.logs import LOGGER

if TYPE_CHECKING:
    from kerasdl.recipe import Recipe

SearchFolder = Annotated[Path, typer.Argument(metavar="DIR", help="folder of a search")]
Ray = Annotated[str | None, typer.Option(
    metavar="ADDRESS", help="train on a cluster of Ray: its address, auto, or local")]
Limits = Annotated[list[str] | None, typer.Option(
    metavar="COST=MOST", help="networks beyond it are not trained: parameters=50k, int8_kb=96; may be given several "
                              "times")]
Workers = Annotated[int, typer.Option(help="number of trials that run at the same time", min=1)]


class SearchOrVerb(TyperGroup):
    """`kerasdl tune NAME` runs a search; `list`, `rank`, `report` and `best` are verbs below it."""

    def parse_args(self, ctx, args):
        named = args and args[0] not in self.commands and args[0] != "--help"
        return super().parse_args(ctx, ["run", *args] if named else args)


tuning = typer.Typer(cls=SearchOrVerb, no_args_is_help=True,
                     help="Search for better hyperparameters of a recipe: kerasdl tune SEARCH, or one of these. "
                          "The options of a search: kerasdl tune run --help.")


@tuning.command("run")
def run_search(search: Annotated[str | None, typer.Argument(metavar="SEARCH",
                                                            help="name of a search, or a .py file")] = None,
               overrides: Overrides = None,
               oracle: Annotated[str | None, typer.Option(
                   help="grid, random, bayesian, hyperband, evolution, or optuna:NAME")] = None,
               trials: Annotated[int | None, typer.Option(help="number of trials", min=1)] = None,
               workers: Workers = 1,
               resume: Annotated[str | None, typer.Option(metavar="DIR", callback=named,
                                                          help="resume a search, or join a running one")] = None,
               workdir: Annotated[str | None, typer.Option(callback=named, help="folder of the search")] = None,
               seed: Annotated[int | None, typer.Option(help="seed of the oracle")] = None,
               cost: Annotated[list[str] | None, typer.Option(
                   metavar="COST", help="what is to be low besides the objective, such as multiply_adds, in addition "
                                        "to the search's own; may be given several times")] = None,
               limit: Limits = None,
               timeout: Annotated[str | None, typer.Option(metavar="TIME", help="time limit of a trial")] = None,
               minutes: Annotated[float | None, typer.Option(
                   metavar="N", help="after which no trial begins; running trials finish")] = None,
               memory: Annotated[int | None,
                                 typer.Option(metavar="MB", help="memory limit of a trial", min=1)] = None,
               backend: Backend = None,
               strategy: Annotated[str, typer.Option(help="strategy of each trial, as for train")] = "auto",
               logical_cpus: Annotated[int | None, typer.Option(
                   metavar="N", help="CPU devices of each trial, as for train", min=1)] = None,
               checkpoint_every: CheckpointEvery = "1 min",
               ray: Ray = None,
               report: WriteReport = True, as_json: AsJson = False) -> None:
    """Run a search with one process per trial. The word `run` is optional. A killed search can be resumed."""
    from kerasdl.installation.backend import choose

    asked = {"oracle": oracle, "trials": trials, "seed": seed, "timeout": timeout, "costs": tuple(cost or ()) or None,
             "limits": limits(limit or ()) or None}
    found, workdir = what_to_search(search, overrides or [], workdir, resume, asked)
    choose(backend)  # the trials' processes have this one's environment
    with quiet():
        from kerasdl.text import figure, typed
        from kerasdl.tuning.best import best
        from kerasdl.tuning.engine import tune
        from kerasdl.tuning.report import report as write_report
        from kerasdl.tuning.table import describe
    study = tune(found, workdir, workers, minutes=minutes, memory=memory, strategy=strategy, logical_cpus=logical_cpus,
                 checkpoint_every=checkpoint_every, ray=ray, verbose=verbose())
    page = write_report(study) if report else None
    if as_json:
        print_json(document(study, page))
    elif page:
        print_field("report", page)
    if found.build is not None:
        return
    won = best(study)  # an error, with or without --json, if no trial ended well
    if not as_json:
        print_field("best", f"{found.objective} {figure(won.score or 0.0)}  {describe(won.values)}")
        print_field("next", f"kerasdl tune best {typed(study.folder)} > my_recipe.py")


def limits(given: Sequence[str]) -> dict[str, str]:
    """Return {cost: how much} of options such as parameters=50k."""
    pairs = [pair.partition("=") for pair in given]
    if wrong := next((name for name, _, most in pairs if not most), None):
        raise UserError(f"--limit is COST=MOST, such as parameters=50k. Received: {wrong}")
    return {name.strip(): most for name, _, most in pairs}


def changed(base: "Recipe", overrides: list[str]) -> dict[str, Any]:
    """Return what overrides change of a recipe: fields, or the entries of dictionaries that they name.

    The recipe's other entries are not for models or optimizers that a search may take in place of its own.
    """
    found: dict[str, Any] = {}
    named = [pair.partition("=")[0].strip() for pair in overrides]
    for field, value in base.override(*overrides):
        if value == getattr(base, field):
            continue
        if isinstance(value, dict) and field not in named:
            found |= {key: inner for key, inner in ((f"{field}.{leaf}", inner) for leaf, inner in value.items())
                      if any(each == key or each.startswith(f"{key}.") for each in named)}
        else:
            found[field] = value
    return found


def what_to_search(search: str | None, overrides: list[str], workdir: str | None, resume: str | None,
                   asked: Mapping[str, object]):
    """Return the search with the changes asked for, and its folder. Mistakes show before TensorFlow is imported."""
    from dataclasses import replace

    from kerasdl.tuning.search import load, names

    if search is not None and is_override(search):
        overrides, search = [search, *overrides], None
    if resume is not None:
        if not (Path(resume) / "search.json").is_file():
            raise UserError(f"{resume} is not a search: it has no search.json. Start one with: kerasdl tune SEARCH")
        if workdir is not None and Path(workdir) != Path(resume):
            raise UserError("--resume names the search's folder, and --workdir another one. Give one of the two.")
        found, workdir = load(search or Path(resume) / "search.json"), resume
    elif search is None:
        raise UserError(f"Which search? Give a .py file that sets `search`, or one of: {', '.join(names())}.")
    else:
        found = load(search)
    changes: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    for key in (pair.partition("=")[0].strip() for pair in overrides):
        if key in found.space:
            raise UserError(f"{key} is searched, and an override would fix it. Take it out, or give the search another "
                            "space.")
    if overrides:
        changes["overrides"] = {**found.overrides, **changed(found.base, overrides)}
    changes |= {"limits": {**found.limits, **changes["limits"]}} if "limits" in changes else {}
    changes |= {"costs": (*found.costs, *changes["costs"])} if "costs" in changes else {}
    if changes:
        found = replace(found, **(changes | {"recipe": None} if found.build else changes))
    folder = None if workdir is None else Path(workdir)
    if folder and (folder / "search.json").is_file():
        found.check_continues(load(folder / "search.json"), folder)
    return found, folder


@tuning.command("list")
def list_searches(as_json: AsJson = False) -> None:
    """List the searches of the package."""
    from kerasdl.tuning.search import load, names

    found = [load(name) for name in names()]
    if as_json:
        print_json([{"name": name, "oracle": search.oracle, "trials": search.trials, "recipe": search.base.name,
                     "space": {key: str(dimension) for key, dimension in search.space.items()}}
                    for name, search in zip(names(), found, strict=True)])
        return
    table = Table("search", "oracle", "trials", "searches", box=None, header_style="bold")
    for name, search in zip(names(), found, strict=True):
        table.add_row(name, search.oracle, str(search.trials or "all"), ", ".join(search.space))
    print_table(table)
    print_line("\nRun one: kerasdl tune NAME")


@tuning.command("rank")
def rank_points(search: Annotated[str, typer.Argument(metavar="SEARCH", help="name of a search, or a .py file")],
                overrides: Overrides = None,
                by: Annotated[str, typer.Option(
                    metavar="WAY", help="multiply_adds, naswot, parameters, synflow, zico, or shared_weights, which "
                                        "trains one network of all cells")] = "multiply_adds",
                candidates: Annotated[int, typer.Option(help="number of points", min=1)] = 200,
                seed: Annotated[int | None, typer.Option(help="seed of the points")] = None,
                limit: Limits = None,
                out: Annotated[Path, typer.Option(callback=named, help="file to write")] = Path("ranking.json"),
                as_json: AsJson = False) -> None:
    """Rank points of a search's space without training each, for --oracle ranked:FILE."""
    found, _ = what_to_search(search, overrides or [], None, None,
                              {"seed": seed, "limits": limits(limit or ()) or None})
    with quiet():
        from kerasdl.nas.rank import rank
        from kerasdl.text import figure, typed
        from kerasdl.tuning.table import describe
    document = rank(found, by, out, candidates, verbose=verbose())
    if as_json:
        print_json({"ranking": out, **document})
        return
    first = document["points"][0]
    print_field("ranking", out)
    print_field("first", f"{by} {figure(first['scores'][by])}  {describe(first['values'])}")
    print_field("points", f"{len(document['points'])}, and {document['refused']} beyond a limit or without a network")
    same = [search, *(overrides or []), *(word for each in limit or () for word in ("--limit", each))]
    print_field("next", f"kerasdl tune {' '.join(map(typed, same))} --oracle ranked:{typed(out)} --trials 10")


@tuning.command("report")
def report_search(folder: SearchFolder, as_json: AsJson = False) -> None:
    """Write a search's report.html, and its files for TensorBoard's HParams."""
    with quiet():
        from kerasdl.tuning.report import report as write_report
        from kerasdl.tuning.study import Study
    study = Study.open(folder)
    page = write_report(study)
    if not as_json:
        print_field("report", page)
        return
    print_json(document(study, page))


def document(study: Any, page: Path | None) -> dict[str, Any]:
    """Return what a search is as JSON: its trials, and their order from the best on."""
    from kerasdl.tuning.front import front
    from kerasdl.tuning.table import ranked

    records, search = study.records(), study.search
    keys = ("id", "status", "values", "score", "costs", "parent", "epochs", "seconds", "why")
    return {"search": study.folder, "report": page, "objective": search.objective, "costs": search.costs,
            "limits": search.limits, "refused": len(study.refused.entries()),
            "front": [record.id for record in front(records, search.direction, search.costs)],
            "better": search.direction, "ranked": [record.id for record in ranked(records, search)],
            "trials": [{key: getattr(record, key) for key in keys} for record in records]}


@tuning.command("best")
def best_of_search(folder: SearchFolder,
                   seeds: Annotated[int, typer.Option(
                       help="number of retrainings; 0: write the recipe only", min=0)] = 3,
                   workers: Workers = 1, ray: Ray = None, backend: Backend = None, as_json: AsJson = False) -> None:
    """Write the winning recipe to stdout; retrain it with other seeds, and print its test score to stderr."""
    from kerasdl.installation.backend import choose

    choose(backend)  # the processes that train have this one's environment
    with quiet():
        from kerasdl.tuning import best
        from kerasdl.tuning.study import Study
    study = Study.open(folder)
    won = best.best(study)
    if not as_json:
        print_text(best.source(study, won).removesuffix("\n"))
    final = None
    if seeds:
        LOGGER.info("retraining trial %s with %d other seeds (--seeds 0 skips this)", won.id, seeds)
        final = best.measure(study, won, seeds, workers, verbose=verbose(), ray=ray)
        LOGGER.info(best.summary(final))
    if as_json:
        print_json({"search": folder, "trial": won.id, "objective": study.search.objective, "score": won.score,
                    "values": won.values, "recipe": best.recipe_of(study, won).model_dump(mode="json"),
                    "retrained": final})
