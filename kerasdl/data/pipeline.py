"""From splits to batches. Step `n` of a run is a pure function of (seed, n): order, augmentation and all.

There is no shuffle buffer and no iterator state. An epoch's order is a stateless permutation of the indices, so a run
can begin at any step, and two machines with the same seed see the same examples. Whatever is drawn here has a stream
of its own (`key`), so that no draw says anything about another.

A `split` here is a kerasdl.data.Split, whose file imports this one.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.data import poisson
from kerasdl.data.lengths import by_length, lengths, trimmed
from kerasdl.errors import UserError

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor]]
ORDERS, PARITIES, BUFFERS, PREPARED, EVALUATED, BATCHES = range(1000, 1006)  # streams of `key`, after augmentations'
as_written = tf.autograph.experimental.do_not_convert  # as on the device; and an error stays what it is
BUFFER = 16384  # examples of a streamed set that are shuffled together; tfds stores sets in shuffled order already
BUFFERED = 2**30  # bytes of them at most


def steps_per_epoch(split: Any, batch: int) -> int:
    """Return the full batches in the split; what is left over waits for another epoch's order.

    Raises:
        UserError: if the split is smaller than a batch.
    """
    if len(split) < batch:
        raise UserError(f"batch={batch} is larger than the {split.name} split of {len(split)} examples. "
                        f"Choose batch <= {len(split)}.")
    return len(split) // batch


@as_written
def shuffled(split: Any, targets: np.ndarray | None, batch: int, *, epochs: int, seed: int,
             augment: Augment | None = None, alternates: bool = False, prepare: Callable | None = None,
             trim: bool = False, start: int = 0, places: int | None = None) -> tf.data.Dataset:
    """Return the training batches (examples, targets) of every epoch in turn, from step `start` on.

    Without targets a batch is (examples,). If the split has weights it is (examples, targets, weights), whose mean over
    the split is 1.

    Args:
        split: what to draw from.
        targets: (N, ...) in the order of the split; for a streamed split (classes, ...), by label; None without.
        batch: examples a step. An epoch has len(split) // batch steps.
        epochs: how many epochs follow one another.
        seed: of order and augmentation.
        augment: a pure function (examples, targets, seed, parity) -> (examples, targets) that compiles with XLA, where
            seed is int64 (2,), the run's and the step, and parity is what `flip_parity` gives.
        alternates: whether `augment` reads the parity; otherwise it is None.
        prepare: a pure function (examples, targets, seed) -> (examples, targets) of any structure, applied to the
            augmented batch with the same seed. Targets may be None, before and after.
        trim: cut sequences to the longest of the batch; see kerasdl.data.lengths.
        start: the first step, counted from the beginning of the run.
        places: of a batch that Poisson sampling fills, whose third part then says which are real; None: epochs are
            permutations.
    """
    steps = steps_per_epoch(split, batch)
    if split.streamed:
        batches = _streamed(split, targets, batch, steps, epochs, seed, start)
    else:
        batches = _indexed(split, targets, batch, steps, epochs, seed, start, places)

    change = transform(augment, prepare, trim)
    parity_of = parities(seed, len(split)) if alternates else None

    def changed(step, index, *data):
        parity = flip_parity(parity_of, step // steps, index) if alternates else None
        return change(data, tf.stack([tf.constant(seed, tf.int64), step]), parity)

    if change is None:
        batches = batches.map(lambda step, index, *data: data)
    else:
        batches = batches.map(changed, num_parallel_calls=tf.data.AUTOTUNE)
    return _untuned(batches.prefetch(2))


def transform(augment: Augment | None, prepare: Callable | None, trim: bool = False) -> Callable | None:
    """Return what is done to a training batch, (data, seed, parity) -> data: padding is cut off, then augmentation,
    then the objective's own.

    Data is (x,), (x, y) or (x, y, weights), before and after. None where nothing is done.
    """
    if augment is None and prepare is None and not trim:
        return None
    compiled = augment and tf.function(augment, jit_compile=True, autograph=False)

    def both(data, seed, parity):
        x, y, weights = (*data, None, None)[:3]
        x = trimmed(x) if trim else x
        if compiled and weights is not None and y.dtype.is_floating and y.shape.rank == 2:
            x, y = compiled(x, with_weights(y, weights), seed, parity)
            y, weights = without_weights(y)
        elif compiled:
            x, y = compiled(x, y, seed, parity)
        if prepare:
            x, y = prepared(prepare, x, y, key(*tf.unstack(seed), PREPARED))
        return without_none(x, y, weights)

    return both


def with_weights(y: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return targets (B, F) times their weights, with the weights (B,) as one more column.

    As colours are multiplied by their opacity before images are blended: a mixture of two examples then has the sum of
    what each would have had, and nothing of one that weighs 0.
    """
    return tf.concat([y * weights[:, None], weights[:, None]], 1)


