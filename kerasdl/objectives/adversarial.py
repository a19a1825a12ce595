"""Images like those of the data: a GAN as what a recipe learns, measured by a referee."""

import inspect
from collections.abc import Callable, Sequence
from numbers import Real

import keras
import numpy as np
import tensorflow as tf
from scipy.cluster.hierarchy import leaves_list, linkage
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from kerasdl import zoo
from kerasdl.errors import UserError, nearest
from kerasdl.objectives.gan.gan import GAN, clusters, sample
from kerasdl.objectives.gan.pictures import enlarged, grid
from kerasdl.objectives.gan.scores import DiscriminatorWon, Judge, some
from kerasdl.zoo.gan import count_classes

TARGET, METRIC, GOAL = "class", "frechet", "min"
BACKENDS = ("tensorflow",)
LOSSES = {"d_loss": "discriminator's loss", "penalty": "discriminator's penalty", "g_loss": "generator's loss"}
BESIDE = {"discriminator_lr", "referee"}  # keys of objective_args that are no arguments of GAN
CLUSTERED, COMPONENTS = 60_000, 50  # images at most that clusters are found in, seen through so many components
ROWS, COLUMNS = 8, 8  # of the images that show an epoch


def networks(model: str, split, args: dict) -> tuple[keras.Model, keras.Model]:
    """A generator and a discriminator from the zoo that fit the data."""
    if model not in zoo.GENERATIVE:
        raise UserError(f"objective=adversarial needs a model with two networks. {nearest(model, zoo.GENERATIVE)}")
    if isinstance(split.shape, int):
        raise UserError(f"A GAN makes images, and the data has rows of {split.shape} numbers. Choose image data.")
    generator, discriminator = zoo.build(model, split.shape, len(split.classes), **args)
    if layer := clusters(generator):
        streamed = isinstance(split.x, tf.data.Dataset)
        images = split.first(CLUSTERED) if streamed else split.chosen(some(len(split), CLUSTERED))[0]
        if len(images):
            layer.set_clusters(*kmeans(images, layer.clusters))
    return generator, discriminator


def kmeans(images: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centers (count, pixels), in -1..1, of clusters of images (N, H, W, C), and their shares; alike ones in turn.

    On principal components, which is faster and divides MNIST better than on pixels. Always of the same images from the
    same start, whatever the run's seed.
    """
    if len(images) < 2 * count:
        raise UserError(f"clusters={count} are too many for {len(images)} images. Half as many is the most.")
    rows = images.reshape(len(images), -1).astype("float32") / 127.5 - 1
    components = PCA(min(COMPONENTS, *rows.shape), random_state=0).fit(rows)
    found = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=0).fit(components.transform(rows))
    order = leaves_list(linkage(found.cluster_centers_, "ward", optimal_ordering=True))
    shares = np.bincount(found.labels_, minlength=count)[order] / len(images)
    return components.inverse_transform(found.cluster_centers_[order]), shares


def targets(split, smoothing: float = 0.0) -> np.ndarray:
    """Labels (N,) int32; of a streamed split all of them, by label."""
    if smoothing:
        raise UserError("label_smoothing is for classes that are told apart. Set it to 0 for a GAN.")
    return np.arange(len(split.classes), dtype="int32") if split.y is None else split.y


def rates(recipe) -> tuple:
    """The generator's optimizer is the recipe's; the discriminator's is, but for objective_args "discriminator_lr"."""
    args = recipe.objective_args
    return ((recipe, 1), (recipe.override(lr=args.get("discriminator_lr", recipe.lr)), args.get("d_steps", 1)))


def assemble(networks: tuple[keras.Model, ...], stepping: Callable, recipe, steps: int
             ) -> tuple[keras.Model, keras.Model]:
    """The GAN of a recipe, whose objective_args are arguments of GAN, and the average of its generator.

    Of r1 and r2 there may be two values, at the run's first and last step; the way from one to the other is geometric.
    """
    args = {key: value for key, value in recipe.objective_args.items() if key not in BESIDE}
    known = inspect.signature(GAN).parameters.keys() - {"generator", "discriminator", "ema", "seed", "name"}
    for key in args.keys() - known:
        raise UserError(f"Unknown objective_args.{key}. {nearest(key, sorted(known | BESIDE))}")
    args |= {key: falling(key, args[key], steps) for key in ("r1", "r2") if key in args}
    d_steps = args.get("d_steps", 1)
    if type(d_steps) is not int or d_steps < 1:
        raise UserError(f"objective_args.d_steps is a whole number, 1 or more. Received: {d_steps!r}.")
    parts = d_steps * tf.distribute.get_strategy().num_replicas_in_sync
    if recipe.tta:
        raise UserError("tta is for answers, and a GAN gives images. Leave it out.")
    if recipe.accumulate > 1:
        raise UserError("accumulate is for one network that learns. Set it to 1 for a GAN.")
    if recipe.batch % parts:
        raise UserError(f"batch={recipe.batch} does not divide by {parts}: d_steps times replicas.")
    if mixing := [name for entry in recipe.augment if (name := entry if isinstance(entry, str) else entry[0])
                  in ("mixup", "cutmix")]:
        raise UserError(f"augment has {mixing[0]}, which mixes classes. A GAN would learn to make mixtures.")
    model = stepping(GAN)(*networks, ema=recipe.ema, seed=recipe.seed, **args)
    return model, model.average


def falling(key: str, weight: float | Sequence[float], steps: int) -> float | Callable:
    """A penalty's weight: a number, or of two numbers the schedule between them."""
    if isinstance(weight, Real) and weight >= 0:
        return weight
    several = isinstance(weight, (list, tuple)) and all(isinstance(number, Real) and number > 0 for number in weight)
    if not several or len(weight) != 2:
        raise UserError(f"objective_args.{key} is a number from 0 on, or two above 0: at first and at last. "
                        f"Received: {weight!r}.")
    first, last = weight
    return keras.optimizers.schedules.ExponentialDecay(first, steps, last / first)


def compile(model: keras.Model, generator_optimizer, discriminator_optimizer, jit: bool | None = None) -> None:
    """Sets the two optimizers."""
    model.compile(generator_optimizer, discriminator_optimizer, jit_compile=bool(jit))


def watchers() -> list[keras.callbacks.Callback]:
    """A warning when the discriminator has won."""
    return [DiscriminatorWon()]


def judge(kept: keras.Model, referee) -> Judge:
    """Distances between generated and real images."""
    return Judge(kept, sample, referee)


def pictures(kept: keras.Model) -> np.ndarray:
    """A grid of samples from the same noise every time; of a conditional generator a column a class."""
    columns = count_classes(kept) if len(kept.inputs) == 2 else COLUMNS
    return grid(enlarged(sample(kept, ROWS * columns, seed=0)), columns)
