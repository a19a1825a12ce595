"""What a recipe's training is bound by on this machine: input, overhead or compute; and what comes before its steps."""

import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import tensorflow as tf

from kerasdl.installation import backend
from kerasdl.text import typed
from kerasdl.train.autotune import CALLS, speed
from kerasdl.train.setup import Setup

SMALL = 16  # a step of a 16th of the batch is mostly what does not depend on the batch


def profile(setup: Setup, folder: Path, began: float) -> list[str]:
    """Time a step, its input alone and a step of few examples, and write a TensorBoard profile of a few calls.

    Args:
        setup: of the training.
        folder: of the profile, which the first of several workers writes; the others only take their part.
        began: when the training did, on the clock time.perf_counter.

    Returns:
        Two lines: what takes the time before the steps, and what bounds them. None from the other workers.
    """
    now = time.perf_counter()
    batch, least = setup.recipe.batch, setup.devices.num_replicas_in_sync * setup.recipe.accumulate
    few = max(batch // SMALL // least, 1) * least
    call = setup.first_calls()
    call()
    before = {"imports": age() - (now - began), "data and building": now - began,
              "tracing, compiling and the first step": time.perf_counter() - now}
    step = batch / speed(call)
    # A step of private training computes as many places whatever the batch.
    small = None if setup.privacy else few / speed(setup.with_recipe(setup.recipe.override(batch=few)).first_calls())
    fed = 0.0 if setup.resident else batch / speed(elements(setup))
    with traced(folder) if setup.is_chief else nullcontext():
        for _ in range(CALLS):
            call()
    if not setup.is_chief:
        return []
    waits = "its examples are on the device" if setup.resident else f"its input alone {fed * 1e3:.3g} ms"
    return [f"profile: {', '.join(f'{what} {seconds:.1f} s' for what, seconds in before.items())}",
            f"profile: {f'bound by {verdict(step, fed, small)}: ' if small else ''}a step takes {step * 1e3:.3g} ms, "
            f"{waits}{f', and a step of {few} examples {small * 1e3:.3g} ms' if small else ''}. See it with: "
            f"tensorboard --logdir {typed(folder)}"]


def age() -> float:
    """Return for how many seconds this process has been there; its time on processors, where the system does not say.
    """
    try:
        ticks = float(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.process_time()


def traced(folder: Path) -> AbstractContextManager:
    """Within it what runs is written as a TensorBoard profile."""
    if backend.jax():
        import jax

        return jax.profiler.trace(str(folder))
    return tf.profiler.experimental.Profile(str(folder))


def elements(setup: Setup):
    """A function that takes a streamed batch, does nothing with it and returns the number of its examples."""
    setup = setup.with_recipe(setup.recipe.override(epochs=max(100, setup.recipe.epochs)))  # enough
    model, *_ = setup.networks()
    source = iter(setup.batches(model))

    def take():
        next(source)
        return setup.recipe.batch

    return take


def verdict(step: float, fed: float, small: float) -> str:
    """The word for a step of so many seconds, its input, and a step of few examples."""
    if fed > 0.7 * step:
        return "input"
    return "overhead" if small > 0.5 * step else "compute"
