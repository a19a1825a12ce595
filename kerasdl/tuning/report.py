"""The page of a search: leaderboard, best-so-far curve, parallel coordinates, importance of each field, failures."""

from pathlib import Path

import jinja2

from kerasdl import figures
from kerasdl.files import whole
from kerasdl.text import figure, typed
from kerasdl.tuning import hparams, parallel
from kerasdl.tuning.best import FINAL, spread
from kerasdl.tuning.importance import importance
from kerasdl.tuning.study import Row, Study, read
from kerasdl.tuning.table import describe, duration, ranked, total

LEAST = 4  # trials with a score that parallel coordinates are worth


def report(study: Study) -> Path:
    """Write report.html, one file that needs no other but links to the trials, and return its path.

    A search that is not over shows what there is.
    """
    study.refresh()
    rows = study.rows()
    leaders = ranked(rows, study.search)
    failed = [row for row in rows if row.attempts > 1 or row.status == "failed"]
    page = template().render(
        search=study.search, name=study.search.name or "search", rows=rows, leaders=leaders, failed=failed,
        fields=list(dict.fromkeys(key for row in rows for key in row.values)), total=total(study), over=study.over,
        attempts={row.id: earlier(row) for row in failed}, best=leaders[0] if leaders else None,
        curve=progress(rows, study) if leaders else None, final=read(study.folder / FINAL),
        spread=spread, figure=figure, parallel=parallel.draw(study, leaders) if len(leaders) >= LEAST else None,
        weights=weights(study), spent=duration(sum(row.seconds or 0 for row in rows)), settings=settings(study),
        plain=plain, describe=describe, folder=study.folder.name)
    file = study.folder / "report.html"
    with study.writing(f"Once it can be: kerasdl tune report {typed(study.folder)}"):
        with whole(file) as partial:
            partial.write_text(page, encoding="utf-8")
        hparams.write(study)
    return file


def progress(rows: list[Row], study: Study):
    """The scores in the order in which trials began, and the best until each."""
    scored = [(number, row.score) for number, row in enumerate(rows, 1) if row.score is not None]
    return figures.best_so_far([number for number, _ in scored], [score for _, score in scored],
                               study.search.direction, percent=study.search.objective.endswith("accuracy"))


def weights(study: Study) -> list[tuple[str, float]]:
    """How much of the score's variation each field explains, the most first; none where there are few trials."""
    return list(importance(study.oracle.hyperparameters, study.oracle.trials.values()).items())


def settings(study: Study) -> dict[str, str]:
    """What was searched, and how."""
    search = study.search
    space = {key: "; ".join(map(str, dimensions)) for key, dimensions in search.space.items()}
    what = {"build": search.build, "data": search.data} if search.build else {"recipe": search.recipe.name}
    return {**what, **{key: repr(value) for key, value in search.overrides.items()}, **space,
            "objective": f"{search.objective}, {search.direction}", "oracle": f"{search.oracle}, seed {search.seed}"}


def earlier(row: Row) -> list[dict]:
    """The attempts of a trial that failed before the one that counts."""
    found = (read(file) for file in sorted(row.folder.glob("outcome-*.json")))
    return [outcome for outcome in found if outcome]


def plain(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def template() -> jinja2.Template:
    here = Path(__file__).parent
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader([here, here.parent / "reports"]), autoescape=True,
                               trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("search.html.j2")
