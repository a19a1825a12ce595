"""Check a method on a model: all that can be said of how far its maps can be trusted, and one verdict."""

from typing import Any

import numpy as np

from kerasdl.explain import controls, methods
from kerasdl.explain.checks.completeness import completeness
from kerasdl.explain.checks.faithfulness import Probability, faithfulness, softmax_of
from kerasdl.explain.checks.planted import Planted, mass
from kerasdl.explain.checks.randomisation import randomisation
from kerasdl.explain.explanation import Explanation, explain, places
from kerasdl.explain.network import Network

CASCADE = 32  # examples whose maps are compared while weights are randomised
QUESTIONS = {"completeness": "does not sum to what it explains", "randomisation": "hardly depends on the weights",
             "faithfulness": "does not beat maps that know nothing of the model",
             "planted": "misses the patch that alone decides"}
EMPTY = "gives no map that differs from place to place"


def check(network: Network, x: np.ndarray, method: str, *, target: int | None = None, planted: Planted | None = None,
          probability: Probability | None = softmax_of, seed: int = 0, **settings: Any) -> dict[str, Any]:
    """Return what the checks found for a method on a model.

    Args:
        network: the model.
        x: (N, ...) examples that it did not learn from.
        method: an attribution method that fits the model.
        target: the output that is explained; None: the largest of each example.
        planted: a network of the same architecture that has learned from planted examples; None: leave that check out.
        probability: of logits; None: the model predicts numbers, and has no curves of insertion and deletion.
        seed: of all that is random, in the method too.
        **settings: of the method.

    Returns:
        `examples`, `completeness` for a method whose numbers have to sum, `randomisation`, `faithfulness`, `planted`,
        each with `passed`, which is None of `randomisation` where no map differs from place to place; `zero`, the share
        of maps that are 0 everywhere; `trusted`, whether all were passed; and `why` not, a list of clauses.
    """
    module = methods.check(method, network)
    if "seed" in methods.settings(module):
        settings["seed"] = seed
    found = explain(network, x, method, target=target, **settings)
    report: dict[str, Any] = {"examples": len(x),
                              "zero": float((np.abs(found.maps).reshape(len(x), -1).max(axis=1) == 0).mean())}
    if getattr(module, "COMPLETE", False):
        report["completeness"] = completeness(network, x, found)
    few = x[:CASCADE]
    report["randomisation"] = randomisation(
        network, few, lambda: with_signs(network, few, explain(
            network, few, method, target=found.target[:CASCADE], **settings)), seed)
    if probability is not None:
        maps = {method: found.maps, **{name: function(network, x, seed)
                                       for name, function in controls.CONTROLS[network.kind].items()}}
        report["faithfulness"] = faithfulness(network, x, found.target, maps, method, probability, seed)
    if planted is not None:
        own = explain(planted.network, planted.x, method, target=planted.y, **settings)
        report["planted"] = mass(own.maps, planted, coarse(module, planted.network, own))
    passed = {name: report[name]["passed"] for name in QUESTIONS if name in report}
    why = [QUESTIONS[name] for name, each in passed.items() if each is not None and not each]
    if passed["randomisation"] is None:
        why.append(EMPTY)
    return report | {"trusted": not why, "why": why}


def with_signs(network: Network, x: np.ndarray, found: Explanation) -> np.ndarray:
    """Return maps with the signs that the method's values have: those of a gradient, of which maps show the size."""
    module = methods.find(found.method)
    return found.maps if hasattr(module, "maps") else places(network, x, found.values, signed=True)


def coarse(module: Any, network: Network, found: Explanation) -> tuple[int, ...] | None:
    """Return the grid of a method whose values are on a coarser one than its maps; None: on the same."""
    if hasattr(module, "grid"):
        return module.grid(network, found.values)
    return None
