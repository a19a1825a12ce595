"""A plan: what a recipe's training step needs and may take on chips that are not attached. Compiled, not run."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from kerasdl.errors import UserError, nearest
from kerasdl.installation import versions
from kerasdl.installation.backend import BACKENDS
from kerasdl.plan import chips as kinds
from kerasdl.plan import estimate
from kerasdl.recipe import Recipe

QUIET = {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost",
         "TPU_ACCELERATOR_TYPE": "v5litepod-1",  # which silences libtpu where there is no TPU, whatever the chip
         "TPU_LOG_DIR": "disabled", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def plan(recipe: Recipe, on: str, *, batch: int | None = None, backend: str | None = None, price: float | None = None,
         search: bool = True) -> dict[str, Any]:
    """Return the plan of a recipe for a slice of chips.

    Args:
        on: "v5e-8" and the like, or "cpu": this machine, where the bounds are compared with measured steps.
        batch: examples a step over all chips; by default the recipe's.
        backend: "tensorflow" (the default) or "jax", whose step is compiled.
        price: of a chip for an hour.
        search: whether to look for the largest batch as well, which takes several compilations.

    A missing libtpu, an unknown slice, or a step that does not fit or compile is a UserError.
    """
    recipe, backend = recipe if batch is None else recipe.override(batch=batch), backend or BACKENDS[0]
    if backend not in BACKENDS:
        raise UserError(f"Unknown backend {backend!r}. {nearest(backend, BACKENDS)}")
    if recipe.private_settings is not None:
        raise UserError("No plan can be made for private training, whose step clips each example's gradient. Give "
                        "private={} for that of the same network without.")
    about = {"recipe": recipe.name or recipe.model, "settings": recipe.diff(), "on": on, "batch": recipe.batch,
             "backend": backend}
    if on == "cpu":
        if backend != "tensorflow":
            raise UserError(f"--on cpu measures TensorFlow's step. Leave out --backend {backend}.")
        return about | compile_step(recipe, on, "cpu", 1, backend, False)
    chip, chips = kinds.parse(on)
    parts = chips * recipe.accumulate
    if recipe.batch % parts:
        raise UserError(f"batch={recipe.batch} does not divide by the {chips} chips of {on}"
                        f"{f' x accumulate={recipe.accumulate}' * (recipe.accumulate > 1)}. "
                        f"Try --batch {max(recipe.batch // parts, 1) * parts}.")
    answer = compile_step(recipe, on, chip.name, chips, backend, search)
    return about | on_chips(answer, chip, chips, recipe.batch // chips, price)


def on_chips(answer: dict[str, Any], chip: kinds.Chip, chips: int, each: int, price: float | None) -> dict[str, Any]:
    """Return what follows from the worker's answer for a batch of `each` a chip."""
    facts = answer["facts"] | {"collectives": answer["several"].get("collectives", {})}
    rows = estimate.growth(facts, chip, each, answer["size"], price)
    row = next(row for row in rows if row["chips"] == chips)
    return {"label": "compiled, not run", "chip": chip.name, "chips": chips, "batch_per_chip": each,
            "compiled_chips": min(chips, 4), "memory": {"needed": facts["memory"], "available": chip.memory},
            "flops": facts["flops"], "compiler_seconds": facts["cycles"] / chip.clock,
            "step_seconds": row["step_seconds"], "images_per_second": row["images_per_second"],
            "collectives": facts["collectives"], "examples": answer["size"], "weights": answer["weights"],
            "price": price, "versions": answer["versions"], "growth": [] if "error" in answer["several"] else rows,
            "largest": answer.get("largest")}


def compile_step(recipe: Recipe, on: str, chip: str, chips: int, backend: str, search: bool) -> dict[str, Any]:
    """Return what `compiler_worker.answer` gives, computed in a new process; its errors become one line."""
    versions.check()
    for package in ("jax", "libtpu"):
        if find_spec(package) is None:
            raise UserError(f"A plan is compiled by {package}, which is not installed: pip install 'kerasdl[tf,plan]'")
    request = {"recipe": recipe.model_dump(mode="json"), "chip": chip, "chips": chips, "search": search}
    done = subprocess.run([sys.executable, "-P", "-m", "kerasdl.plan.compiler_worker"], input=json.dumps(request),
                          capture_output=True, text=True, env=os.environ | QUIET | {"KERAS_BACKEND": backend})
    if done.returncode or not done.stdout:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        raise UserError(", ".join([f"The process that compiles ended with exit code {done.returncode}", *last]))
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise UserError(refusal(answer, recipe, on, chips, backend))
    return answer


def refusal(answer: dict[str, Any], recipe: Recipe, on: str, chips: int, backend: str) -> str:
    """Return an answer's error as one line that says what to do."""
    name, each = recipe.name or recipe.model, recipe.batch // chips
    if answer["error"] == "UserError":
        return answer["message"]
    if answer["error"] == "TooLarge":
        needed, available = (answer[key] / 2**30 for key in ("needed", "available"))
        near = int(each * min(available / needed, 1.0)) if needed else each // 2
        near = max(near // recipe.accumulate, 1) * recipe.accumulate
        return (f"{name} with {each} examples a chip does not fit on {on}: it needs {needed:.2f} GiB of "
                f"{available:.2f} GiB. Try --batch {near * chips}, or more chips.")
    other = "jax" if backend == "tensorflow" else "tensorflow"
    return f"The step of {name} does not compile on {on}: {answer['message'].rstrip('.')}. Try --backend {other}."
