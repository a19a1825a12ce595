"""Programs for a TPU that is not there: HLO of a TensorFlow step, or a traced step of JAX, compiled by libtpu.

libtpu's compiler runs on any x86 Linux machine. What is not public of JAX is in `from_hlo` and `compile_module` and
nowhere else; it was seen to work with jax 0.10.2 and libtpu 0.0.42.1, and tests/test_plan.py runs it. Where a name is
gone, `Unusable` says so, and the plan takes its other route.
"""

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasdl.errors import UserError

COLLECTIVE = re.compile(r"= (.+?) (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(?:-start)?\(")
TYPE = re.compile(r"([a-z]+)(\d+)\w*\[([\d,]*)\]")
UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}


class Unusable(RuntimeError):
    """Something of JAX that is not public is not as it was, so a TensorFlow step cannot be compiled."""


class TooLarge(RuntimeError):
    """The program does not fit into a chip's memory.

    Attributes:
        needed: bytes, as far as the compiler told.
        available: bytes.
    """

    def __init__(self, message: str):
        super().__init__(message)
        sizes = [float(number) * 2 ** UNITS[unit]
                 for number, unit in re.findall(r"\b(\d+(?:\.\d+)?)([KMGT])\b", message)]
        self.needed, self.available = [*sizes, 0.0, 0.0][:2]


@dataclass(frozen=True)
class Program:
    """What `compile` takes.

    Attributes:
        text: of the program before it is compiled, the same for the same step.
        start: devices -> (the compiled program's text, its costs, its memory), as XLA has them.
    """

    text: str
    start: Callable[[list], tuple[str, dict[str, float], Any]]


def devices(topology: str, options: dict[str, Any]) -> list:
    """The devices of a topology that is not there.

    Raises:
        LookupError: libtpu does not know it.
        ImportError: JAX or libtpu is not installed.
    """
    import libtpu  # noqa: F401
    from jax.experimental import topologies

    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=topology, **options).devices)
    except Exception as error:  # a JaxRuntimeError, or whatever the plugin raises
        raise LookupError(f"libtpu does not know {topology}: {first_line(error)}") from None


def memory(chips: list) -> float:
    """Bytes that the compiler may use of a chip. It tells them when it is asked for too much."""
    import jax
    from jax.sharding import SingleDeviceSharding

    where = SingleDeviceSharding(chips[0])
    asked = jax.jit(lambda x: x + 1, in_shardings=where, out_shardings=where)
    try:
        asked.lower(jax.ShapeDtypeStruct((2**38,), "float32")).compile()
    except Exception as error:
        return TooLarge(str(error)).available
    raise LookupError("libtpu found room for a terabyte on one chip")


def from_hlo(hlo: bytes, chips: int, batched: int) -> Program:
    """A serialized HLO module of one device, for so many that share the batch; all else is on each of them.

    Args:
        hlo: of the global batch.
        batched: how many of the first parameters have the batch as their first axis.

    Raises:
        UserError: a shape is not known before the step runs.
        Unusable: a private name is not where it was.
    """
    try:
        from jax._src.interpreters import mlir
        from jax._src.lib import _jax
        from jax._src.lib.mlir import ir

        with mlir.make_ir_context():
            module = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(hlo))
            drop_copies(module.operation)
            if chips > 1:
                share(module, chips, batched)
            text = str(module)
    except (ImportError, AttributeError, TypeError) as error:
        raise Unusable(f"this JAX is not the one that plans were made for: {first_line(error)}") from error
    if dynamic := re.search(r"tensor<[\dx]*\?", text):
        line = text[text.rfind("\n", 0, dynamic.start()) + 1:dynamic.start()]
        names = re.findall(r"\bstablehlo\.\w+", line) or ["something"]
        raise UserError(f"The step cannot run on a TPU: {names[0]} has a shape that depends on the data.")
    return Program(text, lambda where: compile_module(text, where))


def compile_module(text: str, chips: list) -> tuple:
    """StableHLO, compiled for these devices; see Program."""
    try:
        from jax._src import compiler
        from jax._src.interpreters import mlir
        from jax._src.lib import _jax
        from jax._src.lib.mlir import ir

        options = compiler.get_compile_options(num_replicas=1, num_partitions=len(chips),
                                               device_assignment=np.arange(len(chips)).reshape(1, -1))
        if len(chips) > 1:
            options.executable_build_options.use_spmd_partitioning = True
            options.executable_build_options.use_shardy_partitioner = False  # it does not heed mhlo.sharding
        where, client = _jax.DeviceList(tuple(chips)), chips[0].client
        start = client.compile_and_load if client.platform == "cpu" else client.compile
        with mlir.make_ir_context():
            made = start(ir.Module.parse(text), executable_devices=where, compile_options=options)
        return made.hlo_modules()[0].to_string(), made.cost_analysis(), made.get_compiled_memory_stats()
    except (ImportError, AttributeError, TypeError) as error:
        raise Unusable(f"this JAX is not the one that plans were made for: {first_line(error)}") from error


