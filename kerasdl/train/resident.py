"""Many steps in one compiled call, over data that lives on the device.

Keras starts every step from Python: a batch from the pipeline, a call, the callbacks. For a small network that is most
of the time. Here the examples lie on the device as they are stored, a block of shuffled indices comes from the
pipeline, and one call gathers, augments and takes all steps of the block. `fit`, callbacks and `train_step` are Keras'
own and see a block as `steps_per_execution` steps.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data import Split, pipeline
from kerasdl.errors import UserError, nearest
from kerasdl.installation import backend
from kerasdl.zoo.cost import multiply_adds

FEEDS = ("auto", "resident", "streamed")
LIMIT = Path("/sys/fs/cgroup/memory.max")  # bytes, or "max": where Linux tells a container
SHARE = 0.25  # of the device's memory that the examples may take
STEPS = 256  # of a block, at most: a call costs 2 ms, a step of a linear model 0.2 ms
WORK = 1e11  # floating-point operations of a block, about: callbacks and signals wait for its end


class Source:
    """The training split on the device, and what is done to a batch. A plain object, so that Keras does not track it.

    Args:
        split: images or rows in memory.
        targets: (N, outputs) float32.
        augment: as in pipeline.shuffled.
        alternates: whether it reads the turns.
        seed: of augmentation.
        steps: of an epoch.
    """

    def __init__(self, split: Split, targets: np.ndarray, augment: pipeline.Augment | None, alternates: bool,
                 seed: int, steps: int):
        self.x, self.y, self.seed, self.steps = tf.constant(split.x), tf.constant(targets), seed, steps
        self.alternates = alternates
        self.augment = augment and tf.function(augment, jit_compile=True)  # as the pipeline has it

    def turns(self, index: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        """What `augment` wants to know of the examples in a block that begins with the step `first`."""
        if not self.alternates:
            return tf.zeros_like(index)
        return pipeline.turns(self.seed, first // self.steps, index, len(self.x))

    def batch(self, x: tf.Tensor, y: tf.Tensor, turn: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples and targets of a step as the network sees them; the same as in pipeline.shuffled."""
        if not self.augment:
            return x, y
        return self.augment(x, y, tf.stack([tf.constant(self.seed, tf.int64), step]), turn)


class Resident:
    """Mixin that takes the steps of a block in one call; its elements are those of pipeline.blocks.

    A block ends early at the first loss that is not finite, so that `optimizer.iterations` tells its step; not with
    several workers, which would wait for one another.
    """

    source: Source

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return self.train_function
        strategy, source = self.distribute_strategy, self.source
        workers = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

        def step(x, y):
            self.train_step((part(x), part(y)))
            return tf.math.is_finite(self._loss_tracker.total)

        def steps(first, count, x, y, turns):
            def body(i, finite):
                batch = source.batch(x[i], y[i], turns[i], first + i)
                finite = strategy.experimental_local_results(strategy.run(step, args=batch))
                return i + 1, tf.constant(True) if workers else tf.reduce_all(finite)

            zero = tf.zeros((), tf.int64)
            tf.while_loop(lambda i, finite: (i < count) & finite, body, (zero, tf.constant(True)))
            return self.get_metrics_result()

        compiled = tf.function(steps, jit_compile=self.jit_compile)

        @tf.function
        def block(iterator):
            first, count, index = (strategy.experimental_local_results(value)[0] for value in next(iterator))
            return compiled(first, count, tf.gather(source.x, index), tf.gather(source.y, index),
                            source.turns(index, first))

        self.train_function = block
        return block


def part(values: tf.Tensor) -> tf.Tensor:
    """This replica's part of a batch; called in a replica."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return values
    return tf.reshape(values, (replicas, -1, *values.shape[1:]))[context.replica_id_in_sync_group]


def chosen(feed: str, split: Split) -> bool:
    """Whether the examples stay on the device: "auto", "resident" or "streamed".

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
    """Whether the split is in memory, and small enough to stay on the device."""
    return isinstance(split.x, np.ndarray) and split.decode is None and split.x.nbytes <= SHARE * memory()


@functools.cache
def memory() -> int:
    """Bytes of the first GPU's memory, or of this machine's or container's."""
    if tf.config.list_physical_devices("GPU"):
        from tensorflow.python.client import device_lib

        return next(device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU")
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    container = LIMIT.read_text().strip() if LIMIT.is_file() else "max"
    return machine if container == "max" else min(machine, int(container))


def block_size(networks: Sequence[keras.Model], batch: int, steps: int) -> int:
    """Steps of a block: a function of recipe and data alone, for a run that goes on must cut its epochs alike."""
    most = max(1, min(STEPS, int(WORK / (6 * sum(map(multiply_adds, networks)) * batch))))
    return -(-steps // -(-steps // most))
