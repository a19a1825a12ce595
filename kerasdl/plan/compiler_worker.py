"""The process that builds a step and compiles it: a JSON request on stdin, a JSON answer as the last line of stdout.

It is a process of its own because libtpu can abort, and because Keras chooses its backend once.
"""

import hashlib
import json
import re
import sys
from contextlib import suppress
from typing import Any

from jax.experimental.topologies import get_topology_desc

from kerasdl.files import cache, write_json
from kerasdl.installation.tpu import installed
from kerasdl.plan import aot, cpu_check
from kerasdl.plan.chips import CHIPS, Chip
from kerasdl.plan.max_batch import max_batch
from kerasdl.plan.step import Step
from kerasdl.recipe import Recipe

MOST = 2**16  # examples a chip where the size of the set is unknown
VERSIONS = {name: version for name in ("kerasdl", "keras", "tensorflow", "tensorflow-cpu", "tensorflow-tpu", "jax",
                                       "libtpu") if (version := installed(name))}  # they decide what is compiled
UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}


def answer(recipe: dict[str, Any], chip: str, chips: int, search: bool) -> dict[str, Any]:
    """Return "size", "weights" and "versions" of a recipe's step, "facts" of one chip among up to four, "several" of
    one among four, and with `search` "largest", see `max_batch`; or an "error". For "cpu" see `cpu_check.measured`."""
    settings = Recipe.model_validate_json(json.dumps(recipe))
    step = Step(settings)
    found = {"size": step.size, "weights": step.weights, "versions": VERSIONS}
    if chip == "cpu":
        return found | cpu_check.measured(step, settings.batch)
    kind, each = CHIPS[chip], settings.batch // chips
    facts = compiled(step, kind, each, min(chips, 4))
    if "error" in facts:
        return facts
    found |= {"facts": facts, "several": facts if chips > 1 else compiled(step, kind, each, 4)}
    if search:
        most, parts = step.size // chips if step.size else MOST, step.parts  # which divide every batch
        largest = max_batch(lambda part: compiled(step, kind, part * parts, 1), each // parts,
                            facts["flops"] / each * parts, most // parts)
        found["largest"] = {key: value * parts if type(value) is int else value for key, value in largest.items()}
    return found


def compiled(step: Step, chip: Chip, each: int, chips: int) -> dict[str, Any]:
    """Return `aot.compile` of the step with this batch a chip, or that it is too large; from the cache if possible."""
    name, options = chip.topology(chips)
    lowered = step.lower(each * chips, get_topology_desc(name, "tpu", **options).devices)
    key = "\n".join([lowered.as_text(), name, *VERSIONS.values()])
    path = cache() / "plans" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    with suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    try:
        found = aot.compile(lowered)
    except Exception as error:  # a JaxRuntimeError, whatever its status
        found = describe(error)
        if found["error"] != "TooLarge":
            raise
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    return found


def describe(error: Exception) -> dict[str, Any]:
    """Return an error as an answer: its kind and first line; for "TooLarge" the bytes too, 0 if unknown."""
    message = str(error).strip() or type(error).__name__
    if "RESOURCE_EXHAUSTED" in message and "hbm" in message.lower():
        sizes = re.findall(r"\b(\d+(?:\.\d+)?)([KMGT])\b", message)
        needed, available, *_ = *(float(number) * 2 ** UNITS[unit] for number, unit in sizes), 0.0, 0.0
        return {"error": "TooLarge", "needed": needed, "available": available}
    return {"error": type(error).__name__, "message": message.splitlines()[0]}


if __name__ == "__main__":
    try:
        print("\n" + json.dumps(answer(**json.load(sys.stdin))))
    except Exception as error:
        print("\n" + json.dumps(describe(error)))
