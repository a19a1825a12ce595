"""Boosted trees as a layer, so that a model of them is a .keras file of plain arrays, which no pickle has to load.

Friedman 2001, "Greedy function approximation: a gradient boosting machine". Trees are grown elsewhere, and answer here.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from kerasdl.zoo.blocks import head

FIELDS = ("feature", "threshold", "left", "right", "value")  # of a node


@keras.saving.register_keras_serializable(package="kerasdl")
class Trees(layers.Layer):
    """Sum the leaves that rows (B, F) reach in trees: float32 (B, outputs).

    A node sends a row to its left if the number of its feature is at most its threshold. A leaf sends it to itself, so
    that all trees take as many steps as the deepest. Nodes of all trees stand in one array for each of FIELDS.

    Args:
        trees: how many there are; tree number i adds to output i modulo `outputs`.
        nodes: of all trees together.
        depth: of the deepest.
        outputs: how many numbers a row gets.
    """

    def __init__(self, trees, nodes, depth, outputs, **kwargs):
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        self.trees, self.nodes, self.depth, self.outputs = trees, nodes, depth, outputs

    def build(self, input_shape):
        whole = {"initializer": "zeros", "trainable": False, "dtype": "int32"}
        real = {"initializer": "zeros", "trainable": False, "dtype": "float32"}
        self.root = self.add_weight(shape=(self.trees,), name="root", **whole)
        for name in FIELDS:
            kind = real if name in ("threshold", "value") else whole
            setattr(self, name, self.add_weight(shape=(self.nodes,), name=name, **kind))
        self.base = self.add_weight(shape=(self.outputs,), name="base", **real)

    def call(self, rows):
        node = ops.broadcast_to(ops.expand_dims(self.root, 0), (ops.shape(rows)[0], self.trees))
        for _ in range(self.depth):
            number = ops.take_along_axis(rows, ops.take(self.feature, node), axis=1)
            left = number <= ops.take(self.threshold, node)
            node = ops.where(left, ops.take(self.left, node), ops.take(self.right, node))
        leaves = ops.reshape(ops.take(self.value, node), (-1, self.trees // self.outputs, self.outputs))
        return ops.sum(leaves, axis=1) + self.base

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.outputs)

    def get_config(self):
        return super().get_config() | {"trees": self.trees, "nodes": self.nodes, "depth": self.depth,
                                       "outputs": self.outputs}


def build(columns: int, classes: int, trees: Sequence[dict[str, np.ndarray]], base: np.ndarray, kernel: np.ndarray,
          bias: np.ndarray, name: str = "trees") -> keras.Model:
    """Build a model of trees: rows (B, columns) -> float32 "logits" (B, classes).

    Args:
        columns: of a row.
        classes: number of classes, or of outputs in a regression.
        trees: the nodes of each, {field of FIELDS: (nodes,)}; the first is the root, and `left` and `right` are places
            in the same tree. Those of one round stand together, one for each output.
        base: (outputs,) what all rows begin with.
        kernel, bias: (outputs, classes) and (classes,), from the outputs of the trees to the logits.
        name: name of the model.
    """
    begins = np.cumsum([0, *(len(tree["value"]) for tree in trees)])
    joined = {field: np.concatenate([tree[field] + (begin if field in ("left", "right") else 0)
                                     for tree, begin in zip(trees, begins, strict=False)]) for field in FIELDS}
    inputs = keras.Input((columns,), name="row")
    layer = Trees(len(trees), int(begins[-1]), max(map(depth, trees)), len(base), name="features")
    network = keras.Model(inputs, head(layer(inputs), classes), name=name)
    layer.set_weights([begins[:-1], *(joined[field] for field in FIELDS), base])
    network.get_layer("logits").set_weights([kernel, bias])
    return network


def depth(tree: dict[str, np.ndarray]) -> int:
    """Return how many steps it takes from the root of a tree to its deepest leaf."""
    steps, nodes = 0, np.array([0])
    while len(nodes := nodes[tree["left"][nodes] != nodes]):
        nodes, steps = np.concatenate([tree["left"][nodes], tree["right"][nodes]]), steps + 1
    return steps


def rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest float32 that is at most each float64: it parts float32 numbers as the float64 does."""
    found = thresholds.astype("float32")
    return np.where(found > thresholds, np.nextafter(found, np.float32(-np.inf)), found)
