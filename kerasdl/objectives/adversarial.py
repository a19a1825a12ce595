"""A GAN: images like those of the data, measured through a reference classifier."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
from pydantic import Field

from kerasdl import zoo
from kerasdl.data.split import Split
from kerasdl.errors import UserError, nearest
from kerasdl.objectives.base import Objective
from kerasdl.objectives.gan import gallery
from kerasdl.objectives.gan.clusters import find_clusters
from kerasdl.objectives.gan.gan import GAN, clusters, sample
from kerasdl.objectives.gan.scores import DiscriminatorWon, GeneratorScores
from kerasdl.objectives.images import enlarged, grid
from kerasdl.objectives.sections import Findings, Section, template
from kerasdl.recipe import Recipe
from kerasdl.settings import Settings
from kerasdl.text import typed
from kerasdl.zoo.gan import count_classes

ROWS, COLUMNS = 8, 8  # of the images that show an epoch
Weight = float | Annotated[tuple[float, float], Field(strict=False)]


class AdversarialSettings(Settings):
    """Settings of a GAN; kerasdl.objectives.gan.GAN has a longer text on those that it takes."""

    loss: str = Field("relativistic", description="the two losses, by their name in kerasdl.objectives.gan.losses")
    r1: Weight = Field(0.0, description="weight of the gradient penalty on real images; a pair: first and last value")
    r2: Weight = Field(0.0, description="weight of the gradient penalty on generated images; a pair as in r1")
    lazy: int = Field(1, ge=1, description="compute the penalties only every `lazy` steps, `lazy` times as heavy")
    discriminator_lr: float | None = Field(None, gt=0, description="learning rate of the discriminator; None: lr")
    reference: str = Field("", description="classifier whose features the scores compare: a recipe or a .keras file")


class Adversarial(Objective):
    """Learn to make images that a discriminator cannot tell from real ones (Goodfellow et al. 2014, arXiv:1406.2661).

    The one objective with a training step of its own. It keeps the generator, or its average.
    """

    inputs = ("image",)
    target = "class"
    scores = {"frechet": "min", "kid": "min", "density": "max", "coverage": "max", "accuracy": "max"}
    monitor = "frechet"
    losses = {"d_loss": "discriminator's loss", "penalty": "discriminator's penalty", "g_loss": "generator's loss"}
    backends = ("tensorflow",)
    sums_rows = False  # of class vectors: docs/lab/gan.md
    Settings = AdversarialSettings
    renamed = {"referee": "reference"}

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        recipe = self.recipe
        if split.weights is not None:
            raise UserError("A GAN takes no weights of examples. Leave them out.")
        if recipe.model not in zoo.GENERATIVE:
            raise UserError("objective=adversarial needs a model with two networks. "
                            f"{nearest(recipe.model, zoo.GENERATIVE)}")
        if recipe.init or recipe.freeze or recipe.layer_decay < 1:
            raise UserError("init, freeze and layer_decay are for models that predict. "
                            f"Leave them out with objective={recipe.objective}.")
        if recipe.accumulate > 1:
            raise UserError("accumulate is for one network. Set it to 1 for a GAN.")
        if mixing := [name for entry in recipe.augment if (name := entry if isinstance(entry, str) else entry[0])
                      in ("mixup", "cutmix")]:
            raise UserError(f"augment has {mixing[0]}, which mixes images. A GAN would learn to make mixtures.")

    def networks(self, split: Split) -> tuple[keras.Model, ...]:
        generator, discriminator = zoo.build(self.recipe.model, split.shape, len(split.classes),
                                             **self.recipe.model_args)
        if layer := clusters(generator):
            find_clusters(layer, split)
        return generator, discriminator

    def assemble(self, networks: tuple[keras.Model, ...], steps: int) -> tuple[keras.Model, keras.Model, None]:
        (generator, discriminator), settings = networks, self.settings
        model = GAN(generator, discriminator, settings.loss, r1=decaying("r1", settings.r1, steps),
                    r2=decaying("r2", settings.r2, steps), lazy=settings.lazy, ema=self.recipe.ema,
                    seed=self.recipe.seed, xla_noise=bool(self.recipe.jit))
        return model, model.average, None

    def optimizer_recipes(self) -> tuple[Recipe, ...]:
        rate = self.settings.discriminator_lr
        return self.recipe, self.recipe.override(lr=rate) if rate else self.recipe

    def compile(self, model: keras.Model, *optimizers: keras.optimizers.Optimizer, jit: bool | None) -> None:
        model.compile(*optimizers, jit_compile=bool(jit))

    def callbacks(self) -> list[keras.callbacks.Callback]:
        return [DiscriminatorWon()]

    def preview(self, kept: keras.Model) -> Callable[[], np.ndarray]:
        """Return a grid of samples from the same noise every time; of a conditional generator a column a class."""
        columns = count_classes(kept) if len(kept.inputs) == 2 else COLUMNS
        return lambda: grid(enlarged(sample(kept, ROWS * columns, seed=0)), columns)

    def reference(self) -> str:
        return self.settings.reference

    def noted(self) -> dict[str, Any]:
        return {"reference": self.seen_through} if self.settings.reference else {}

    def evaluator(self, kept: keras.Model, reference: Any) -> GeneratorScores:
        self.seen_through = getattr(reference, "digest", "")
        if self.monitor == "accuracy" and not (len(kept.inputs) == 2 and reference.classifies):
            raise UserError("monitor=accuracy is for a conditional generator. Monitor another score.")
        return GeneratorScores(kept, sample, reference, self.monitor)

    def follow_ups(self, kept: keras.Model, splits: Mapping[str, Split], reference: Any
                   ) -> Mapping[str, tuple[Recipe, Mapping[str, Split]]]:
        """Train the reference classifier's recipe on generated images only (Ravuri & Vinyals, 2019)."""
        if len(kept.inputs) != 2 or not reference.classifies:
            return {}
        return {"taught": (reference.recipe, GeneratorScores(kept, sample, reference).generated(splits))}

    def answers(self, outputs: np.ndarray, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        raise UserError("The model makes images and takes none. See some: kerasdl sample RUN")

    def sample(self, kept: keras.Model, n: int, label: int | None, seed: int) -> np.ndarray:
        return sample(kept, n, label, seed)

    def sections(self, findings: Findings) -> list[Section]:
        return [Section("", template("adversarial.html.j2", **gallery.findings(findings)), above=True)]

    def next_command(self, folder: Path) -> str:
        return f"kerasdl sample {typed(folder)}"


def decaying(key: str, weight: Weight, steps: int) -> float | Callable:
    """Return a penalty's weight: a number, or for two the geometric schedule from the first to the last step."""
    if isinstance(weight, (int, float)) and weight >= 0:
        return weight
    if isinstance(weight, (int, float)) or min(weight) <= 0:
        raise UserError(f"objective_args.{key} is a number from 0 on, or two above 0: at first and at last. "
                        f"Received: {weight!r}.")
    first, last = weight
    return keras.optimizers.schedules.ExponentialDecay(first, steps, last / first)
