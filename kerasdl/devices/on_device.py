"""Data that stays on the device: whether it fits, and which part of a batch a replica takes."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data import Split
from kerasdl.errors import UserError, nearest
from kerasdl.installation import backend
from kerasdl.zoo.cost import multiply_adds

FEEDS = ("auto", "resident", "streamed")
LIMIT = Path("/sys/fs/cgroup/memory.max")  # bytes, or "max": where Linux limits a container
SHARE = 0.25  # of the device's memory that the examples may take
STEPS = 256  # of a block, at most: a call costs 2 ms, a step of a linear model 0.2 ms
WORK = 1e11  # floating-point operations of a block, about: callbacks and signals wait for its end


def replica_slice(values: tf.Tensor, parts: int = 1) -> tf.Tensor:
    """Return this replica's part of a batch: its share of each of the `parts` that are micro-batches of one device.

    Call it inside a replica.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1 or values is None:  # no labels
        return values
    sides = tf.unstack(tf.shape(values)) if None in values.shape[1:] else values.shape  # of batches that were trimmed
    own = tf.reshape(values, (parts, replicas, -1, *sides[1:]))[:, context.replica_id_in_sync_group]
    return tf.reshape(own, (-1, *sides[1:]))


def is_resident(feed: str, split: Split) -> bool:
    """Return whether the examples stay on the device under this feed: "auto", "resident" or "streamed".

    Raises:
        UserError: an unknown feed, or examples that cannot stay there.
    """
    if feed not in FEEDS:
        raise UserError(f"Unknown feed {feed!r}. {nearest(feed, FEEDS)}")
    if backend.jax():
        if feed == "resident":
            raise UserError("feed=resident is for --backend tensorflow. With JAX use feed=streamed.")
        return False
    if feed == "resident" and not fits(split):
        raise UserError("feed=resident needs the training examples decoded in memory, in at most "
                        f"{SHARE:.0%} of the device's {memory() / 2**30:.1f} GiB. Use feed=streamed.")
    return feed != "streamed" and fits(split)


def fits(split: Split) -> bool:
    """Return whether the split is in memory, and small enough to stay on the device."""
    return isinstance(split.x, np.ndarray) and split.decode is None and split.x.nbytes <= SHARE * memory()


@functools.cache
def memory() -> int:
    """Return the bytes of the first GPU's memory, or of this machine's or container's."""
    if tf.config.list_physical_devices("GPU"):
        from tensorflow.python.client import device_lib

        return next(device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU")
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    container = LIMIT.read_text(encoding="utf-8").strip() if LIMIT.is_file() else "max"
    return machine if container == "max" else min(machine, int(container))


def block_size(networks: Sequence[keras.Model], batch: int, steps: int, length: int = 1) -> int:
    """Return the steps of a block: a function of recipe and data alone, so that a resumed run cuts its epochs alike.

    Args:
        networks: that train.
        batch: examples a step.
        steps: of an epoch.
        length: steps of a sequence, for networks that take any number.
    """
    work = max(1, sum(multiply_adds(network, length) for network in networks))  # 0 without a weight called kernel
    most = max(1, min(STEPS, int(WORK / (6 * work * batch))))
    return -(-steps // -(-steps // most))
