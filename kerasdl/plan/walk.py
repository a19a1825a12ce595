"""What a TPU cannot run, found in the graph of a step before a compiler is asked: a line for each, with its place."""

import re
from collections.abc import Iterator

import tensorflow as tf

HOST = {"EagerPyFunc", "PyFunc", "PyFuncStateless", "NumpyFunction", "Print", "PrintV2", "Bucketize", "OutfeedEnqueue",
        "OutfeedEnqueueTuple", "InfeedDequeue", "InfeedDequeueTuple", "XlaHostCompute", "_XlaHostComputeMlir"}
BY_DATA = {"Where", "Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2", "DynamicPartition",
           "NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"}  # the result's shape depends on numbers
STRING = tf.string.as_datatype_enum


def faults(graph: tf.Graph) -> list[str]:
    """Host callbacks, string operations and shapes that are not known, in this graph and in the functions it calls."""
    found = []
    for node in nodes(graph):
        if node.op in HOST:
            found.append(f"{node.op} calls the host{place(node.name)}")
        elif node.op in BY_DATA:
            found.append(f"the shape that {node.op} gives depends on the data{place(node.name)}")
        elif node.op != "Assert" and strings(node):  # XLA leaves assertions out
            found.append(f"{node.op} has strings{place(node.name)}")
    for operation in graph.get_operations():
        for value in operation.outputs:
            if value.dtype not in (tf.resource, tf.variant, tf.string) and not value.shape.is_fully_defined():
                found.append(f"the shape of {operation.type} is not known: {value.shape}{place(operation.name)}")
    return list(dict.fromkeys(found))


def nodes(graph: tf.Graph) -> Iterator:
    """Of the graph and its functions."""
    definition = graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def strings(node) -> bool:
    """Whether a type among the node's attributes is that of strings."""
    return any(value.type == STRING or STRING in value.list.type for value in node.attr.values())


def place(name: str) -> str:
    """The layer that an operation's name tells of."""
    skipped = r"gradient_tape|\w*_1$|StatefulPartitionedCall"
    parts = [part for part in name.split("/")[:-1] if not re.match(skipped, part)]
    return f", in {'/'.join(parts[:3])}" if parts else ""
