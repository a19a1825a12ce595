"""`kerasdl runs` and `kerasdl best`: the runs of a folder, and the best of them."""

from typing import Annotated, Any

import typer

from kerasdl.cli.terminal import AsJson, columns, print_json, print_line, print_text
from kerasdl.errors import UserError
from kerasdl.logs import LOGGER

Folder = Annotated[str, typer.Argument(metavar="[DIR]", help="folder to search, with all folders below it")]
Where = Annotated[list[str] | None, typer.Option(
    "--where", metavar="CONDITION", help="only runs that meet it, such as recipe=vit_digits, lr>0.001, "
                                         "'val/accuracy>=0.9'; give it several times to combine conditions")]


def list_runs(folder: Folder = "runs",
              sort: Annotated[str, typer.Option(
                  metavar="KEY", help="a score such as val/accuracy, best first; or a setting, seconds, parameters, "
                                      "finished, oldest or smallest first; -KEY reverses the order")] = "finished",
              where: Where = None,
              show: Annotated[list[str] | None, typer.Option(
                  "--show", metavar="KEY", help="another column: a setting such as lr, a score, a fact")] = None,
              as_json: AsJson = False) -> None:
    """List the runs in a folder: what was trained, and how well it did."""
    from kerasdl.runs import find
    from kerasdl.text import duration

    rows = find.where(find.find(folder), where or [])
    rows = find.ordered(rows, sort)
    usual = ("run", "recipe", "finished", "seconds", "status", "seed")  # have a column in any case
    more = [key for key in [*(show or []), sort.removeprefix("-")] if key not in usual]
    for key in more:
        find.check_key(rows, key)
    if as_json:
        print_json([found(row) | {key: row.value(key) for key in more} for row in rows])
        return
    if not rows:
        print_line(f"No run in {folder}" + (" meets these conditions." if where else
                                            ". Make one with: kerasdl train RECIPE"))
        return
    lines = []
    for row in rows:
        seconds = row.value("seconds")
        lines.append((str(row.path), row.name, str(row.recipe.get("seed", 0)), row.status,
                      f"{row.epochs}/{row.recipe.get('epochs', '')}", score(row, "val"), score(row, "test"),
                      *(cell(row.value(key)) for key in dict.fromkeys(more)),
                      "" if seconds is None else duration(seconds), row.when[:16].replace("T", " ")))
    head = ("run", "recipe", "seed", "status", "epochs", "val", "test", *dict.fromkeys(more), "time", "date")
    print_text(columns(head, lines))


def best_run(folder: Folder = "runs",
             by: Annotated[str | None, typer.Option(
                 metavar="SCORE", help="the score that decides; by default the validation score that chose the epoch"
             )] = None,
             where: Where = None, as_json: AsJson = False) -> None:
    """Print the folder of the best completed run, for `kerasdl eval "$(kerasdl best)"`."""
    from kerasdl.runs import find
    from kerasdl.text import figure

    rows = find.where(find.find(folder), where or [])
    if not rows:
        raise UserError(f"No run in {folder} meets these conditions." if where else f"There is no run in {folder}.")
    row, key, count = find.best(rows, by)
    if key.startswith("test/"):
        LOGGER.warning("a score that chooses is optimistic for what it chose. Choose by val, and read test afterwards.")
    if as_json:
        print_json(found(row) | {"by": key, "value": row.value(key)})
        return
    LOGGER.info("%s, %s %s, the best of %d runs", row.name, key, figure(row.value(key)), count)
    print_line(str(row.path))


def found(row: Any) -> dict[str, Any]:
    """Return what `runs --json` says of a run."""
    return {"run": row.path, "recipe": row.name, "seed": row.recipe.get("seed", 0), "status": row.status,
            "epochs": row.epochs, "finished": row.result.get("finished"), "seconds": row.value("seconds"),
            "parameters": row.value("parameters"), "monitor": row.monitor, "val": row.result.get("val", {}),
            "test": row.result.get("test", {})}


def score(row: Any, split: str) -> str:
    value = row.value(f"{split}/monitor")
    return "" if value is None else f"{row.monitor} {cell(value)}"


def cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
