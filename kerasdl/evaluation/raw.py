"""What no network has seen, as features: pixels, columns, steps, or counts of tokens."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasdl.data import Split

SIDE = 32  # pixels: larger images are averaged down to it before they are features


def features(splits: Mapping[str, Split], batch: int = 256) -> dict[str, np.ndarray]:
    """Return what no network has seen as features (N, D) float32 of each split: pixels, columns, steps, or counts of
    tokens. Missing steps are 0."""
    return {name: np.concatenate([_flat(np.asarray(x), split) for x, *_ in split.dataset(batch)])
            for name, split in splits.items()}


def _flat(x: Any, split: Split) -> np.ndarray:
    if split.kind == "tokens":
        size = split.build_args["vocabulary"]
        return np.stack([np.bincount(row[row > 0], minlength=size) for row in x]).astype("float32")
    if split.kind == "image" and max(x.shape[1:3]) > SIDE:
        import tensorflow as tf

        x = tf.image.resize(x, [min(SIDE, side) for side in x.shape[1:3]], "area").numpy()
    return np.nan_to_num(x.reshape(len(x), -1).astype("float32"))
