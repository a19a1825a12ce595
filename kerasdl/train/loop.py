"""The compiled training call: gather, augment, step, average. Keras' `fit` calls it, and sees a block of steps as one.

Keras starts every step from Python: a batch from the pipeline, a call, the callbacks. For a small network that is most
of the time. Where the examples fit on the device they lie there as they are stored, the pipeline gives a block of
shuffled indices, and one call takes all steps of the block. `fit` uses a train_function that is already set.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from kerasdl.data import Split, pipeline, poisson
from kerasdl.devices.on_device import replica_slice
from kerasdl.train import fast_layers, optim

After = Callable[[Any], None]  # of the number of steps taken


class DeviceDataset:
    """The training split on the device, and what is done to a batch.

    Args:
        split: examples in memory.
        targets: (N, ...), or None without labels.
        transform: pipeline.transform, augmentation and the objective's `prepare`; None: nothing.
        alternates: whether `transform` reads the parity of an example's epochs.
        seed: of the run.
        steps: of an epoch.
        sampled: whether a block holds the index of no example for a place that stays empty.
    """

    def __init__(self, split: Split, targets: np.ndarray | None, transform: Callable | None, alternates: bool,
                 seed: int, steps: int, sampled: bool = False):
        self.data = tuple(tf.constant(values) for values in (split.x, *pipeline.targets_and_weights(split, targets)))
        self.seed, self.steps, self.transform = seed, steps, transform
        self.parities = pipeline.parities(seed, len(split)) if alternates else None
        self.size = len(split) if sampled else None

    def block(self, first: tf.Tensor, index: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        """Return the data, (x,), (x, y) or (x, y, weights), and the parities of a block (steps, batch, ...) that begins
        with the step `first`."""
        index, real = (index, None) if self.size is None else poisson.there(index, self.size)
        parity = tf.zeros_like(index) if self.parities is None \
            else pipeline.flip_parity(self.parities, first // self.steps, index)
        return (*(tf.gather(values, index) for values in self.data), *([] if real is None else [real])), parity

    def batch(self, data: tuple[tf.Tensor, ...], parity: tf.Tensor, step: tf.Tensor) -> tuple:
        """Return the data of a step as the network sees it; the same as in pipeline.shuffled."""
        if self.transform is None:
            return data
        return self.transform(data, tf.stack([tf.constant(self.seed, tf.int64), step]), parity)


def install(model: keras.Model, data: DeviceDataset | None = None, parts: int = 1, after: Sequence[After] = (),
            own_step: Callable | None = None) -> None:
    """Give a compiled model the function that `fit` calls, made for its data and devices.

    Args:
        model: has a `train_step`, and was compiled in the scope of its strategy; compiling it again undoes this.
        data: on the device, for blocks of pipeline.blocks; None for batches.
        parts: micro-batches that a batch is divided into, whose gradients are summed.
        after: called after each step, in the replica, with the number of steps taken.
        own_step: of a batch, in place of the model's; it divides its batches itself.
    """
    def step(*batch):
        if own_step:
            own_step(*batch)
        else:
            with fast_layers.replacing(model):
                model.train_step(batch) if parts == 1 else accumulated_step(model, *batch, parts=parts)
        for act in after:
            act(model.optimizer.iterations)

    model.train_function = block_function(model, step, data, parts) if data else batch_function(model, step)


def batch_function(model: keras.Model, step: Callable) -> Callable:
    """Return a function of an iterator that takes one step.

    The step is the body of a loop of one turn, as it is in a block: TensorFlow then rewrites both in the same way, and
    the weights are equal to the bit.
    """
    strategy = model.distribute_strategy

    def once(*batch):
        def body(done):
            strategy.run(step, args=batch)
            return (done + 1,)

        tf.while_loop(lambda done: done < 1, body, (0,))

    compiled = tf.function(once, jit_compile=model.jit_compile, autograph=False)

    @partial(tf.function, autograph=False)
    def take(iterator):
        compiled(*next(iterator))
        return model.get_metrics_result()

    return take


def block_function(model: keras.Model, step: Callable, data: DeviceDataset, parts: int = 1) -> Callable:
    """Return a function of an iterator that takes all steps of a block.

    A block ends early at the first loss that is not finite, so that `optimizer.iterations` gives its step; but not with
    several workers, which would wait for one another.
    """
    strategy = model.distribute_strategy
    workers = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def replica_step(*batch):
        step(*tree.map_structure(partial(replica_slice, parts=parts), batch))
        return tf.math.is_finite(model.metrics[0].total)

    def steps(first, count, values, parity):
        def body(i, finite):
            batch = data.batch(tuple(value[i] for value in values), parity[i], first + i)
            finite = strategy.experimental_local_results(strategy.run(replica_step, args=batch))
            return i + 1, tf.constant(True) if workers else tf.reduce_all(finite)

        zero = tf.zeros((), tf.int64)
        tf.while_loop(lambda i, finite: (i < count) & finite, body, (zero, tf.constant(True)))
        return model.get_metrics_result()

    compiled = tf.function(steps, jit_compile=model.jit_compile, autograph=False)

    @partial(tf.function, autograph=False)
    def block(iterator):
        first, count, index = (strategy.experimental_local_results(value)[0] for value in next(iterator))
        return compiled(first, count, *data.block(first, index))

    return block


def accumulated_step(model: keras.Model, x: Any, y: Any = None, weights: Any = None, *, parts: int) -> None:
    """Take the gradient of a batch in parts, one after the other, and then one step: less memory, the same step.

    Keras' `gradient_accumulation_steps` raises a RuntimeError under replicas (keras#20582), and counts a step for each
    part. Batch normalisation sees the parts, not the whole.
    """
    pieces = [tree.map_structure(lambda value, i=i: None if value is None else tf.split(value, parts)[i],
                                 (x, y, weights)) for i in range(parts)]
    variables = model.trainable_weights
    total: list[tf.Tensor] = []
    for part_x, part_y, part_weights in pieces:
        with tf.GradientTape() as tape:
            y_pred = model(part_x, training=True)
            loss = model.compute_loss(part_x, part_y, y_pred, part_weights, training=True)
        grads = [optim.dense(grad) for grad in tape.gradient(loss, variables)]
        total = grads if not total else [None if b is None else a + b for a, b in zip(total, grads, strict=True)]
        size = tf.shape(tree.flatten(part_x)[0])[0]
        model.metrics[0].update_state(loss * model.distribute_strategy.num_replicas_in_sync, sample_weight=size)
        model.compute_metrics(part_x, part_y, y_pred, part_weights)
    # None is of a weight that the loss does not reach, which Keras leaves as it is.
    model.optimizer.apply([None if grad is None else grad / parts for grad in total], variables)
