"""jit=auto and precision=auto: a few steps of each candidate are timed, and the fastest is kept and remembered.

XLA makes dense networks faster on a processor and convolutions slower; bfloat16 helps where the device has a unit for
it. Neither can be known without trying.
"""

import hashlib
import itertools
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from kerasdl import user_code
from kerasdl.devices import strategy as strategies
from kerasdl.environment import environment
from kerasdl.files import cache, write_json
from kerasdl.installation import backend, programs
from kerasdl.recipe import Recipe

logger = logging.getLogger(__name__)
CALLS = 3  # of each candidate that are timed, after the one that compiles
CANDIDATES = {"jit": (False, True), "precision": ("float32", "mixed_bfloat16")}
IGNORED = {"name", "claim", "data_args", "splits", "epochs", "lr", "schedule", "warmup", "weight_decay", "patience",
           "keep", "seed"}  # fields of a recipe that do not decide which candidate is the fastest


def autotune(recipe: Recipe, noted: dict[str, Any] | None, shape: Any, device: str, devices: tf.distribute.Strategy,
           resident: bool, start: Callable[[Recipe], Callable[[], int]]) -> dict[str, Any]:
    """Resolve every "auto" field: from the run's own record, else the cache, else by timing the candidates.

    Args:
        recipe: what was asked for.
        noted: what this function gave when the run began.
        shape: of an example.
        device: its name.
        devices: the strategy. XLA is no candidate under replicas; several workers, who would have to agree, measure
            nothing and take float32.
        resident: whether the examples are on the device, or are fed and may be what is waited for.
        start: recipe -> a function that trains one call and returns the number of its examples.

    Returns:
        {field: value} and, where something was measured, "examples_per_second": {candidate: speed}; {} without an
        "auto".
    """
    fields = [key for key in CANDIDATES if getattr(recipe, key) == "auto"]
    if not fields or noted:
        return noted or {}
    if strategies.describe(devices) == "multiworker":
        return {key: CANDIDATES[key][0] for key in fields}
    memory = remembered(recipe, shape, device, devices, resident)
    try:
        return json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never measured, or not readable
        choice = measure(recipe, fields, devices, start)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, choice)
    except OSError:
        pass  # what cannot be remembered is measured again next time
    return choice


def apply(recipe: Recipe, choice: dict[str, Any]) -> Recipe:
    """Return the recipe with the choice in place of "auto"."""
    return recipe.override(**{key: choice[key] for key in CANDIDATES if key in choice})


def measure(recipe: Recipe, fields: list[str], devices: tf.distribute.Strategy,
            start: Callable[[Recipe], Callable[[], int]]) -> dict[str, Any]:
    """{field: the value of the fastest candidate, "examples_per_second": {candidate: speed}}.

    A candidate that does not run is left out: XLA has no kernel for some operations, and some take more memory.

    Raises:
        tf.errors.OpError, or JAX's own: that of the last one, if none runs.
    """
    speeds: dict[tuple[Any, ...], float] = {}
    failed: Exception | None = None
    for values in itertools.product(*(CANDIDATES[key] for key in fields)):
        candidate: dict[str, Any] = dict(zip(fields, values, strict=True))
        if recipe.quantize and candidate.get("precision", "float32") != "float32":
            continue
        if "jit" not in candidate or strategies.jit(devices, candidate["jit"]) == candidate["jit"]:
            try:
                speeds[values] = speed(start(recipe.override(**candidate)), max(speeds.values(), default=0.0))
            except failures() as error:
                failed = error.with_traceback(None)  # which would hold its memory
                logger.info("auto: %s does not run here: %s", named(fields, values), str(error).partition("\n")[0])
    if failed and not speeds:
        raise failed
    best = max(speeds, key=speeds.__getitem__)
    return dict(zip(fields, best, strict=True)) | {"examples_per_second": {
        named(fields, values): round(rate, 1) for values, rate in speeds.items()}}


def failures() -> tuple[type[Exception], ...]:
    """Return the errors of a step that cannot be compiled, or does not fit into the memory."""
    if backend.jax():
        import jax

        return (jax.errors.JaxRuntimeError,)
    return (tf.errors.OpError,)


def named(fields: list[str], values: tuple[Any, ...]) -> str:
    """Return what a candidate is called: "jit=false precision=float32"."""
    return " ".join(f"{key}={value}".lower() for key, value in zip(fields, values, strict=True))


def speed(call: Callable[[], int], best: float = 0.0) -> float:
    """Return the examples a second of the fastest of a few calls; the first one, which compiles, is not counted.

    One call is enough to see that it does not come near the `best` so far: XLA's convolutions can take minutes.
    """
    call()
    rates: list[float] = []
    while len(rates) < CALLS and (not rates or rates[-1] > best / 2):
        began = time.perf_counter()
        rates.append(call() / (time.perf_counter() - began))
    return max(rates)


def summary(choice: dict[str, Any]) -> str:
    """Return the choice as one line for the log."""
    chosen = " ".join(f"{key}={choice[key]}".lower() for key in CANDIDATES if key in choice)
    speeds = ", ".join(f"{name} {rate:,.0f}" for name, rate in choice.get("examples_per_second", {}).items())
    return f"auto: {chosen}" + f" ({speeds} examples/s)" * bool(speeds)


def remembered(recipe: Recipe, shape: Any, device: str, devices: tf.distribute.Strategy, resident: bool) -> Path:
    """Return the file that holds the choice for such a recipe on such a machine; KERASDL_CACHE names another folder."""
    facts = {key: value for key, value in recipe.model_dump(mode="json").items() if key not in IGNORED}
    machine = {key: value for key, value in environment().items() if key != "git"} | {
        flag: os.environ[flag] for flag in programs.FLAGS if flag in os.environ}
    own = [user_code.digest(user_code.check(name)) for name in user_code.references(recipe)]
    key = json.dumps([facts, own, machine, shape, backend.current(), device, strategies.describe(devices),
                      devices.num_replicas_in_sync, resident])
    return cache() / "choices" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
