"""`kerasdl results`: the published numbers."""

import statistics
from typing import Any

from rich.table import Table

from kerasdl.cli.terminal import AsJson, print_json, print_line, print_table


def show_results(as_json: AsJson = False) -> None:
    """Show the published result of every recipe, from the committed result files."""
    from kerasdl import recipe
    from kerasdl.published import results

    recipes = [found for found, _ in recipe.shipped()]
    wrong: list[str] = []
    measured = results.read(recipes, wrong=wrong.append)
    if as_json:
        print_json({"recipes": [summary(found, measured.get(found.name, [])) for found in results.ordered(recipes)],
                    "left_out": wrong})
        return
    table = Table(*results.HEAD, box=None, header_style="bold")
    for found in results.ordered(recipes):
        table.add_row(*results.table_row(found, measured.get(found.name, [])))
    print_table(table)
    own = ", ".join(found.name for found in recipes if results.template(found))
    print_line(f"\n{own}: for your own data.")
    for line, names in results.machines(measured).items():
        print_line(f"On {line}: {', '.join(names)}.")
    for complaint in wrong:
        print_line(f"Left out: {complaint}.")
    if any(results.orders(runs[0]) == 1 for runs in measured.values()):
        print_line("† of kerasdl 0.1, whose seeds shared their batches: docs/lab/orders.md.")
    print_line("Rerun one: kerasdl reproduce NAME")


def summary(recipe: Any, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `results --json` says of a recipe. Without runs, the scores are empty and `mean` is null."""
    from kerasdl.published import results

    metric = results.metric(recipe)
    scores = [metric.of(run) for run in runs]
    return {"recipe": recipe.name, "model": recipe.model, "data": recipe.data, "objective": recipe.objective,
            "metric": metric.key(runs[0]) if runs else None, "better": metric.goal,
            "orders": results.orders(runs[0]) if runs else None,
            "seeds": [run["seed"] for run in runs], "scores": scores,
            "mean": statistics.mean(scores) if scores else None,
            "deviation": statistics.stdev(scores) if len(scores) > 1 else None,
            "seconds": [run["train"]["seconds"] for run in runs],
            "parameters": runs[0]["parameters"] if runs else None}
