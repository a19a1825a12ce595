"""From splits to batches. Step `n` of a run is a pure function of (seed, n): order, augmentation and all.

There is no shuffle buffer and no iterator state. An epoch's order is a stateless permutation of the indices, so a run
can begin at any step, and two machines with the same seed see the same examples.

A `split` here is a kerasdl.data.Split, whose file imports this one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.errors import UserError

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor]]
BUFFER = 16384  # examples of a streamed set that are shuffled together; tfds stores sets in shuffled order already


def steps_per_epoch(split: Any, batch: int) -> int:
    """Full batches in the split; what is left over waits for another epoch's order.

    Raises:
        UserError: if the split is smaller than a batch.
    """
    if len(split) < batch:
        raise UserError(f"batch={batch} is larger than the {split.name} split of {len(split)} examples. "
                        f"Choose batch <= {len(split)}.")
    return len(split) // batch


def shuffled(split: Any, targets: np.ndarray | None, batch: int, *, epochs: int, seed: int,
             augment: Augment | None = None, alternates: bool = False, prepare: Callable | None = None,
             start: int = 0) -> tf.data.Dataset:
    """Training batches (examples, targets) of every epoch in turn, from step `start` on.

    Args:
        split: what to draw from.
        targets: (N, outputs) float32, in the order of the split; for a streamed split (classes, outputs), by label.
        batch: examples a step. An epoch has len(split) // batch steps.
        epochs: how many epochs follow one another.
        seed: of order and augmentation.
        augment: a pure function (examples, targets, seed of shape (2,), turns) -> (examples, targets).
        alternates: whether `augment` reads the turns.
        start: the first step, counted from the beginning of the run.
    """
    steps = steps_per_epoch(split, batch)
    if split.streamed:
        batches = _streamed(split, targets, batch, steps, epochs, seed, start)
    else:
        batches = _indexed(split, targets, batch, steps, epochs, seed, start)

    change = transform(augment, prepare)

    def changed(step, index, examples, answers=None):
        parity = flip_parity(seed, step // steps, index, len(split)) if alternates else None
        return without_none(*change(examples, answers, tf.stack([tf.constant(seed, tf.int64), step]), parity))

    if change is None:
        batches = batches.map(lambda step, index, *batch: batch)
    else:
        batches = batches.map(changed, num_parallel_calls=tf.data.AUTOTUNE)
    return _untuned(batches.prefetch(2))


def transform(augment: Augment | None, prepare: Callable | None) -> Callable | None:
    """Return what is done to a training batch, (x, y, seed, parity) -> (x, y): augmentation, then the objective's own.

    None where nothing is.
    """
    if augment is None and prepare is None:
        return None
    compiled = augment and tf.function(augment, jit_compile=True)

    def both(x, y, seed, parity):
        if compiled:
            x, y = compiled(x, y, seed, parity)
        return prepare(x, y, seed) if prepare else (x, y)

    return both


def evaluation_seed(number: tf.Tensor) -> tf.Tensor:
    """Return the seed (2,) of `prepare` for an evaluation batch of this number: always the same, whatever the run's."""
    return tf.stack([tf.constant(0, tf.int64), tf.cast(number, tf.int64)])


def without_none(x, y):
    """Return a batch as Keras takes it: (x, y), or (x,) without labels."""
    return (x,) if y is None else (x, y)


