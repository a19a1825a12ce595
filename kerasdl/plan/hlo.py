"""Run TensorFlow's HLO as a JAX function, so that JAX's public compiler takes it for any devices.

The one file of `plan` with names that JAX does not promise to keep, each with its reason. They were seen to work with
jax 0.10.2 and 0.12.0.1, and tests/test_plan.py runs them.
"""

import re
from collections.abc import Callable

import jax
from jax.core import ShapedArray  # the types of the module's results
from jax.extend.core import Primitive  # the JAX operation that stands for the module
from jax.extend.mlir import hlo_to_stablehlo, ir  # TensorFlow exports HLO and JAX compiles StableHLO; read its types
from jax.extend.mlir.dialects import func  # call the module's main function
from jax.interpreters import mlir  # make_ir_context, register_lowering, merge_mlir_modules, a lowering's module_context

from kerasdl.errors import UserError

KINDS = {"i": "int", "ui": "uint", "f": "float", "bf": "bfloat"}


def function(module: bytes) -> tuple[Callable[..., list], list[jax.ShapeDtypeStruct]]:
    """Return a JAX function that computes a serialized HLO module, and the types of its parameters; a shape that
    depends on the data is a UserError."""
    with mlir.make_ir_context():
        parsed = ir.Module.parse(hlo_to_stablehlo(module))
        text = str(parsed).replace("mhlo.copy", "stablehlo.convert")  # a copy cannot be lowered, and means nothing here
        if dynamic := re.search(r"(?<!#)(stablehlo\.\w+)[^\n]*tensor<[\dx]*\?", text):
            raise UserError(f"The step cannot run on a TPU: {dynamic[1]} has a shape that depends on the data.")
        signature = ir.SymbolTable(parsed.operation)["main"].type
        parameters, results = [list(map(array_type, types)) for types in (signature.inputs, signature.results)]

    def lower(context, *operands):
        target, callee = context.module_context, ir.Module.parse(text)
        types = ir.SymbolTable(callee.operation)["main"].type.results
        name = mlir.merge_mlir_modules(target.module, "step", callee, dst_symtab=target.symbol_table)
        return list(func.CallOp(types, ir.FlatSymbolRefAttr.get(name), operands).results)

    step = Primitive("tensorflow_step")
    step.multiple_results = True
    step.def_abstract_eval(lambda *_: [ShapedArray(result.shape, result.dtype) for result in results])
    mlir.register_lowering(step, lower)
    return step.bind, parameters


def array_type(value: ir.Type) -> jax.ShapeDtypeStruct:
    """Return the shape and dtype of an MLIR tensor type such as tensor<8x32xbf16>."""
    tensor = ir.RankedTensorType(value)
    kind, bits = re.findall(r"([a-z]+)(\d+)", str(tensor.element_type))[0]
    return jax.ShapeDtypeStruct(tuple(tensor.shape), "bool" if (kind, bits) == ("i", "1") else f"{KINDS[kind]}{bits}")
