"""What stays in float32 in a file of 8 bits, because one scale for all its numbers would leave nothing of most."""

from typing import Any

FAR = 1e9  # deviations from the mean, which no number is
HUGE = 1e6  # numbers that say "not this one" to a softmax or a maximum are larger
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
REDUCED = ("Softmax", "ReduceMax")  # what is huge ends there
MATRICES = ("MatMul", "Gemm", "Conv", "Gather")
CURVED = {"Softmax", "Erf"}


def with_limits(network: Any) -> Any:
    """Return a Keras network of rows whose scaled columns have a limit, which changes no number.

    Columns differ in size, a year from a share. LiteRT's converter multiplies their scaling into the matrix behind it,
    and would round raw columns. It does not see through a limit.
    """
    import keras

    from kerasdl.compression.graph import functional

    scaling = {layer.name for layer in network.layers
               if isinstance(layer, keras.layers.Normalization) and not layer.invert}
    if len(network.input_shape) != 2 or not scaling:
        return network

    def call(layer, *args, **kwargs):
        found = layer(*args, **kwargs)
        return keras.ops.clip(found, -FAR, FAR) if layer.name in scaling else found

    return keras.models.clone_model(functional(network), clone_function=lambda layer: layer, call_function=call)


def nodes(graph: Any, rows: bool) -> list[str]:
    """Return the names of the nodes of an ONNX graph that stay as they are: those that scale the columns of rows, those
    that read the huge numbers of a mask, and those that bring answers to the units of targets."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    scaled = {graph.input[0].name} if rows else set()
    masks = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT
             and np.abs(numpy_helper.to_array(tensor)).max(initial=0) >= HUGE}
    found = []
    for node in graph.node:
        if node.op_type in ARITHMETIC and not scaled.isdisjoint(node.input):
            scaled.update(node.output)
            found.append(node.name)
        elif not masks.isdisjoint(node.input) and node.op_type not in MATRICES:
            masks.update(node.output if node.op_type not in REDUCED else ())
            found.append(node.name)
    return [*found, *(name for name in scaling_answers(graph) if name not in found)]


def scaling_answers(graph: Any) -> list[str]:
    """Return the names of the arithmetic with constants that ends an ONNX graph, if it scales: a price and a rating
    have no scale in common. What only adds is the bias of a matrix."""
    constants = {tensor.name for tensor in graph.initializer}
    makers, name, found = {node.output[0]: node for node in graph.node}, graph.output[0].name, []
    while (node := makers.get(name)) and node.op_type in ARITHMETIC and not constants.isdisjoint(node.input):
        name = next(each for each in (*node.input, "") if each not in constants)
        found.append(node)
    return [node.name for node in found] if {"Mul", "Div"} & {node.op_type for node in found} else []


def kinds(graph: Any) -> list[str] | None:
    """Return the operations of an ONNX graph that are rounded; None: all that can be.

    Where there is attention or GELU these are the matrices alone: with the rest in 8 bits, too, a transformer of series
    lost a third of its right answers, and files were larger and slower.
    """
    return list(MATRICES) if CURVED & {node.op_type for node in graph.node} else None
