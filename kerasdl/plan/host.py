"""The same bounds on this machine's processor, where steps can be measured: how far the method is off."""

from typing import Any

from kerasdl.plan.talk import Compiler, refuse
from kerasdl.recipe import Recipe


def compare(recipe: Recipe) -> dict[str, Any]:
    """Bounds of the compiled step from its operations and bytes, and the fastest of a few measured steps.

    Returns:
        "bounds": seconds by what they follow from; "measured_seconds".
    """
    with Compiler(recipe, "cpu", "tensorflow") as compiler:
        found = compiler.about
        if "error" not in found:
            found = compiler.ask(batch=recipe.batch)
        if "error" in found:
            refuse(found, recipe, "cpu", recipe.batch)
    compute, memory = found["flops"] / found["rate"], found["bytes"] / found["bandwidth"]
    return {"label": "compiled, and run on this processor", "recipe": recipe.name or recipe.model,
            "settings": recipe.diff(), "on": "cpu", "batch": recipe.batch, **found,
            "bounds": {"operations": compute, "bytes": memory, "the larger": max(compute, memory),
                       "both": compute + memory},
            "versions": compiler.about["versions"]}
