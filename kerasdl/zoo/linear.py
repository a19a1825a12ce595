"""Linear model: one Dense layer. On images a softmax classifier, on a table logistic or linear regression.

Departs from nothing: with a squared loss on a table it is ordinary least squares, and `least_squares` is the
closed form that training has to reach.
"""

import keras
import numpy as np
from keras import layers

from kerasdl.zoo.blocks import entrance, head

PARAMETERS = 7_850  # trainable, 28x28x1 -> 10


def build(image_shape, classes: int, *, name: str = "linear") -> keras.Model:
    """Images (B, H, W, C) 0..255, or rows (B, columns), -> float32 (B, classes).

    Args:
        image_shape: (height, width, channels), or the number of columns of a table.
        classes: number of classes, or of outputs in a regression.
        name: name of the model.

    Raises:
        ValueError: a shape that is neither.
    """
    inputs, x = entrance(image_shape, rows=True)
    x = layers.Flatten(name="features")(x)  # (B, H*W*C)
    return keras.Model(inputs, head(x, classes), name=name)


def least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The linear model with the least squared error, in closed form.

    Args:
        x: (N, columns) rows, as they reach the Dense layer.
        y: (N,) or (N, outputs) targets.

    Returns:
        kernel (columns, outputs) and bias (outputs,), shaped as a Dense layer holds them. Where columns
        depend on each other, the solution of least norm.
    """
    x = np.asarray(x, "float64")
    y = np.asarray(y, "float64").reshape(len(x), -1)
    solution = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    return solution[:-1], solution[-1]
