"""What attacks and corruptions leave: docs/results/robust.json, and the tables of docs/robust.md.

    python -m benchmarks.robust attacks         plain and adversarially trained networks, under ours and AutoAttack
    python -m benchmarks.robust corruptions     resnet8_cifar10 with and without RandAugment and AugMix, and two more
                                                recipes as they are, three seeds
    python -m benchmarks.robust attacks --recipes cnn_digits --eps 24 --examples 50 --steps 20 --out FILE     to try it

AutoAttack is that of the adversarial-robustness-toolbox: APGD-CE, APGD with the DLR, DeepFool and Square. It works on
floats; what it found is measured as it is, and rounded to whole bytes within the budget as ours is. Recipes are trained
unless they are there. What is finished is not run again, unless with another number of images or of steps.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.harness import RESULTS, ROOT, pin, write_json
from kerasdl.attacks import ball, suite
from kerasdl.attacks.network import Attacked
from kerasdl.audit.parts.attacks import shared
from kerasdl.audit.parts.corruptions import by_kind, mean
from kerasdl.data import corruptions, load_splits
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines, mean_sd
from kerasdl.recipe import load
from kerasdl.run import Run

NAME, RUNS = "robust", ROOT / "runs" / "robust"
BUDGETS = {"cnn_mnist": 76.5, "cnn_mnist_pgd": 76.5, "resnet_cifar10_short": 8.0,
           "resnet_cifar10_fast_adversarial": 8.0}
AUGMENTS: dict[str, tuple] = {"none": (), "randaugment": ("randaugment",), "augmix": ("augmix",)}
CORRUPTED = {"resnet8_cifar10": tuple(AUGMENTS), "cnn_cifar10_quick": ("none",), "vit_cifar10_short": ("none",)}
PUBLISHED = {"cnn_mnist_pgd": "88 to 93 under strong attacks are usual for long PGD training",
             "resnet_cifar10_fast_adversarial": "43.21 under AutoAttack, PreActResNet-18 (RobustBench; Wong et al. "
                                                "2020)"}
EXAMPLES, OTHERS = 1000, 2000


def trained(name: str, seed: int, augment: tuple = (), called: str = "") -> Run:
    """The finished run of a recipe, perhaps with more augmentation."""
    recipe = load(name).override(seed=seed)
    recipe = recipe.override(augment=(*recipe.augment, *augment)) if augment else recipe
    return once(recipe, RUNS / f"{name}{f'-{called}' if called else ''}" / f"seed-{seed}", verbose=False)


def examples_of(run: Run, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first test images, their classes, and training images for the attack by transfer."""
    recipe = run.recipe
    splits = load_splits(recipe.data, {name: recipe.splits.get(name, name) for name in ("train", "test")},
                         target="class", **recipe.data_args)
    x, y = splits["test"].take(np.arange(min(count, len(splits["test"]))))
    return x, np.asarray(y), splits["train"].take(np.arange(min(OTHERS, len(splits["train"]))))[0]


def auto_attack(model: keras.Model, x: np.ndarray, y: np.ndarray, eps: float, steps: int) -> np.ndarray:
    """What ART's AutoAttack makes of images, float32, within the budget of grey levels.

    Args:
        steps: of APGD and DeepFool, and a tenth of the queries of Square; ART's own is 100 and 5,000 queries.
    """
    from art.attacks.evasion import (
        AutoAttack,
        AutoProjectedGradientDescent,
        DeepFool,
        SquareAttack,
    )
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model=model, nb_classes=model.output_shape[-1], input_shape=x.shape[1:], clip_values=(0.0, 255.0),
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True))
    how = {"norm": np.inf, "eps": eps, "batch_size": 128}
    attacks = [*(AutoProjectedGradientDescent(classifier, **how, eps_step=2 * eps, max_iter=steps, nb_random_init=1,
                                              loss_type=loss, verbose=False)
                 for loss in ("cross_entropy", "difference_logits_ratio")),
               DeepFool(classifier, max_iter=steps, epsilon=1e-3, nb_grads=3, batch_size=128, verbose=False),
               SquareAttack(classifier, **how, max_iter=50 * steps, nb_restarts=1, verbose=False)]
    hot = np.eye(model.output_shape[-1], dtype="float32")[y]
    made = AutoAttack(classifier, **how, eps_step=2 * eps, attacks=attacks).generate(x.astype("float32"), hot)
    assert np.abs(made - x).max() <= eps * 1.001, "ART left the ball"
    return made


def attacked(recipe: str, seed: int, eps: float, count: int, steps: int) -> dict[str, Any]:
    """A row: what is right without an attack and under ours."""
    run = trained(recipe, seed)
    x, y, others = examples_of(run, count)
    began = time.monotonic()
    found = suite.attack(Attacked(run.model()), x, y, eps, others,
                         effort=suite.Effort(apgd=steps, queries=50 * steps), seed=seed)
    shares = {attack: shared(mask) for attack, mask in {**found.right, "worst": found.worst}.items()}
    row = {"recipe": recipe, "seed": seed, "eps": eps, "steps": steps, "asked": count, "right": shares,
           "examples": len(x), "checks": {check.name: check.holds for check in found.checks if not check.warning},
           "test": run.result["test"],
           "seconds": {"ours": time.monotonic() - began, "train": run.result["train"]["seconds"]},
           "environment": run.result["environment"]}
    tell(row)
    return row


