"""Ahead-of-time compilation for a TPU that is not attached: libtpu's compiler runs on any x86-64 Linux machine."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

COLLECTIVE = re.compile(
    r"= (.+?) (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(-start)?\((.*)")
GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\])")  # {{0,1,2,3}}, or [1,4]<=[4]
TYPE = re.compile(r"([a-z]+)(\d+)\w*\[([\d,]*)\]")


def lower(function: Callable, state: Any, batch: Any, chips: list) -> jax.stages.Lowered:
    """Lower `function(state, batch)`, which returns the next state, for devices that hold the whole state each and
    share the batch; both are trees of shapes and dtypes."""
    mesh = Mesh(np.array(chips), ("batch",))

    def placed(tree, *axes):
        where = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree)

    return jax.jit(function, donate_argnums=0).lower(placed(state), placed(batch, "batch"))


def compile(lowered: jax.stages.Lowered) -> dict[str, Any]:
    """Compile, and return what the compiler says of the program on one chip.

    Returns:
        "flops"; "memory", the planned peak in bytes; "moved", bytes of batch, weights and slots; "cycles", the
        compiler's estimate, in which the body of a loop counts once; "collectives", see below.
    """
    compiled = lowered.compile()
    text, memory = compiled.as_text(), compiled.memory_analysis()
    return {"flops": compiled.cost_analysis()["flops"], "memory": memory.peak_memory_in_bytes,
            "moved": memory.argument_size_in_bytes + memory.output_size_in_bytes,
            "cycles": sum(map(int, re.findall(r'"estimated_cycles":"(\d+)"', text))), "collectives": collectives(text)}


def collectives(text: str) -> dict[str, dict[str, int]]:
    """Return {kind: {"operations", "bytes"}} of an optimised module's text.

    Bytes are those of what is reduced, gathered or sent: of the result, but of a reduce-scatter its operand, which is
    as many times as large as there are chips in a group.
    """
    found: dict[str, dict[str, int]] = {}
    for shape, kind, start, rest in COLLECTIVE.findall(text):
        sizes = [max(int(bits), 8) // 8 * math.prod(int(axis) for axis in axes.split(",") if axis)
                 for _, bits, axes in TYPE.findall(shape)
                 if axes or not start]  # the start of an asynchronous one has scalars of its own
        if start and kind in ("all-gather", "collective-permute"):  # its operands stand before its results
            sizes = sizes[len(sizes) // 2:]
        if kind == "reduce-scatter" and (groups := GROUPS.search(rest)):
            sizes = [size * (int(groups[2]) if groups[2] else groups[1].count(",") + 1) for size in sizes]
        entry = found.setdefault(kind, {"operations": 0, "bytes": 0})
        entry["operations"] += 1
        entry["bytes"] += sum(sizes)
    return found