def blocks(split: Any, batch: int, size: int, *, epochs: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """The same training batches as index blocks (first step, steps, (size, batch) indices), for data on the device.

    A block never reaches into the next epoch, and only an epoch's last one has fewer steps than `size`, of which the
    last rows mean nothing: Keras counts on it, also in an epoch of which a part was done with batches from a stream.
    """
    steps = steps_per_epoch(split, batch)
    end = min((start // steps + 1) * steps, epochs * steps)
    begins = (np.arange(epochs)[:, None] * steps + np.arange(0, steps, size)).ravel()
    edges = np.concatenate([np.arange(start, end, size), begins[begins >= end], [epochs * steps]])

    def block(first, count):
        positions = tf.minimum(first % steps * batch + tf.range(size * batch, dtype=tf.int64), len(split) - 1)
        return first, count, tf.reshape(order(seed, first // steps, positions, len(split)), (size, batch))

    made = tf.data.Dataset.from_tensor_slices((edges[:-1], np.diff(edges))).map(block)
    uncounted = made.filter(lambda *_: True)  # Keras would take the number of blocks for that of steps
    return _untuned(uncounted.prefetch(2))


def in_order(split: Any, targets: np.ndarray | None, batch: int, prepare: Callable | None = None) -> tf.data.Dataset:
    """Evaluation batches (examples, targets): every example once, in the split's order, the last batch short.

    Targets are as in `shuffled`; of a streamed split None leaves the labels as they are.
    """
    if split.streamed:
        examples = split.x
        if targets is not None:
            examples = examples.map(lambda image, label: (image, tf.gather(targets, label)))
    else:
        examples = tf.data.Dataset.from_tensor_slices((split.x,) if targets is None else (split.x, targets))
        if split.decode is not None:
            examples = examples.map(lambda name, *rest: (split.decode(name), *rest), tf.data.AUTOTUNE)
    batches = examples.batch(batch)
    if prepare:
        batches = batches.enumerate().map(
            lambda number, data: without_none(*prepare(*(data if isinstance(data, tuple) else (data, None)),
                                                       evaluation_seed(number))))
    return _untuned(batches.prefetch(2))


def order(seed: int, epoch: tf.Tensor, positions: tf.Tensor, size: int) -> tf.Tensor:
    """Which example stands at each position of an epoch: a pure function of (seed, epoch)."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.index_shuffle(positions, seed=key, max_index=tf.constant(size - 1, tf.int64))


def flip_parity(seed: int, epoch: tf.Tensor, index: tf.Tensor, size: int) -> tf.Tensor:
    """0 or 1 for each example, in its next epoch the other one; half of all are 1 in the first (one more or less)."""
    own = order(seed, tf.constant(-1), tf.reshape(index, [-1]), size)  # -1: an order that no epoch has
    return tf.reshape(own + tf.cast(epoch, tf.int64), tf.shape(index)) % 2


def _indexed(split, targets, batch, steps, epochs, seed, start) -> tf.data.Dataset:
    with tf.device("CPU"):
        x, y = tf.constant(split.x), None if targets is None else tf.constant(targets)

    def load(step):
        positions = step % steps * batch + tf.range(batch, dtype=tf.int64)
        index = order(seed, step // steps, positions, len(split))
        examples = tf.gather(x, index)
        if split.decode is not None:
            examples = tf.map_fn(split.decode, examples, fn_output_signature=tf.uint8)
        shaped = tf.ensure_shape(examples, (batch, *_shape(split)))
        return (step, index, shaped) if y is None else (step, index, shaped, tf.gather(y, index))

    return tf.data.Dataset.range(start, epochs * steps).map(load, num_parallel_calls=tf.data.AUTOTUNE)


def _streamed(split, targets, batch, steps, epochs, seed, start) -> tf.data.Dataset:
    def epoch_of(epoch):
        tf.random.set_seed(1)  # of this function's graph alone, or shuffle would also follow the caller's
        key = tf.random.stateless_uniform((), [seed, tf.cast(epoch, tf.int32)], 0, 2**31 - 1, tf.int32)
        examples = split.x.enumerate().shuffle(BUFFER, seed=tf.cast(key, tf.int64), reshuffle_each_iteration=False)
        return examples.batch(batch, drop_remainder=True)

    batches = tf.data.Dataset.range(start // steps, epochs).flat_map(epoch_of).skip(start % steps)
    return batches.enumerate(start).map(
        lambda step, batch: (step, batch[0], batch[1][0], tf.gather(targets, batch[1][1])))


def _untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Without autotuning: its thread can sleep through the iterator's end, which then waits for it up to a minute.

    Seen in TensorFlow 2.21.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def _shape(split: Any) -> tuple[int, ...]:
    return (split.shape,) if isinstance(split.shape, int) else tuple(split.shape)
