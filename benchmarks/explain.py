"""Whether methods of explanation can be trusted on MNIST: docs/results/explain.json, and the table of docs/explain.md.

    python -m benchmarks.explain                        cnn_mnist, 500 test images, three seeds
    python -m benchmarks.explain cnn_digits --examples 40 --steps 100 --seeds 1 --out FILE      to try it

Each seed trains the recipe, and a network of the same architecture on images with a planted patch; every method that
fits is checked on both. The last row is the control that has to fail: guided backpropagation. What is in the file is
not measured again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, ROOT, pin, write_json
from kerasdl.explain import controls, methods
from kerasdl.explain.checks.check import CASCADE, check
from kerasdl.explain.checks.randomisation import randomisation
from kerasdl.explain.examples import checked
from kerasdl.explain.explaining import Subject
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines, mean_sd
from kerasdl.recipe import load

NAME, RUNS = "explain", ROOT / "runs" / "explain"
GUIDED = "guided backpropagation"


def measure(name: str, seed: int, examples: int, steps: int) -> list[dict[str, Any]]:
    """Train a recipe with a seed, check each method on it, and return a row for each."""
    run = once(load(name).override(seed=seed), RUNS / name / f"seed-{seed}", verbose=False)
    subject = Subject(run)
    x, began = checked(subject.test, examples, seed), time.perf_counter()
    planted, why = subject.planted(seed, steps)
    facts = {"recipe": name, "seed": seed, "test": run.result["test"], "environment": run.result["environment"],
             "not_planted": why}
    said = why or "The planted patch is learned."
    print(f"{name}, seed {seed}: {said} ({time.perf_counter() - began:.0f} s)", flush=True)
    rows = []
    for method in methods.fitting(subject.network):
        if not methods.is_attribution(methods.find(method)):
            continue
        began = time.perf_counter()
        found = check(subject.network, x, method, planted=planted, probability=subject.probability, seed=seed)
        rows.append({**facts, "method": method, "check": found, "seconds": round(time.perf_counter() - began, 1)})
        print(f"{name}, seed {seed}, {method}: {'; '.join(found['why']) or 'beats its controls'}", flush=True)
    few = x[:CASCADE]
    target = subject.network.logits(few).argmax(1)
    control = controls.GuidedBackprop(subject.network)
    guided = randomisation(subject.network, few, lambda: control(few, target).sum(axis=-1), seed)
    rows.append({**facts, "method": GUIDED, "check": {"examples": len(few), "randomisation": guided}, "seconds": None})
    return rows


def body(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/explain.md: a line for each method, means over seeds."""
    if not rows:
        return "not run\n"
    lines = []
    for name in dict.fromkeys(row["recipe"] for row in rows):
        mine = [row for row in rows if row["recipe"] == name]
        count = max(row["check"]["examples"] for row in mine)
        accuracy = mean_sd([100 * row["test"]["accuracy"] for row in {row["seed"]: row for row in mine}.values()])
        lines += [f"`{name}`, test accuracy {accuracy} %, {count} test images a seed.", "",
                  "| method | alike while randomised | at the end | insertion | deletion | ahead of "
                  "random, edges, centre | in the patch, % | trusted | seeds |",
                  "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        lines += [_line(method, [row["check"] for row in mine if row["method"] == method])
                  for method in dict.fromkeys(row["method"] for row in mine)]
        whys = {row["seed"]: row["not_planted"] for row in mine}
        lines += ["", *(f"Seed {seed}: {why}\n" for seed, why in whys.items() if why)]
    return "\n".join([*lines, "\"Ahead\" is the lead in insertion minus deletion, and in brackets its mean in standard "
                      "errors on the same images.", "", *(f"Measured on {line}.\n" for line in machines({"": rows}))])


def _line(method: str, checks: list[dict[str, Any]]) -> str:
    found = [check["randomisation"] for check in checks if check["randomisation"]["layers"]]
    cells = [method, *(mean_sd([each[way] for each in found], 2) if found else "" for way in ("mean", "final"))]
    if all("faithfulness" in check for check in checks):
        found = [check["faithfulness"] for check in checks]
        cells += [mean_sd([each["areas"][method][way][0] for each in found], 3) for way in ("insertion", "deletion")]
        cells.append(", ".join(_lead([each["ahead"][name] for each in found]) for name in found[0]["ahead"]))
    else:
        cells += ["", "", ""]
    planted = [check["planted"] for check in checks if "planted" in check]
    mass = mean_sd([100 * each["mass"] for each in planted]) if planted else ""
    some = f"; {len(planted)} of {len(checks)} seeds" if len(planted) < len(checks) else ""
    cells.append(f"{mass} (in {100 * planted[0]['area']:.1f} % of the places{some})" if planted else "")
    trusted = [bool(check.get("trusted", check["randomisation"]["passed"])) for check in checks]
    return f"| {' | '.join(cells)} | {sum(trusted)} of {len(trusted)} | {len(checks)} |"


def _lead(rows: list[dict[str, Any]]) -> str:
    errors = np.mean([row["mean"] / max(row["error"], 1e-9) for row in rows])
    return f"{np.mean([row['mean'] for row in rows]):+.3f} ({errors:+.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", nargs="?", default="cnn_mnist")
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--steps", type=int, default=2000, help="of the network with the planted patch")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{NAME}.json")
    asked = parser.parse_args()
    pin()
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else []
    for seed in range(asked.seeds):
        if not any((row["recipe"], row["seed"]) == (asked.recipe, seed) for row in kept):
            kept += measure(asked.recipe, seed, asked.examples, asked.steps)
            write_json(asked.out, kept)


if __name__ == "__main__":
    main()
