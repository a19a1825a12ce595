"""Rows of a table in 8 bits.

Columns differ in size, a year from a share, and 8 bits on one scale for all leave nothing of the small ones. So what
scales each column by its own deviation stays in float32, and what is rounded are its results.
"""

from typing import Any

FAR = 1e9  # deviations from the mean, which no number is
ARITHMETIC = ("Add", "Sub", "Mul", "Div")


def with_limits(network: Any) -> Any:
    """Return a Keras network of rows whose scaled columns have a limit, which changes no number.

    LiteRT's converter multiplies a scaling into the matrix behind it, and would round raw columns. It does not see
    through a limit.
    """
    import keras

    if len(network.input_shape) != 2:
        return network

    def call(layer, *args, **kwargs):
        found = layer(*args, **kwargs)
        return keras.ops.clip(found, -FAR, FAR) if isinstance(layer, keras.layers.Normalization) else found

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def scaling(graph: Any) -> list[str]:
    """Return the names of the nodes of an ONNX graph that scale its input, number by number."""
    scaled, found = {graph.input[0].name}, []
    for node in graph.node:
        if node.op_type in ARITHMETIC and not scaled.isdisjoint(node.input):
            scaled.update(node.output)
            found.append(node.name)
    return found
