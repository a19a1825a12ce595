"""Loss and metrics of a network on a split: every example counted once, on any number of replicas."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from kerasdl.data import Split, pipeline
from kerasdl.data.lengths import takes_any_length, trimmed
from kerasdl.devices import distribute_fixes, on_device
from kerasdl.devices import strategy as strategies
from kerasdl.devices.cluster import any_of
from kerasdl.errors import UserError
from kerasdl.evaluation.controls import controls
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


def check_defined(objective: Objective, split: Split) -> None:
    """Raise a UserError for a split in memory on which the objective's monitor is undefined, whatever the answers."""
    y = objective.targets(split)
    if y is not None and not objective.defined(objective.monitor, y):
        raise UserError(f"{objective.monitor} is undefined on the {split.name} split, whose examples have all the same "
                        "labels. Monitor another score, or divide the data otherwise.")


class PaddedEvaluator:
    """Loss and metrics of a network's answers, in batches padded to one size.

    Args:
        network: what is measured, with the weights that it has when it is called.
        batch: what training takes at once.
        devices: the strategy.
        tta: None, or a key of kerasdl.evaluation.tta.VIEWS, whose scores `facts` adds.

    Attributes:
        monitor: the score that decides which epoch is the best.
        outputs: what the network answered for each example of the split that was measured last, a tensor (N, outputs);
            None where they were not kept, as those of several replicas and those that are not one row an example.
    """

    def __init__(self, objective: Objective, network: keras.Model, batch: int,
                 devices: tf.distribute.Strategy | None = None, tta: str | None = None):
        self.objective, self.monitor = objective, objective.monitor
        self.batch, self.devices = batch * ROWS, devices or tf.distribute.get_strategy()
        with self.devices.scope():
            self.learner = objective.learner(objective, network)
            self.overall = unmeasured(objective, self.learner)
            self.learner.compile(jit_compile=False)
            self.views = objective.learner(objective, augmented(network, tta)) if tta else None
            if self.views:
                self.views.compile(jit_compile=False)
        self.sweeps: dict[str, Any] = {}
        self.outputs: tf.Tensor | None = None
        self.keeps = (self.devices.num_replicas_in_sync == 1 and not objective.prepares_for_learner
                      and isinstance(network.output_shape, tuple) and len(network.output_shape) == 2)

    def __call__(self, split: Split) -> dict[str, float]:
        """Return {score: value} on a split."""
        return self._measure(self.learner, split)

    def check(self, split: Split) -> None:
        """Raise a UserError for a split on which the score that decides is undefined, whatever the answers."""
        if not split.streamed and not self.objective.makes_views:
            check_defined(self.objective, split)

    def facts(self, splits: Mapping[str, Split]) -> dict[str, Any]:
        """Return what else result.json holds: the objective's own facts, and scores under test-time augmentation."""
        found = self.objective.facts(splits, lambda split: self._answers(self.learner, split))
        if others := controls(self.objective, splits):
            found |= {"controls": others}
        return found | ({"tta": self._measure(self.views, splits["test"])} if self.views else {})

    def _measure(self, learner: Learner, split: Split) -> dict[str, float]:
        self.outputs = None
        if self.overall:
            y, y_pred = self._answers(learner, split)
        if backend.jax():
            scores = self._with_keras(learner, split)
        elif self.overall:
            scores = learner.get_metrics_result()
        elif not any_of(self.devices, not on_device.fits(split)):  # on every worker
            learner.reset_metrics()
            scores = self._swept(learner, split)
        else:
            self._stepped(learner, split)
            scores = learner.get_metrics_result()
        found = {name: float(value) for name, value in scores.items()}
        finite = self.overall and np.isfinite(y_pred).all()
        return found | {name: float(self.objective.overall(name, y, y_pred)) if finite else math.nan
                        for name in self.overall}

    def _stepped(self, learner: Learner, split: Split, collect: bool = False) -> list[Any]:
        """Evaluate a split batch by batch, and return targets and answers of each, if they are to be collected."""
        learner.reset_metrics()
        if (key := f"{learner is self.views} {collect}") not in self.sweeps:
            def step(*batch):
                y_pred = self.devices.run(learner.padded_step, args=batch)
                return tree.map_structure(self._together, (batch[1], y_pred)) if collect else ()

            self.sweeps[key] = tf.function(step, autograph=False)
        batches = strategies.shared(self.devices, lambda: self._padded(split), distribute_fixes.share)
        return [tree.map_structure(lambda value: None if value is None else value.numpy(), self.sweeps[key](*batch))
                for batch in batches]

    def _together(self, values: Any) -> tf.Tensor | None:
        """Return the parts of all replicas of all workers; the padding of the last batch comes at the end."""
        none = self.devices.experimental_local_results(values)[0] is None  # without labels there is one a replica
        return None if none else self.devices.gather(values, 0)

    @pipeline.as_written
    def _answers(self, learner: Learner, split: Split) -> tuple[Any, Any]:
        """Return targets and answers of a split, (N, ...) each, in its order."""
        if backend.jax():
            batches = self._padded(split)
            y = [batch[1] for batch in batches.as_numpy_iterator()]
            answers = learner.predict(batches.map(lambda x, *_: x), verbose=0)
            parts = [(None if y[0] is None else np.concatenate(y), answers)]
        else:
            parts = self._stepped(learner, split, collect=True)
        return tree.map_structure(lambda *values: None if values[0] is None else np.concatenate(values)[:len(split)],
                                  *parts)

    def _swept(self, learner: Learner, split: Split) -> dict[str, tf.Tensor]:
        """Go over all examples in one call: a loop in Python costs more than small networks do."""
        x, targets = tf.constant(split.x), self.objective.targets(split)
        y = None if targets is None else tf.constant(targets)
        given = [part for part in (x, y) if part is not None]
        specs = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in given]
        key = f"{learner is self.views} {specs}"
        if key not in self.sweeps:  # traced once for splits of any size
            self.sweeps[key] = tf.function(self._sweep(learner), input_signature=specs, autograph=False)
        scores, answers = self.sweeps[key](*given)
        self.outputs = answers if self.keeps and learner is self.learner else None
        return scores

    def _sweep(self, learner: Learner):
        prepare, batch = self.objective.prepare, self.batch
        trims = takes_any_length(learner.network) and not prepare  # which draws for whole batches, as for other feeds

        def step(*values):
            return learner.padded_step(*tree.map_structure(on_device.replica_slice, values))

        def sweep(x, y=None):
            size = tf.shape(x)[0]

            def body(number, answers):
                rows = number * batch + tf.range(batch)
                index = tf.minimum(rows, size - 1)
                real = tf.ensure_shape(tf.cast(rows < size, tf.float32), (batch,))
                examples, truth = tf.gather(x, index), None if y is None else tf.gather(y, index)
                examples = trimmed(examples) if trims else examples
                if prepare:
                    examples, truth = pipeline.prepared(prepare, examples, truth, pipeline.evaluation_seed(number))
                y_pred = self.devices.run(step, args=(examples, truth, real))
                return number + 1, answers.write(number, tf.cast(y_pred, tf.float32)) if self.keeps else answers

            shape = batch, learner.network.output_shape[-1]
            kept = tf.TensorArray(tf.float32, -(-size // batch), element_shape=shape) if self.keeps else ()
            _, answers = tf.while_loop(lambda number, _: number * batch < size, body, (0, kept))
            return learner.get_metrics_result(), answers.concat()[:size] if self.keeps else ()

        return sweep

    def _padded(self, split: Split) -> tf.data.Dataset:
        return padded(pipeline.in_order(split, self.objective.targets(split), self.batch,
                                        prepare=self.objective.prepare), self.batch)

    def _with_keras(self, learner: Learner, split: Split) -> dict[str, float]:
        """Evaluate by Keras' own step, which divides the sum of the losses by the padding too."""
        batches = self._padded(split)
        scores = learner.evaluate(batches, return_dict=True, verbose=0)
        return scores | {"loss": scores["loss"] * (-(-len(split) // self.batch) * self.batch / len(split))}


def unmeasured(objective: Objective, learner: Learner) -> list[str]:
    """Return the objective's scores that its `overall` gives: those that neither its loss nor its metrics give, and
    those that it names.

    Raises:
        UserError: one that nothing gives.
    """
    logged = {"loss", *(metric.name for metric in learner.measures)}
    others = [score for score in objective.scores if score not in logged or score in objective.overall_scores]
    for score in others:
        if score not in objective.overall_scores:
            raise UserError(f"{type(objective).__name__} has a score {score!r}, and no metric of that name. Its "
                            f"scores are {', '.join(sorted(logged))}: name the metric {score!r}.")
    return others


@pipeline.as_written
def padded(batches: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    """Return evaluation batches (x, y) as (x, y, real), all of one size; y is None where there are no labels.

    What fills a batch is its last example again: a network may answer nothing but NaN to zeros.
    """
    def pad(x, y=None):
        rows = tf.shape(tree.flatten(x)[0])[0]
        real = tf.cast(tf.range(batch) < rows, tf.float32)

        def fill(value):
            if value is None:  # no labels
                return None
            filled = tf.gather(value, tf.minimum(tf.range(batch), rows - 1))
            return tf.ensure_shape(filled, (batch, *value.shape[1:]))
        return (*tree.map_structure(fill, (x, y)), real)

    return batches.map(pad)
