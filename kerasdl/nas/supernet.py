"""All cells in one network: each edge computes every operation, and one of them counts.

Single path, one shot (Guo et al. 2020, arXiv:1904.00420): a training step draws one operation for each edge, the same
in all cells, and trains that path. Afterwards any cell can be chosen, and answers with the weights that it shares with
all others. Layers have the names that they have in `kerasdl.zoo.cell`, whose networks can begin with these weights.
"""

import keras
from keras import layers, ops

from kerasdl.zoo import cell
from kerasdl.zoo.blocks import entrance, head, lookup

EDGES = ("01", "02", "12", "03", "13", "23")


@keras.saving.register_keras_serializable(package="kerasdl")
class Path(layers.Layer):
    """Draw an operation for each edge: anything -> one row for each edge, 1 at its operation, (6, 5).

    In training the path is random, unless it was fixed by `select`; in inference it is the selected one.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator()

    def build(self, input_shape):
        shape = len(EDGES), len(cell.OPERATIONS)
        self.selected = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="selected")
        self.selected.assign(self.rows(dict.fromkeys(EDGES, "conv3")))  # of validation while it trains
        self.fixed = self.add_weight(shape=(), initializer="zeros", trainable=False, name="fixed")

    def select(self, edges):
        """Fix the operations, {"01": "conv3", ...}; what is missing is "none"."""
        self.selected.assign(self.rows(edges))
        self.fixed.assign(1.0)

    @staticmethod
    def rows(edges):
        return [[float(edges.get(edge, "none") == kind) for kind in cell.OPERATIONS] for edge in EDGES]

    def call(self, x, training=False):
        if not training:
            return ops.convert_to_tensor(self.selected)
        count = len(cell.OPERATIONS)
        drawn = keras.random.randint((len(EDGES),), 0, count, seed=self.seeds)
        return ops.where(self.fixed > 0.5, self.selected, ops.one_hot(drawn, count, dtype=self.selected.dtype))

    def compute_output_spec(self, x, training=False):
        return keras.KerasTensor((len(EDGES), len(cell.OPERATIONS)), dtype=self.variable_dtype)


@keras.saving.register_keras_serializable(package="kerasdl")
class Chosen(layers.Layer):
    """Add up what operations made of a node, weighted by an edge's row of the path."""

    def __init__(self, edge, **kwargs):
        super().__init__(**kwargs)
        self.edge = edge

    def call(self, outputs, path):
        row = ops.cast(path[self.edge], self.compute_dtype)
        return sum(row[at] * output for at, output in enumerate(outputs, 1))  # the first operation is "none"

    def get_config(self):
        return super().get_config() | {"edge": self.edge}


def super_cell(x, path, name):
    """Apply all cells at once, (B, H, W, C) -> (B, H, W, C)."""
    nodes = [x]
    for end in range(1, cell.NODES):
        into = []
        for start in range(end):
            edge = f"{start}{end}"
            made = [cell.operation(nodes[start], kind, f"{name}_edge{edge}_{kind}") for kind in cell.OPERATIONS[1:]]
            into.append(Chosen(EDGES.index(edge), name=f"{name}_edge{edge}")(made, path))
        nodes.append(into[0] if len(into) == 1 else layers.Add(name=f"{name}_node{end}")(into))
    return nodes[-1]


def build(image_shape, classes, *, size: str = "S", name: str = "supernet"):
    """Build the network of all cells of a size of `kerasdl.zoo.cell`."""
    widths, repeats = lookup(cell.SIZES, size)
    inputs, x = entrance(image_shape, low=-1.0)
    path = Path(name="path")(x)
    x = cell.norm(cell.conv(x, widths[0], 3, 1, "stem_conv"), "stem_norm")
    for i, width in enumerate(widths, 1):
        x = cell.reduction(x, width, f"stage{i}_reduction") if i > 1 else x
        for j in range(1, repeats + 1):
            x = super_cell(x, path, f"stage{i}_cell{j}")
    x = layers.ReLU(name="relu")(cell.norm(x, "norm"))
    return keras.Model(inputs, head(layers.GlobalAveragePooling2D(name="features")(x), classes), name=name)
