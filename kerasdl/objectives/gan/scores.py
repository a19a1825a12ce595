"""How near generated images are to real ones, seen through a classifier."""

import dataclasses
import logging
import statistics
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from kerasdl.errors import UserError
from kerasdl.objectives.gan.metrics import density_coverage, frechet, kid

logger = logging.getLogger(__name__)

MOST = 10_000  # images that are compared with as many others
DRAWS = 5  # that a score is the mean of: from draw to draw alone, the distance of one generator differs by a tenth
NEIGHBOURS = 5  # of density and coverage
WON, LONG = 0.02, 500  # a loss near 0, and steps for which it may be


class GeneratorScores:
    """Scores of a generator on a split: as many images are generated as the split has, at most MOST.

    A conditional generator makes the classes of the split's own images, one for one. The noise is the same every time,
    and another one for each split, so that the epoch which is chosen on val is not chosen for the noise of test.
    A score is the mean over DRAWS of such sets of images; on val, which is measured after every epoch, it is of one.

    Args:
        generator: what is measured; as it is now, it is also the untrained one.
        sample: (generator, number of images, labels or None, seed) -> images (N, H, W, C) uint8.
        reference: a kerasdl.evaluation.reference_classifier.FeatureExtractor.
        monitor: the score that decides, without the name of the reference.

    Attributes:
        monitor: the score that decides; "frechet" and "kid" with the name of the reference behind.
    """

    def __init__(self, generator: keras.Model, sample: Callable, reference, monitor: str = "frechet"):
        self.generator, self.sample, self.reference = generator, sample, reference
        self.conditional = len(generator.inputs) == 2
        self.untrained = [np.array(weight) for weight in generator.get_weights()]
        self.monitor = f"{monitor}_{reference.name}" if monitor in ("frechet", "kid") else monitor
        self.seen: dict = {}

    def __call__(self, split) -> dict[str, float]:
        """{metric: value}: Fréchet distance and KID, density and coverage and, if conditional, "accuracy": how many of
        the images the classifier takes for what they should be."""
        _, real, labels = self._real(split)
        draws = [self.compared(real, self._see(self._made(len(real), labels, split, draw)), labels)
                 for draw in range(1 if split.name == "val" else DRAWS)]
        return {name: statistics.fmean(scores[name] for scores in draws) for name in draws[0]}

    @staticmethod
    def check(split) -> None:
        """Raises UserError for a split that has too few images to compare others with."""
        if len(split) <= NEIGHBOURS:
            raise UserError(f"Generated images are compared with more than {NEIGHBOURS} real ones. "
                            f"The {split.name} split has {len(split)}.")

    def compared(self, real: np.ndarray, fake: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
        """Scores of features (N, D) beside those of real images; `labels` are those of the images they are from."""
        density, coverage = density_coverage(real, fake, NEIGHBOURS)
        name = self.reference.name
        scores = {f"frechet_{name}": frechet(real, fake), f"kid_{name}": kid(real, fake), "density": density,
                  "coverage": coverage}
        if self.conditional and self.reference.classifies and labels is not None:
            scores["accuracy"] = float((self.reference.classes(fake) == labels).mean())
        return scores

    def facts(self, splits: Mapping[str, Any]) -> dict[str, Any]:
        """Return counts, and what other images than the generator's score on the test split, for result.json."""
        test = splits["test"]
        images, real, labels = self._real(test)
        noise = np.random.default_rng(0).integers(0, 256, images.shape, "uint8")
        trained = self.generator.get_weights()
        self.generator.set_weights(self.untrained)
        untrained = self._see(self._made(len(real), labels, test))
        self.generator.set_weights(trained)
        known, kinds = splits["train"].take(some(len(splits["train"]), len(real)))
        others = {"train": (self._see(known), kinds), "noise": (self._see(noise),), "untrained": (untrained, labels)}
        counts = {name: min(len(splits[name]), MOST) for name in ("val", "test")}
        return {"samples": {"referee": self.reference.name, "draws": DRAWS, **counts, "train": len(known)},
                "references": {name: self.compared(real, *seen) for name, seen in others.items()}}

    def generated(self, splits: Mapping[str, Any]) -> dict[str, Any]:
        """Return splits of which train and val are generated images of the same classes, one for one."""
        made = {}
        for name in ("train", "val"):
            split = splits[name]
            labels = split.y if not split.streamed else \
                np.array([label for _, label in split.x.as_numpy_iterator()], "int32")
            images = self._made(len(labels), labels, split)
            made[name] = dataclasses.replace(split, x=images, y=labels.astype("int32"), decode=None, streamed=False)
        return made | {"test": splits["test"]}

    def _real(self, split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images of a split, their features and labels; remembered, for val is measured after every epoch."""
        if id(split) not in self.seen:
            self.check(split)
            images, labels = split.take(some(len(split), MOST))
            self.seen[id(split)] = split, images, self._see(images), labels
        return self.seen[id(split)][1:]

    def _made(self, count, labels, split, draw=0):
        seed = zlib.crc32(split.name.encode()) + draw
        return self.sample(self.generator, count, labels if self.conditional else None, seed)

    def _see(self, images):
        return self.reference.features(images)


class DiscriminatorWon(keras.callbacks.Callback):
    """Says once when the discriminator's loss has been near 0 for long: it learns nothing then, nor does the generator.

    `d_loss` of an epoch's logs is that epoch's mean.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.warned = 0, False

    def on_epoch_end(self, epoch, logs=None):
        self.steps = self.steps + self.params["steps"] if abs(logs["d_loss"]) < WON else 0
        if self.steps >= LONG and not self.warned:
            self.warned = True
            logger.warning("the discriminator has won: its loss has been below %s for %d steps. Lower objective_args."
                           "discriminator_lr, add a penalty (objective_args.r1=1) or use a smaller discriminator.",
                           WON, self.steps)


def some(size: int, count: int) -> np.ndarray:
    """Indices of at most so many of `size` examples, drawn once and for all, in order."""
    return np.sort(np.random.default_rng(0).permutation(size)[:count])
