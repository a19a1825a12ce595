"""Loss and metrics of a network on a split: every example counted once, on any number of replicas."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kerasdl.data import Split, pipeline
from kerasdl.devices import replicas
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError, nearest
from kerasdl.installation import backend
from kerasdl.train import resident

ROWS = 4  # batches of training are one of evaluation, which keeps nothing for a gradient


class Judge:
    """Mixin that evaluates batches padded to one size, (x, y, real): `real` is 1 for an example and 0 for padding.

    So every replica and worker takes equal parts and as many steps, in the one shape that a TPU compiles. Keras would
    divide the sum of the losses by the padding, too.
    """

    sweep = None

    def test_step(self, data):
        x, y, real = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        mean = self.compute_loss(x, y, y_pred, real, training=False) * self.distribute_strategy.num_replicas_in_sync
        examples = ops.sum(real)
        padded = ops.cast(ops.shape(x)[0], "float32")
        self._loss_tracker.update_state(mean * padded / ops.maximum(examples, 1.0), sample_weight=examples)
        return self.compute_metrics(x, y, y_pred, sample_weight=real)

    def make_sweep(self, x, y, batch: int):
        """A function of (x, y) that goes over all examples in one call: Keras' loop costs more than small networks."""
        strategy = self.distribute_strategy

        def step(*values):
            self.test_step(tuple(resident.part(value) for value in values))

        def sweep(x, y):
            size = tf.shape(x)[0]

            def body(start):
                rows = start + tf.range(batch)
                index = tf.minimum(rows, size - 1)
                real = tf.ensure_shape(tf.cast(rows < size, tf.float32), (batch,))
                strategy.run(step, args=(tf.gather(x, index), tf.gather(y, index), real))
                return (start + batch,)

            tf.while_loop(lambda start: start < size, body, (0,))
            return self.get_metrics_result()

        specs = [tf.TensorSpec((None, *value.shape[1:]), value.dtype) for value in (x, y)]
        return tf.function(sweep, input_signature=specs)


class Scores:
    """What a network's answers are worth on a split: the loss and the metrics of its objective.

    Args:
        tta: None, or a key of VIEWS: what to do to the examples of the test besides.

    Attributes:
        metric: the one that decides which epoch is the best.
    """

    def __init__(self, network: keras.Model, objective: ModuleType, batch: int, devices: tf.distribute.Strategy,
                 tta: str | None = None):
        self.judge, self.metric = make(network, objective, devices), objective.METRIC
        self.objective, self.batch, self.devices = objective, batch, devices
        self.augmented = make(augmented(network, tta), objective, devices) if tta else None

    def __call__(self, split: Split) -> dict[str, float]:
        return evaluate(self.judge, self.objective, split, self.batch, self.devices)

    def beside(self, splits: Mapping[str, Split]) -> dict[str, Any]:
        """What else result.json should hold: the scores under test-time augmentation, if there is one."""
        if not self.augmented:
            return {}
        return {"tta": evaluate(self.augmented, self.objective, splits["test"], self.batch, self.devices)}


def flip(network: Callable, image):
    """The mean of the answers for an image and for its mirror image."""
    return (network(image) + network(ops.flip(image, axis=2))) / 2


def flip_shift(network: Callable, image):
    """`flip`, and as much of it for the image moved by a pixel up and left and down and right (Jordan 2024,
    arXiv:2404.00498); the border is reflected."""
    wide = ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    moved = flip(network, wide[:, 2:, 2:]) + flip(network, wide[:, :-2, :-2])
    return flip(network, image) / 2 + moved / 4


VIEWS = {"flip": flip, "flip_shift": flip_shift}  # test-time augmentations


def augmented(network: keras.Model, tta: str) -> keras.Model:
    """The same network, whose answer is the mean of its logits for several views of an image.

    Args:
        tta: a key of VIEWS.

    Raises:
        UserError: if there is no such test-time augmentation, or the network does not take images of 2x2 pixels.
    """
    if tta not in VIEWS:
        raise UserError(f"There is no test-time augmentation {tta!r}. {nearest(tta, VIEWS)}")
    if len(network.input.shape) != 4 or min(network.input.shape[1:3]) < 2:
        raise UserError(f"tta={tta} is for images, and an example here is {network.input.shape[1:]}. Leave it out.")
    image = keras.Input(network.input.shape[1:], dtype=network.input.dtype)
    return keras.Model(image, VIEWS[tta](network, image))


def make(network: keras.Model, objective: ModuleType, devices: tf.distribute.Strategy | None = None) -> Judge:
    """A model with the network's layers that evaluates; made in the scope of its strategy."""
    many = strategies.replicated(devices or tf.distribute.get_strategy())
    judge = replicas.compose([replicas.FitsReplicas] * many + [Judge] * (not backend.jax()), network)
    objective.compile(judge, None, jit=False)
    replicas.build(judge)
    return judge


def evaluate(judge: Judge, objective: ModuleType, split: Split, batch: int,
             devices: tf.distribute.Strategy | None = None) -> dict[str, float]:
    """Loss and metrics on a split. `batch` is what training takes at once."""
    devices, batch = devices or tf.distribute.get_strategy(), batch * ROWS
    targets = objective.targets(split)
    if backend.jax():
        return divided(judge, padded(pipeline.in_order(split, targets, batch), batch), len(split), batch)
    if not resident.fits(split):
        examples = padded(pipeline.in_order(split, targets, batch), batch)
        batches = strategies.shared(devices, lambda: examples, replicas.share)
        scores = judge.evaluate(batches, return_dict=True, verbose=0)
    else:
        x, y = tf.constant(split.x), tf.constant(targets)
        judge.sweep = judge.sweep or judge.make_sweep(x, y, batch)
        judge.reset_metrics()
        scores = judge.sweep(x, y)
    return {name: float(value) for name, value in scores.items()}


def divided(judge: keras.Model, batches: tf.data.Dataset, examples: int, batch: int) -> dict[str, float]:
    """Loss and metrics of padded batches by Keras' own step, which divides the sum of the losses by the padding too."""
    scores = judge.evaluate(batches, return_dict=True, verbose=0)
    return scores | {"loss": scores["loss"] * (-(-examples // batch) * batch / examples)}


def padded(batches: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    """Evaluation batches (x, y) as (x, y, real), all of one size."""
    def pad(*values):
        rows = tf.shape(values[0])[0]
        real = tf.cast(tf.range(batch) < rows, tf.float32)

        def fill(value):
            filled = tf.pad(value, [[0, batch - rows]] + [[0, 0]] * (value.shape.rank - 1))
            return tf.ensure_shape(filled, (batch, *value.shape[1:]))
        return *(fill(value) for value in values), real

    return batches.map(pad)