def drop_copies(operation) -> None:
    """Takes out every mhlo.copy, which the TPU's compiler refuses and nothing needs."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in list(block.operations):
                drop_copies(inner.operation)
                if inner.operation.name == "mhlo.copy":
                    inner.operation.results[0].replace_all_uses_with(inner.operation.operands[0])
                    inner.operation.erase()


def share(module, chips: int, batched: int) -> None:
    """Says of each parameter that the chips divide its first axis, or that each chip has all of it."""
    from jax._src.lib.mlir import ir

    def sharding(index, value):
        rank = ir.RankedTensorType(value.type).rank
        by_batch = f"{{devices=[{','.join([str(chips)] + ['1'] * (rank - 1))}]<=[{chips}]}}"
        return ir.DictAttr.get({"mhlo.sharding": ir.StringAttr.get(by_batch if index < batched else "{replicated}")})

    main = next(op for op in module.body.operations if ir.StringAttr(op.attributes["sym_name"]).value == "main")
    arguments = main.regions[0].blocks[0].arguments
    main.attributes["arg_attrs"] = ir.ArrayAttr.get([sharding(*pair) for pair in enumerate(arguments)])
    module.operation.attributes["mhlo.num_partitions"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), chips)


def fingerprint(program: Program) -> str:
    """The same for the same step, whatever numbers TensorFlow gave its functions in this process."""
    names: dict[str, str] = {}
    plain = re.sub(r"@[\w.]+", lambda name: names.setdefault(name[0], f"@{len(names)}"), program.text)
    return hashlib.sha256(plain.encode()).hexdigest()


def compile(program: Program, chips: list) -> dict[str, Any]:
    """Compiles, and tells what the compiler says of the program, for one chip.

    `memory` is the peak that it planned; arguments and temporaries can be seven times less. `moved` are the bytes that
    come from and go to the memory at least: batch, weights and slots. `cycles` are the compiler's own estimate, of
    every fusion once, so that the body of a loop counts once. Not asked: "optimal_seconds" is negative on
    these chips, and "bytes accessed" counts what never leaves the chip's fast memory.

    Raises:
        TooLarge: it does not fit.
        Unusable: the batch was not shared among the chips.
    """
    try:
        text, cost, memory = program.start(chips)
    except Unusable:
        raise
    except Exception as error:  # a JaxRuntimeError, whatever its status
        if "RESOURCE_EXHAUSTED" in str(error) and "hbm" in str(error).lower():
            raise TooLarge(str(error)) from None
        raise
    found = collectives(text)
    if len(chips) > 1 and not found:
        raise Unusable("the compiler did not share the batch among the chips: no collective in the program")
    return {
        "flops": cost["flops"],
        "memory": memory.peak_memory_in_bytes,
        "moved": memory.argument_size_in_bytes + memory.output_size_in_bytes,
        "cycles": sum(map(int, re.findall(r'"estimated_cycles":"(\d+)"', text))),
        "collectives": found,
    }


def collectives(text: str) -> dict[str, dict[str, int]]:
    """{kind: {"operations", "bytes"}} of an optimised module's text."""
    found: dict[str, dict[str, int]] = {}
    for shape, kind in COLLECTIVE.findall(text):
        entry = found.setdefault(kind, {"operations": 0, "bytes": 0})
        entry["operations"] += 1
        entry["bytes"] += size(shape)
    return found


def size(shape: str) -> int:
    """Bytes of a shape as HLO writes it, a tuple's too: "(f32[64]{0}, bf16[3,3,64,64])"."""
    return sum(max(int(bits), 8) // 8 * math.prod(int(axis) for axis in axes.split(",") if axis)
               for _, bits, axes in TYPE.findall(shape))


def layer(message: str) -> str | None:
    """The first layer that a compiler's complaint names, if it names one."""
    names = re.findall(r'op_name="([^"]+)"', message)
    parts = [part for part in names[0].split("/") if not re.match(r"(jit|jvp|transpose|while)\b|.*\d+_grad$", part)] \
        if names else []
    return "/".join(parts[:2]) or None


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
