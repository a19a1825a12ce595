"""What compression costs: `kerasdl compress` on resnet8_cifar10. docs/results/compress.json, and the table of
docs/compress.md.

    python -m benchmarks.compress [RUN]     RUN: a finished run of the recipe; without one it is trained, 70 minutes

Each version is trained for five epochs. What is finished is not run again.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, write_json
from kerasdl.deploy.compress import walk
from kerasdl.environment import environment
from kerasdl.published.reproduce import once
from kerasdl.published.results import machine
from kerasdl.recipe import load
from kerasdl.run import Run

NAME, RECIPE, EPOCHS = "compress", "resnet8_cifar10", 5
LEFT_OUT = ("run", "file")  # paths
PICTURE = "images/compress.svg"


def body(found: dict[str, Any]) -> str:
    """The table of docs/compress.md."""
    if not found:
        return "not run\n"
    lines = [f"`{found['recipe']}` has {found['parameters']:,} parameters and {found['val']:.2%} on validation data. "
             f"Its smaller versions were trained for {found['epochs']} epochs each:", "",
             f"![Validation accuracy by the size of the 8-bit file]({PICTURE})", "",
             "| version | KB of the 8-bit file | val, % | ms for one image | parameters | multiply-adds |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for one in found["versions"]:
        mark = "**" * (one["name"] == found["chosen"])
        lines.append(f"| {mark}{one['name']}{mark} | {one['bytes'] / 1000:.1f} | {100 * one['val']:.2f} "
                     f"| {one['milliseconds']:.2f} | {one['parameters']:,} | {one['multiply_adds']:,} |")
    test = found["test"]
    return "\n".join([*lines, "", f"The chosen file has {test['file']:.2%} on the test split, and the model in Keras "
                      f"{test['keras']:.2%}. One seed. Measured on {machine(found['environment'])}.", ""])


def draw(found: dict[str, Any], path: Path) -> None:
    """Write the picture of versions by size and accuracy; those that no other beats in both are joined."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "kerasdl", "font.size": 9}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        places = sorted((one["bytes"] / 1000, 100 * one["val"], one["frontier"], one["name"])
                        for one in found["versions"])
        axes.plot(*zip(*((x, y) for x, y, first, _ in places if first), strict=True), color="tab:blue", alpha=0.4)
        for x, y, first, name in places:
            axes.plot([x], [y], "o", color="tab:blue" if first else "0.45")
            axes.annotate(name, (x, y), (0, 7 if first else -13), textcoords="offset points", ha="center", fontsize=8)
        axes.set(xlabel="KB of the 8-bit file", ylabel="accuracy on validation data, %")
        axes.margins(0.12)
        axes.grid(alpha=0.3)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", nargs="?", type=Path)
    asked = parser.parse_args()
    run = Run.open(asked.run) if asked.run else once(load(RECIPE), ROOT / "runs" / NAME, verbose=False)
    facts = walk.compress(run, epochs=EPOCHS)
    write_json(RESULTS / f"{NAME}.json", {key: value for key, value in facts.items() if key not in LEFT_OUT} | {
        "epochs": EPOCHS, "environment": environment()})


if __name__ == "__main__":
    main()
