"""The page of a search: leaderboard, best-so-far curve, front of score and cost, ancestors of the best trial, parallel
coordinates, importance of each field, failures."""

from pathlib import Path
from typing import Any

from kerasdl import costs, figures, zoo
from kerasdl.reports import html
from kerasdl.text import figure, typed
from kerasdl.tuning import hparams, parallel_coordinates
from kerasdl.tuning.best import FINAL, spread
from kerasdl.tuning.front import ancestry, changes, front
from kerasdl.tuning.importance import importance
from kerasdl.tuning.records import TrialRecord
from kerasdl.tuning.study import Study
from kerasdl.tuning.table import describe, duration, ranked
from kerasdl.tuning.trials import read

LEAST = 4  # trials with a score without which there are no parallel coordinates


def report(study: Study) -> Path:
    """Write report.html, one file that needs no other but links to the trials, and return its path.

    A search that is not over is shown as far as it is.
    """
    rows = study.records()
    leaders = ranked(rows, study.search)
    failed = [row for row in rows if row.attempts > 1 or row.status == "failed"]
    page = html.render(
        Path(__file__).with_name("search.html.j2"),
        search=study.search, name=study.search.name or "search", rows=rows, leaders=leaders, failed=failed,
        fields=list(dict.fromkeys(key for row in rows for key in row.values)), total=study.total, over=study.over,
        attempts={row.id: earlier(row) for row in failed}, best=leaders[0] if leaders else None,
        curve=progress(rows, study) if leaders else None, final=read(study.folder / FINAL),
        spread=spread, figure=figure, plain=plain, describe=describe, folder=study.folder.name,
        path=typed(study.folder), trials=typed(study.home),
        settings=settings(study),
        parallel=parallel_coordinates.draw(study.search, leaders) if len(leaders) >= LEAST else None,
        weights=list(importance(study.space, rows).items()), line=line(rows, leaders), graph=graph(study, leaders),
        fronts=fronts(rows, study), costs=study.search.measured, cost=costs.text,
        refused=len(study.refused.entries()), spent=duration(sum(row.seconds or 0 for row in rows)))
    file = study.folder / "report.html"
    then = f"Once it can be: kerasdl tune report {typed(study.folder)}"
    with study.writing(then):
        html.write(file, page, then)
        hparams.write(study)
    return file


def progress(rows: list[TrialRecord], study: Study):
    """Return the figure of the scores in the order in which trials began, with the best up to each."""
    scored = [(number, row.score) for number, row in enumerate(rows, 1) if row.score is not None]
    return figures.best_so_far([number for number, _ in scored], [score for _, score in scored],
                               study.search.direction, percent=study.search.objective.endswith("accuracy"))


def fronts(rows: list[TrialRecord], study: Study) -> list[tuple[str, Any, list[TrialRecord]]]:
    """Return (cost, figure of scores by it, the trials of its front) for each cost that is measured."""
    search, found = study.search, []
    for cost in search.measured:
        scored = [row for row in rows if row.score is not None and cost in row.costs]
        if len(scored) > 1:
            ahead = front(scored, search.direction, [cost])
            unit = costs.unit(cost)
            drawing = figures.front([row.costs[cost] for row in scored], [row.score or 0.0 for row in scored],
                                    [row in ahead for row in scored], f"{cost}{f', {unit}' if unit else ''}",
                                    percent=search.objective.endswith("accuracy"))
            found.append((cost, drawing, ahead))
    return found


def line(rows: list[TrialRecord], leaders: list[TrialRecord]) -> list[tuple[TrialRecord, str]]:
    """Return the ancestors of the best trial and what each changed; [] where it has none."""
    found = ancestry(rows, leaders[0]) if leaders else []
    return list(zip(found, changes(found), strict=True)) if len(found) > 1 else []


def graph(study: Study, leaders: list[TrialRecord]) -> Any:
    """Return a figure of the graph that the best trial's model is made of; None of a model that has none."""
    recipe = None if study.search.build or not leaders else study.search.trial(leaders[0].values)
    if recipe is None or recipe.model not in zoo.NAMES or not hasattr(zoo.module(recipe.model), "graph"):
        return None
    args = {key: value for key, value in recipe.model_args.items() if key.startswith("edge")}
    return figures.graph(*zoo.module(recipe.model).graph(**args))


def settings(study: Study) -> dict[str, str]:
    """Return what was searched, and how."""
    search = study.search
    space = {key: "; ".join(map(str, dimensions)) for key, dimensions in search.space.items()}
    what = {"build": search.build, "data": search.data} if search.build else {"recipe": search.recipe.name}
    most = {f"{name} at most": costs.text(name, value) for name, value in search.limits.items()}
    return {**what, **most, **{key: repr(value) for key, value in search.overrides.items()}, **space,
            "objective": f"{search.objective}, {search.direction}", "oracle": f"{search.oracle}, seed {search.seed}"}


def earlier(row: TrialRecord) -> list[dict]:
    """Return the outcomes of a trial's failed attempts before the one that counts."""
    found = (read(file) for file in sorted(row.folder.glob("outcome-*.json")))
    return [outcome for outcome in found if outcome]


def plain(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