def attacked_by_art(row: dict[str, Any]) -> None:
    """Add to a row what is right under ART's attacks on the same images."""
    run = trained(row["recipe"], row["seed"])
    x, y, _ = examples_of(run, row["asked"])
    network, began = Attacked(run.model()), time.monotonic()
    made = auto_attack(network.model, x, y, row["eps"], row["steps"])
    for name, images in (("art", made), ("art_bytes", ball.delivered(made, x, row["eps"]))):
        row["right"][name] = shared(network.right(images, y))
    row["seconds"]["art"] = time.monotonic() - began
    tell(row)


def tell(row: dict[str, Any]) -> None:
    said = ", ".join(f"{attack} {value['accuracy']:.3f}" for attack, value in row["right"].items())
    print(f"{row['recipe']}, seed {row['seed']}: {said}", flush=True)


def corrupted(name: str, augment: str, seed: int, count: int) -> dict[str, Any]:
    """A row: accuracy by kind and severity, of a recipe with more augmentation."""
    run = trained(name, seed, AUGMENTS[augment], augment)
    x, y, _ = examples_of(run, count)
    network = Attacked(run.model())
    kinds = by_kind(network, x, y, corruptions.SEVERITIES, run.recipe.augment, seed=0)
    row = {"recipe": name, "augment": augment, "seed": seed, "asked": count, "examples": len(x), "mean": mean(kinds),
           "clean": float(network.right(x, y).mean()), "kinds": kinds, "test": run.result["test"],
           "seconds": run.result["train"]["seconds"], "environment": run.result["environment"]}
    print(f"{name} with {augment}, seed {seed}: clean {row['clean']:.3f}, corrupted {row['mean']:.3f}", flush=True)
    return row


def alike(row: dict[str, Any], **facts: Any) -> bool:
    return all(row.get(key) == value for key, value in facts.items())


def body(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/robust.md."""
    if not rows:
        return "not run\n"
    lines = ["| recipe | budget | no attack | PGD | strongest of ours | ART's AutoAttack | rounded | images | "
             "training, minutes | signs of a hidden gradient | published |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |"]
    for row in (row for row in rows if "eps" in row):
        cells = [f"{row['right'][name]['accuracy']:.1%}" if name in row["right"] else "not run"
                 for name in ("clean", "pgd", "worst", "art", "art_bytes")]
        signs = ", ".join(name for name, holds in row["checks"].items() if not holds) or "none"
        lines.append(f"| `{row['recipe']}` | {row['eps']:g} | {' | '.join(cells)} | {row['examples']} | "
                     f"{row['seconds']['train'] / 60:.0f} | {signs} | {PUBLISHED.get(row['recipe'], '')} |")
    others = [row for row in rows if "kinds" in row]
    if others:
        lines += ["", "| recipe | besides its augmentation | clean, % | corrupted, % | kinds that no row of the recipe "
                      "saw, % | seeds |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for name, augment in dict.fromkeys((row["recipe"], row["augment"]) for row in others):
        group = [row for row in others if (row["recipe"], row["augment"]) == (name, augment)]
        known = {kind["kind"] for row in others if row["recipe"] == name for kind in row["kinds"] if kind["trained_on"]}
        new = [mean([kind for kind in row["kinds"] if kind["kind"] not in known]) for row in group]
        cells = [mean_sd([100 * value for value in values])
                 for values in (*([row[score] for row in group] for score in ("clean", "mean")), new)]
        lines.append(f"| `{name}` | {augment} | {' | '.join(cells)} | {len(group)} |")
    return "\n".join([*lines, "", *(f"Measured on {line}.\n" for line in machines({"": rows}))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("attacks", "corruptions"))
    parser.add_argument("--recipes", nargs="+", help="by default those of BUDGETS, or of CORRUPTED")
    parser.add_argument("--eps", type=float, help="by default those of BUDGETS")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default 0, or 0 to 2")
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{NAME}.json")
    asked = parser.parse_args()
    pin()
    rows = json.loads(asked.out.read_text()) if asked.out.exists() else []
    if asked.what == "attacks":
        import art.attacks.evasion  # noqa: F401  now, and not after hours
        import art.estimators.classification  # noqa: F401

        for name in asked.recipes or BUDGETS:
            for seed in asked.seeds or [0]:
                facts = {"recipe": name, "seed": seed, "eps": asked.eps or BUDGETS[name]}
                row = next((row for row in rows if alike(row, **facts, asked=asked.examples, steps=asked.steps)), None)
                if row is None:
                    row = attacked(**facts, count=asked.examples, steps=asked.steps)
                    rows = [*(row for row in rows if not alike(row, **facts)), row]
                    write_json(asked.out, rows)
                if "art" not in row["right"]:
                    attacked_by_art(row)
                    write_json(asked.out, rows)
        return
    for name in asked.recipes or CORRUPTED:
        for seed in asked.seeds or range(3):
            for augment in CORRUPTED.get(name, AUGMENTS):
                facts = {"recipe": name, "augment": augment, "seed": seed}
                if not any(alike(row, **facts, asked=asked.examples) for row in rows):
                    rows = [*(row for row in rows if not alike(row, **facts)),
                            corrupted(name, augment, seed, asked.examples)]
                    write_json(asked.out, rows)


if __name__ == "__main__":
    main()
