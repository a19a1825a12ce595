"""What compression costs: `kerasdl compress` on resnet8_cifar10. docs/results/compress.json, and the table of
docs/compress.md.

    python -m benchmarks.compress [RUN]     RUN: a finished run of the recipe; without one it is trained, 70 minutes

Each version is trained for eight epochs. What is finished is not run again.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, write_json
from kerasdl.deploy.compress import walk
from kerasdl.environment import environment
from kerasdl.published.reproduce import once
from kerasdl.recipe import load
from kerasdl.run import Run

NAME, RECIPE, EPOCHS = "compress", "resnet8_cifar10", 8
LEFT_OUT = ("run", "file")  # paths
ANY = ()  # a run of an earlier commit counts


def body(found: dict[str, Any]) -> str:
    """The table of docs/compress.md."""
    if not found:
        return "not run\n"
    lines = [f"`{found['recipe']}` has {found['parameters']:,} parameters and {found['val']:.2%} on validation data. "
             f"Its smaller versions were trained for {found['epochs']} epochs each:", "",
             "| version | KB of the 8-bit file | val, % | ms for one image | parameters | multiply-adds |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for one in found["versions"]:
        mark = "**" * (one["name"] == found["chosen"])
        lines.append(f"| {mark}{one['name']}{mark} | {one['bytes'] / 1000:.1f} | {100 * one['val']:.2f} "
                     f"| {one['milliseconds']:.2f} | {one['parameters']:,} | {one['multiply_adds']:,} |")
    test, machine = found["test"], found["environment"]
    return "\n".join([*lines, "", f"The chosen file has {test['file']:.2%} on the test split, and the model in Keras "
                      f"{test['keras']:.2%}. One seed; measured on {machine['cores']} cores of {machine['cpu']}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", nargs="?", type=Path)
    asked = parser.parse_args()
    run = Run.open(asked.run) if asked.run else once(load(RECIPE), ROOT / "runs" / NAME, verbose=False, makers=ANY)
    facts = walk.compress(run, epochs=EPOCHS)
    write_json(RESULTS / f"{NAME}.json", {key: value for key, value in facts.items() if key not in LEFT_OUT} | {
        "epochs": EPOCHS, "environment": environment()})


if __name__ == "__main__":
    main()
