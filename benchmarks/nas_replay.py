"""Searches on the table of benchmarks.nas_table: 50 seeds of each method in hours, as nothing is trained.

    python -m benchmarks.nas_replay

Writes docs/results/nas_replay.json, from which docs/nas.md has its tables: the regret of each method against random
search, and how well each proxy ranks the cells. Each method is written when it is done, and one that is in the file is
not replayed again: remove the file after a change of the table or of an oracle. A method sees the accuracy with one
seed of the training, another one for each seed of the search; its regret is by the mean of all seeds.

All methods see accuracy alone: NSGA-II and the Gaussian process are not replayed with a cost.
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import nas_table
from kerasdl.files import write_json
from kerasdl.published.results import machines
from kerasdl.tuning.records import Proposal, TrialRecord
from kerasdl.tuning.samplers.grid import combinations

FILE = nas_table.FILE.with_name("nas_replay.json")
SEEDS, BUDGETS = 50, (10, 25, 50, 100)
ORACLES = ("random", "evolution", "bayesian", "optuna:TPESampler", "optuna:NSGAIISampler")
QUARTILES = (0.25, 0.5, 0.75)
NOT_REPLAYED = ("`shared_weights`, which trains a network of all cells", "evolution with `inherit=True`",
                "Hyperband, whose trials are parts of a training")
PICTURE = "images/nas_regret.svg"
LEVEL = 0.05  # of the test that a method has less regret than random


class Table:
    """The table: what a training shows, and what is true.

    Attributes:
        names: of the cells.
        mean: accuracy of each cell, the mean of its seeds.
        seen: accuracy of each cell with each seed, (seeds, cells).

    Raises:
        SystemExit: trainings are missing.
    """

    def __init__(self, rows: dict[str, Any]):
        self.cells = {nas_table.key(values): values for values in combinations(nas_table.SEARCH.dimensions)}
        self.names = list(self.cells)
        if missing := nas_table.missing(rows):
            raise SystemExit(f"{missing} of {len(self.names) * len(nas_table.SEEDS)} trainings are missing in the "
                             "table: python -m benchmarks.nas_table --seed 0, and the same with 1 and 2")
        curves = np.array([[rows[name]["curves"][str(seed)] for name in self.names] for seed in nas_table.SEEDS])
        self.seen, self.mean = curves[:, :, -1], curves[:, :, -1].mean(0)
        self.proxies = {proxy: np.array([rows[name]["proxies"][proxy] for name in self.names])
                        for proxy in rows[self.names[0]]["proxies"]}
        self.place = {name: at for at, name in enumerate(self.names)}


def searched(table: Table, oracle: str, seed: int) -> list[int]:
    """Return the places of the cells that an oracle trains, in order."""
    from kerasdl.tuning.oracles import of_search

    search = replace(nas_table.SEARCH, oracle=oracle, seed=seed, trials=max(BUDGETS), goal="max", costs=())
    asked, records, order = of_search(search, search.dimensions), list[TrialRecord](), list[int]()
    shown = table.seen[seed % len(nas_table.SEEDS)]
    while len(order) < max(BUDGETS) and isinstance(proposal := asked.propose(records), Proposal):
        at = table.place[nas_table.key(proposal.values)]
        order.append(at)
        records.append(TrialRecord(f"{len(records):04}", "completed", proposal.values, float(shown[at])))
    return order


def ranked(table: Table, proxy: str, seed: int) -> list[int]:
    """Return the places of the cells by a proxy, the best first; equal ones in random order."""
    ties = np.random.default_rng(seed).random(len(table.names))
    return list(np.lexsort((ties, -table.proxies[proxy]))[:max(BUDGETS)])


def regrets(table: Table, order: list[int], seed: int) -> np.ndarray:
    """Return how far the cell that looked best is from the best one, after each training (trainings,)."""
    shown = table.seen[seed % len(nas_table.SEEDS)][order]
    looks_best = [order[int(shown[:count].argmax())] for count in range(1, len(order) + 1)]
    return table.mean.max() - table.mean[looks_best]


def measured(table: Table, name: str, propose: Callable[[int], list[int]]) -> dict[str, Any]:
    """Return the regrets of a method for each seed, (seeds, budgets), and QUARTILES of them after each training."""
    found = np.array([regrets(table, propose(seed), seed) for seed in range(SEEDS)])
    return {"method": name, "regrets": found[:, np.array(BUDGETS) - 1].tolist(),
            "bands": np.quantile(found, QUARTILES, axis=0).round(6).tolist()}


def correlations(table: Table) -> dict[str, dict[str, float]]:
    """Return Spearman's correlation of each proxy with accuracy, over all cells and over the best fifth."""
    best = np.argsort(-table.mean)[:len(table.mean) // 5]
    return {proxy: {"all": float(stats.spearmanr(scores, table.mean).statistic),
                    "best fifth": float(stats.spearmanr(scores[best], table.mean[best]).statistic)}
            for proxy, scores in table.proxies.items()}


def beats_random(rows: dict[str, np.ndarray], name: str) -> float:
    """Return the p of Wilcoxon's signed-rank test that a method has less regret after 50 trainings than random."""
    at = BUDGETS.index(50)
    difference = rows[name][:, at] - rows["random"][:, at]
    return float(stats.wilcoxon(difference, alternative="less").pvalue) if difference.any() else 1.0


def main() -> None:
    found = nas_table.load()
    table = Table(found["rows"])
    facts = {"cells": len(table.names), "best": float(table.mean.max()), "mean": float(table.mean.mean()),
             "between_seeds": float(table.seen.std(0, ddof=1).mean()), "correlations": correlations(table),
             "environment": found["environment"]}
    methods: dict[str, Callable[[int], list[int]]] = {
        **{name: lambda seed, name=name: searched(table, name, seed) for name in ORACLES},
        **{f"ranked by {proxy}": lambda seed, proxy=proxy: ranked(table, proxy, seed) for proxy in table.proxies}}
    rows = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    for name in [each for each in methods if each not in {row["method"] for row in rows}]:
        rows.append(measured(table, name, methods[name]))
        rows.sort(key=lambda row: list(methods).index(row["method"]))
        write_json(FILE, facts | {"rows": rows})
        print(name, flush=True)
    print(body(json.loads(FILE.read_text())))


def body(found: dict[str, Any] | None) -> str:
    """What stands between the markers of docs/nas.md."""
    if not found:
        return "not run\n"
    by_name = {row["method"]: np.array(row["regrets"]) for row in found["rows"]}
    chances = {name: beats_random(by_name, name) for name in by_name
               if name != "random" and not name.startswith("ranked")}
    losers = [name for name, chance in chances.items() if chance >= LEVEL]
    first = f"Not better than random after 50 trainings: {', '.join(losers)}." if losers else \
        "All searches are better than random after 50 trainings."
    lines = [f"{first} (Wilcoxon's signed-rank test over {SEEDS} seeds, p < {LEVEL}.)", "",
             f"The table has {found['cells']} cells with {len(nas_table.SEEDS)} seeds each, on digits, 800 training "
             f"images: accuracy {100 * found['mean']:.2f} % on average and {100 * found['best']:.2f} % for the best. "
             f"The deviation between seeds is {100 * found['between_seeds']:.2f} points. Regret is how far the cell "
             "that a search would choose is from the best one, in points; medians. A ranking does not depend on the "
             f"seed of a search: unless cells are equal to it, its row has {len(nas_table.SEEDS)} outcomes, one for "
             "each seed of the training, which are too few for a test.", "",
             f"Not replayed: {', '.join([*(name for name in ORACLES if name not in by_name), *NOT_REPLAYED])}.", "",
             f"![Regret after each training, medians and quartiles of {SEEDS} seeds]({PICTURE})", "",
             "| method | " + " | ".join(f"{budget} trainings" for budget in BUDGETS) + " | p |",
             "| --- |" + " ---: |" * (len(BUDGETS) + 1)]
    for name, regret in by_name.items():
        chance = f"{chances[name]:.2g}" if name in chances else ""
        lines.append(f"| {name} | " + " | ".join(f"{100 * statistics.median(column):.2f}" for column in regret.T)
                     + f" | {chance} |")
    lines += ["", "| proxy | Spearman's correlation with accuracy | among the best fifth |", "| --- | ---: | ---: |"]
    lines += [f"| `{proxy}` | {each['all']:.2f} | {each['best fifth']:.2f} |"
              for proxy, each in found["correlations"].items()]
    return "\n".join([*lines, "", *(f"Measured on {line}.\n" for line in machines({"": [found]}))])


def draw(found: dict[str, Any], path: Path) -> None:
    """Write the picture of regret after each training: medians, with the quartiles as bands."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "kerasdl", "font.size": 9}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, row in enumerate(found["rows"]):
            low, middle, high = 100 * np.array(row["bands"])
            steps, by_proxy = np.arange(1, len(middle) + 1), row["method"].startswith("ranked")
            colour = "black" if row["method"] == "random" else f"C{number}"
            axes.plot(steps, middle, color=colour, label=row["method"], linestyle="--" if by_proxy else "-")
            if not by_proxy:
                axes.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(BUDGETS, map(str, BUDGETS))
        axes.set(xlabel="trainings", ylabel="regret, points of accuracy", xlim=(1, max(BUDGETS)), ylim=(0, None))
        axes.grid(alpha=0.3)
        figure.legend(loc="outside right center", frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
