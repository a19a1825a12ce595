"""The picture of where the time of a whole command goes, from docs/results/bench_startup.json.

Drawn by docs/make_results.py: a bar for each command and run, from return to prompt.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PICTURE = "images/startup.svg"
GROUPS = {  # what a bar is divided into: phases of benchmarks.startup_phases, in the order in which they come
    "Python and imports": ("interpreter", "import TensorFlow and Keras", "other imports"),
    "data and building": ("reading data", "building"), "tracing": ("tracing",),
    "compiling and first step": ("compiling and first step",), "steps": ("steps",),
    "validation and test": ("validation", "test"), "saving and report": ("saving", "report", "the rest")}
COLOURS = ("0.75", "0.55", "tab:orange", "tab:red", "tab:blue", "tab:cyan", "tab:green")


def label(row: Mapping[str, Any]) -> str:
    """The command of a row, without the splits, which are long."""
    return " ".join(word for word in row["command"].split() if not word.startswith("splits."))


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the picture as SVG; nothing without a command whose phases are known."""
    import matplotlib
    from matplotlib.figure import Figure

    bars = [(f"{label(row).removeprefix('train ')}\n{run} run", row[run]["phases"], row["import"]["seconds"])
            for row in rows for run in ("first", "second") if "phases" in row[run]]
    if not bars:
        return
    options = {"svg.hashsalt": "kerasdl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=(7, 1.4 + 0.45 * len(bars)), layout="constrained")
        axes, names = figure.subplots(), [name for name, *_ in bars]
        ends = [0.0] * len(bars)
        for (group, phases), colour in zip(GROUPS.items(), COLOURS, strict=True):
            seconds = [sum(found[phase] for phase in phases) for _, found, _ in bars]
            axes.barh(names, seconds, left=ends, color=colour, label=group, height=0.7)
            ends = [end + more for end, more in zip(ends, seconds, strict=True)]
        axes.plot([alone for *_, alone in bars], names, "k|", markersize=22, label="import tensorflow, keras alone")
        axes.invert_yaxis()
        axes.set_xlabel("seconds from return to prompt")
        figure.legend(loc="outside upper center", ncols=3, frameon=False, markerscale=0.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
