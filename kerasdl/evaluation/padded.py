"""Loss and metrics of a network on a split: every example counted once, on any number of replicas."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from kerasdl.data import Split, pipeline
from kerasdl.devices import distribute_fixes, on_device
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.evaluation.tta import augmented
from kerasdl.installation import backend
from kerasdl.objectives.base import Objective
from kerasdl.objectives.learner import Learner

ROWS = 4  # evaluation keeps nothing for a gradient, so its batches are this many times those of training


def evaluator(objective: Objective, kept: keras.Model, batch: int, devices: tf.distribute.Strategy,
              reference: Any = None) -> Any:
    """Return what scores the kept network on a split: the objective's own evaluator, or loss and metrics.

    Args:
        batch: what training takes at once.
        reference: the trained classifier that the objective's scores look through, if they do.
    """
    own = objective.evaluator(kept, reference)
    return own if own is not None else PaddedEvaluator(objective, kept, batch, devices, objective.recipe.tta)


class PaddedEvaluator:
    """Loss and metrics of a network's answers, in batches padded to one size.

    Args:
        network: what is measured, with the weights that it has when it is called.
        batch: what training takes at once.
        devices: the strategy.
        tta: None, or a key of kerasdl.evaluation.tta.VIEWS, whose scores `facts` adds.

    Attributes:
        monitor: the score that decides which epoch is the best.
    """

    def __init__(self, objective: Objective, network: keras.Model, batch: int,
                 devices: tf.distribute.Strategy | None = None, tta: str | None = None):
        self.objective, self.monitor = objective, objective.monitor
        self.batch, self.devices = batch * ROWS, devices or tf.distribute.get_strategy()
        with self.devices.scope():
            self.learner = Learner(objective, network)
            check_scores(objective, self.learner)
            self.learner.compile(jit_compile=False)
            self.views = Learner(objective, augmented(network, tta)) if tta else None
            if self.views:
                self.views.compile(jit_compile=False)
        self.sweeps: dict[str, Any] = {}

    def __call__(self, split: Split) -> dict[str, float]:
        """Return {score: value} on a split."""
        return self._measure(self.learner, split)

    @staticmethod
    def check(split: Split) -> None:
        """Accept any split: loss and metrics need one example."""

    def facts(self, splits: Mapping[str, Split]) -> dict[str, Any]:
        """Return what else result.json holds: the scores under test-time augmentation, if there is one."""
        return {"tta": self._measure(self.views, splits["test"])} if self.views else {}

    def _measure(self, learner: Learner, split: Split) -> dict[str, float]:
        if backend.jax():
            return self._with_keras(learner, split)
        learner.reset_metrics()
        if on_device.fits(split):
            scores = self._swept(learner, split)
        else:
            batches = strategies.shared(self.devices, lambda: self._padded(split), distribute_fixes.share)
            step = tf.function(lambda *batch: self.devices.run(learner.padded_step, args=batch), autograph=False)
            for batch in batches:
                step(*batch)
            scores = learner.get_metrics_result()
        return {name: float(value) for name, value in scores.items()}

    def _swept(self, learner: Learner, split: Split) -> dict[str, tf.Tensor]:
        """Go over all examples in one call: a loop in Python costs more than small networks do."""
        x, targets = tf.constant(split.x), self.objective.targets(split)
        y = None if targets is None else tf.constant(targets)
        key = f"{learner is self.views} {x.shape} {None if y is None else y.shape}"
        if key not in self.sweeps:
            self.sweeps[key] = self._sweep(learner)
        return self.sweeps[key](x, y)

    def _sweep(self, learner: Learner):
        prepare, batch = self.objective.prepare, self.batch

        def step(*values):
            learner.padded_step(*tree.map_structure(on_device.replica_slice, values))

        def sweep(x, y):
            size = tf.shape(x)[0]

            def body(number):
                rows = number * batch + tf.range(batch)
                index = tf.minimum(rows, size - 1)
                real = tf.ensure_shape(tf.cast(rows < size, tf.float32), (batch,))
                examples, answers = tf.gather(x, index), None if y is None else tf.gather(y, index)
                if prepare:
                    examples, answers = pipeline.prepared(prepare, examples, answers,
                                                          pipeline.evaluation_seed(number))
                self.devices.run(step, args=(examples, answers, real))
                return (number + 1,)

            tf.while_loop(lambda number: number * batch < size, body, (0,))
            return learner.get_metrics_result()

        return tf.function(sweep, autograph=False)

    def _padded(self, split: Split) -> tf.data.Dataset:
        return padded(pipeline.in_order(split, self.objective.targets(split), self.batch,
                                        prepare=self.objective.prepare), self.batch)

    def _with_keras(self, learner: Learner, split: Split) -> dict[str, float]:
        """Evaluate by Keras' own step, which divides the sum of the losses by the padding too."""
        batches = self._padded(split)
        scores = learner.evaluate(batches, return_dict=True, verbose=0)
        return scores | {"loss": scores["loss"] * (-(-len(split) // self.batch) * self.batch / len(split))}


def check_scores(objective: Objective, learner: Learner) -> None:
    """Raise a UserError if the objective names a score that neither its loss nor its metrics give."""
    logged = {"loss", *(metric.name for metric in learner.measures)}
    for score in objective.scores:
        if score not in logged:
            raise UserError(f"{type(objective).__name__} has a score {score!r}, and no metric of that name. Its "
                            f"scores are {', '.join(sorted(logged))}: name the metric {score!r}.")


def padded(batches: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    """Return evaluation batches (x, y) as (x, y, real), all of one size; y is None where there are no labels."""
    def pad(x, y=None):
        rows = tf.shape(tree.flatten(x)[0])[0]
        real = tf.cast(tf.range(batch) < rows, tf.float32)

        def fill(value):
            if value is None:  # no labels
                return None
            filled = tf.pad(value, [[0, batch - rows]] + [[0, 0]] * (value.shape.rank - 1))
            return tf.ensure_shape(filled, (batch, *value.shape[1:]))
        return (*tree.map_structure(fill, (x, y)), real)

    return batches.map(pad)
