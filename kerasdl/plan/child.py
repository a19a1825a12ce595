"""The process that builds the step and compiles it: questions and answers, a line of JSON each, on stdin and stdout.

A process of its own, because libtpu writes where it likes and can abort, and because Keras' backend is chosen once.
{"recipe", "chip"} says of what the questions after it are: {"batch", "chips"} with the global batch, or {"batch"} where
the chip is "cpu". What was compiled before, by the same versions, is read from the cache.
"""

import hashlib
import json
import os
import sys
import time

from kerasdl.files import cache, write_json
from kerasdl.installation.tpu import installed
from kerasdl.plan import lower
from kerasdl.plan.chips import CHIPS, Chip
from kerasdl.plan.measure import measured
from kerasdl.plan.step import Step, make
from kerasdl.recipe import Recipe


def main() -> None:
    """Answers until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr

    def answer(**values) -> None:
        print(json.dumps(values), file=answers, flush=True)

    step = chip = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "recipe" in asked:
                chip = CHIPS.get(asked["chip"])
                limit = lower.memory(lower.devices(*chip.topology(1))) if chip else None
                step = make(Recipe.model_validate_json(json.dumps(asked["recipe"])), tpu=chip is not None)
                answer(memory=limit, size=step.size, weights=step.weights, statistics=step.statistics,
                       versions=versions())
            else:
                answer(**compiled(step, chip, **asked) if chip else measured(step, **asked))
        except Exception as error:
            answer(**told(error))


def compiled(step: Step, chip: Chip, batch: int, chips: int) -> dict:
    """What the compiler says of the step for this global batch, or said when it was asked before."""
    devices = lower.devices(*chip.topology(chips))
    program = step.program(batch, devices)
    known = json.dumps([lower.fingerprint(program), chip.name, chips, versions()])
    memory = cache() / "plans" / f"{hashlib.sha256(known.encode()).hexdigest()[:24]}.json"
    try:
        return json.loads(memory.read_text())
    except (OSError, ValueError):
        pass  # never compiled, or not readable
    began = time.perf_counter()
    try:
        found = lower.compile(program, devices)
    except lower.TooLarge as error:
        found = told(error)
    found["compile_seconds"] = round(time.perf_counter() - began, 1)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, found)
    except OSError:
        pass  # what cannot be remembered is compiled again
    return found


def told(error: Exception) -> dict:
    """An error as an answer: its kind, its first line and, of a step that is too large, what it needs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    found = {"error": type(error).__name__, "message": lines[0]}
    if layer := lower.layer(str(error)):
        found["layer"] = layer
    if isinstance(error, lower.TooLarge):
        found |= {"needed": error.needed, "available": error.available}
    return found


def versions() -> dict[str, str]:
    """What decides how a step is lowered and compiled."""
    packages = ("kerasdl", "keras", "tensorflow", "tensorflow-cpu", "tensorflow-tpu", "jax", "libtpu")
    return {name: version for name in packages if (version := installed(name))}


if __name__ == "__main__":
    main()
