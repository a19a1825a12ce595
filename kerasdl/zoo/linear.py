"""Linear model: one Dense layer. On images a softmax classifier, on a table logistic or linear regression.

With a squared loss on a table it is ordinary least squares, and `least_squares` is the closed form that training
approaches.
"""

import keras
import numpy as np
from keras import layers

from kerasdl.zoo.blocks import entrance, head

PARAMETERS = 7_850  # trainable, 28x28x1 -> 10


def body(image_shape, *, name: str = "linear_body") -> keras.Model:
    """Return the scaled input flattened: {"features": (B, H*W*C)}."""
    inputs, x = entrance(image_shape, rows=True)
    return keras.Model(inputs, {"features": layers.Flatten(name="features")(x)}, name=name)


def build(image_shape, classes: int, *, name: str = "linear") -> keras.Model:
    """Build the model: images (B, H, W, C) 0..255, or rows (B, columns), -> float32 (B, classes).

    Args:
        image_shape: (height, width, channels), or the number of columns of a table.
        classes: number of classes, or of outputs in a regression.
        name: name of the model.

    Raises:
        ValueError: a shape that is neither.
    """
    network = body(image_shape)
    return keras.Model(network.input, head(network.output["features"], classes), name=name)


def least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the linear model with the least squared error, in closed form.

    Args:
        x: (N, columns) rows, as they reach the Dense layer.
        y: (N,) or (N, outputs) targets.

    Returns:
        kernel (columns, outputs) and bias (outputs,), shaped as in a Dense layer. If columns are linearly
        dependent, the solution of least norm.
    """
    x = np.asarray(x, "float64")
    y = np.asarray(y, "float64").reshape(len(x), -1)
    solution = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    return solution[:-1], solution[-1]