def without_weights(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Undo `with_weights`; the targets of an example that weighs 0 are 0."""
    weights = y[:, -1]
    return tf.math.divide_no_nan(y[:, :-1], weights[:, None]), weights


def prepared(prepare: Callable, x: Any, y: Any, seed: tf.Tensor) -> tuple[Any, Any]:
    """Return what an objective's `prepare` makes of a batch.

    Raises:
        UserError: it returns something other than a pair.
    """
    pair = prepare(x, y, seed)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise UserError(f"prepare(x, y, seed) must return (x, y). Received: {type(pair).__name__}"
                        f"{f' of {len(pair)}' if isinstance(pair, tuple) else ''}.")
    return pair


def evaluation_seed(number: tf.Tensor) -> tf.Tensor:
    """Return the seed (2,) of `prepare` for an evaluation batch of this number: always the same, whatever the run's."""
    return key(0, number, EVALUATED)


def key(seed: int | tf.Tensor, number: tf.Tensor, stream: int | tf.Tensor) -> tf.Tensor:
    """Return a key, int64 (2,), for tf.random.stateless_*: another one for another seed, number or stream."""
    both = tf.stack([tf.cast(seed, tf.int64), tf.cast(number, tf.int64)])
    return tf.random.fold_in(both, tf.cast(stream, tf.int64), alg="philox")  # its dtype is that of the hash: 64 bits


def without_none(x, y, weights=None):
    """Return a batch as Keras takes it: (x, y), (x,) without labels, or (x, y, weights)."""
    return (x,) if y is None else (x, y) if weights is None else (x, y, weights)


def targets_and_weights(split: Any, targets: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Return what a training batch has with each example: nothing, its target, or its target and its weight."""
    weights = split.relative_weights
    return () if targets is None else (targets,) if weights is None else (targets, weights)


@as_written
def blocks(split: Any, batch: int, size: int, *, epochs: int, seed: int, start: int = 0, places: int | None = None
           ) -> tf.data.Dataset:
    """Return the same batches as index blocks (first step, steps, (size, batch) indices), for data on the device.

    With `places` that is the length of a row, and places that stay empty hold len(split).

    A block never reaches into the next epoch, and only an epoch's last one has fewer steps than `size`, of which the
    last rows mean nothing: Keras counts on it, also in an epoch of which a part was done with batches from a stream.
    """
    steps, length = steps_per_epoch(split, batch), lengths(split)
    draw = poisson.drawer(seed, len(split), batch, places, key) if places else None

    def sampled(epoch):
        end = (epoch + 1) * steps
        return tf.data.Dataset.range(tf.maximum(epoch * steps, start), end, size).map(lambda first: (
            first, tf.minimum(end - first, size),
            tf.map_fn(draw, tf.minimum(first + tf.range(size, dtype=tf.int64), end - 1))))

    def epoch_of(epoch):
        examples, end = batched_order(seed, epoch, len(split), batch, length), (epoch + 1) * steps
        firsts = tf.range(tf.maximum(epoch * steps, start), end, size)

        def block(first):
            places = tf.minimum(first % steps * batch + tf.range(size * batch, dtype=tf.int64), steps * batch - 1)
            return first, tf.minimum(end - first, size), tf.reshape(tf.gather(examples, places), (size, batch))

        return tf.data.Dataset.from_tensor_slices(firsts).map(block)

    one = sampled if places else epoch_of
    return _untuned(tf.data.Dataset.range(start // steps, epochs).flat_map(one).prefetch(2))


@as_written
def in_order(split: Any, targets: np.ndarray | None, batch: int, prepare: Callable | None = None) -> tf.data.Dataset:
    """Return evaluation batches (examples, targets): every example once, in the split's order, the last batch short.

    Targets and `prepare` are as in `shuffled`, but that the seed is evaluation_seed(number of the batch).
    """
    if split.streamed:
        examples = split.x.map(_with(targets))
    else:
        examples = tf.data.Dataset.from_tensor_slices((split.x,) if targets is None else (split.x, targets))
        if split.decode is not None:
            examples = examples.map(lambda name, *rest: (split.decode(name), *rest), tf.data.AUTOTUNE)
    batches = examples.batch(batch)
    if prepare:
        batches = batches.enumerate().map(lambda number, data: without_none(*prepared(
            prepare, data[0], data[1] if data[1:] else None, evaluation_seed(number))))
    return _untuned(batches.prefetch(2))


def order(seed: int, epoch: tf.Tensor, size: int, stream: int = ORDERS) -> tf.Tensor:
    """Return the examples in the order of an epoch, int64 (size,): a pure function of (seed, epoch).

    They are sorted by random numbers of 64 bits, so that every order is as likely as every other one.
    TensorFlow's index_shuffle is not used: it keeps few bits of its key, so that seeds share their batches, and of
    2^16 + 1 examples it makes no permutation (2.21).
    """
    draws = tf.random.stateless_uniform((size,), key(seed, epoch, stream), None, None, tf.int64, alg="philox")
    return tf.cast(tf.argsort(draws), tf.int64)


def batched_order(seed: int, epoch: tf.Tensor, size: int, batch: int, length: np.ndarray | None = None) -> tf.Tensor:
    """Return the order of an epoch; with the lengths of the examples (size,), batches of similar ones."""
    examples, steps = order(seed, epoch, size), size // batch
    if length is None:
        return examples
    return by_length(examples[:steps * batch], tf.constant(length), order(seed, epoch, steps, BATCHES), batch)


def parities(seed: int, size: int) -> tf.Tensor:
    """Return 0 or 1 for each example, int64 (size,), as many of the one as of the other or one less."""
    return order(seed, tf.constant(0), size, PARITIES) % 2


def flip_parity(parity: tf.Tensor, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Return what `parities` says of the examples `index`, and the other one in every other epoch."""
    return (tf.gather(parity, index) + epoch) % 2


def _indexed(split, targets, batch, steps, epochs, seed, start, places=None) -> tf.data.Dataset:
    with tf.device("CPU"):
        length = lengths(split)
        x, others = tf.constant(split.x), [tf.constant(values) for values in targets_and_weights(split, targets)]

    def epoch_of(epoch):
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(batched_order(seed, epoch, len(split), batch, length)[:steps * batch], (steps, batch)))

    def load(step, index):
        index, real = poisson.there(index, len(split)) if places else (index, None)
        examples = tf.gather(x, index)
        if split.decode is not None:
            examples = tf.map_fn(split.decode, examples, fn_output_signature=tf.uint8)
        shaped = tf.ensure_shape(examples, (places or batch, *split.example_shape))
        return step, index, shaped, *(tf.gather(values, index) for values in others), *([] if real is None else [real])

    if places:
        draw = poisson.drawer(seed, len(split), batch, places, key)
        numbers = tf.data.Dataset.range(start, epochs * steps)
        return numbers.map(lambda step: load(step, draw(step)), num_parallel_calls=tf.data.AUTOTUNE)
    indices = tf.data.Dataset.range(start // steps, epochs).flat_map(epoch_of).skip(start % steps)
    return indices.enumerate(start).map(load, num_parallel_calls=tf.data.AUTOTUNE)


def _streamed(split, targets, batch, steps, epochs, seed, start) -> tf.data.Dataset:
    buffer = max(batch, min(BUFFER, BUFFERED // math.prod(split.example_shape)))

    def epoch_of(epoch):
        tf.random.set_seed(1)  # of this function's graph alone, or shuffle would also follow the caller's
        drawn = tf.random.stateless_uniform((), key(seed, epoch, BUFFERS), None, None, tf.int64, alg="philox")
        examples = split.x.enumerate().shuffle(buffer, seed=drawn, reshuffle_each_iteration=False)
        return examples.batch(batch, drop_remainder=True)

    batches = tf.data.Dataset.range(start // steps, epochs).flat_map(epoch_of).skip(start % steps)
    answered = _with(targets)

    def numbered(step, indexed):
        index, data = indexed
        return step, index, *answered(*(data if isinstance(data, tuple) else (data,)))

    return batches.enumerate(start).map(numbered)


def _with(targets: np.ndarray | None) -> Callable:
    """Return a function from an element or a batch of a streamed split to (example, targets), or to (example,)."""
    def element(example, label=None):
        return (example,) if targets is None else (example, tf.gather(targets, label))

    return element


def _untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Turn autotuning off: its thread can sleep through the iterator's end, which then waits for it up to a minute.

    Seen in TensorFlow 2.21.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
