"""What a TPU cannot run, found in the graph of a step before a compiler is asked: a line for each, with its place."""

import re
from collections.abc import Iterator

import tensorflow as tf

HOST = {"EagerPyFunc", "PyFunc", "PyFuncStateless", "NumpyFunction", "Print", "PrintV2", "Bucketize", "OutfeedEnqueue",
        "OutfeedEnqueueTuple", "InfeedDequeue", "InfeedDequeueTuple", "XlaHostCompute", "_XlaHostComputeMlir"}
BY_DATA = {"Where", "Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2", "DynamicPartition",
           "NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"}  # the result's shape depends on numbers


def faults(graph: tf.Graph) -> list[str]:
    """Host callbacks and shapes that depend on the data, in a graph and the functions it calls, and strings in it."""
    found = []
    for node in nodes(graph):
        if node.op in HOST:
            found.append(f"{node.op} calls the host{place(node.name)}")
        elif node.op in BY_DATA:
            found.append(f"the shape that {node.op} gives depends on the data{place(node.name)}")
    for operation in graph.get_operations():
        if any(value.dtype == tf.string for value in operation.outputs) and not for_assertion(operation):
            found.append(f"{operation.type} has strings{place(operation.name)}")
    return list(dict.fromkeys(found))


def nodes(graph: tf.Graph) -> Iterator:
    """Of the graph and its functions."""
    definition = graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def for_assertion(operation: tf.Operation) -> bool:
    """Whether it is a message of assertions, which XLA leaves out."""
    return all(user.type == "Assert" for value in operation.outputs for user in value.consumers())


def place(name: str) -> str:
    """The layer that an operation's name tells of."""
    skipped = r"gradient_tape|\w*_1$|StatefulPartitionedCall"
    parts = [part for part in name.split("/")[:-1] if not re.match(skipped, part)]
    return f", in {'/'.join(parts[:3])}" if parts else ""
