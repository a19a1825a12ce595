"""The GAN: a generator learns to make images that a discriminator cannot tell from real ones. Goodfellow et al. 2014.

This is the only hand-written train_step in the package. For each batch it does, in this order:

1. The discriminator's step: images are generated outside the tape, the discriminator sees both kinds, and its optimizer
   alone is applied.
2. The generator's step, with fresh noise: generator and discriminator run within one tape, and the generator's
   optimizer alone is applied.
3. The moving average of the generator is updated; samples come from it.

Both networks run in training mode in both steps, so that they compute the same in either; the running statistics of
batch normalisation move whenever the generator runs. Each loss is a mean over the global batch, divided by the number
of replicas once. All noise is a pure function of (seed, step) and is drawn for the global batch, so that a run can be
resumed at any step and N replicas draw what one device draws.
"""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from kerasdl.errors import UserError, nearest
from kerasdl.keras_private import FitsReplicas
from kerasdl.objectives import average as averages
from kerasdl.objectives.gan.losses import LOSSES, gradient_norm_sq
from kerasdl.zoo.gan import count_classes
from kerasdl.zoo.gan.layers import Cluster

DISCRIMINATOR, GENERATOR, STREAMS = 0, 252, 256  # streams of noise; published results depend on the numbers
CHUNK = 128  # images are always generated in batches of this size, because the last bits depend on it


class GAN(FitsReplicas):
    """A generator and a discriminator, trained together by `fit` on uint8 images or floats 0..255.

    Args:
        generator: latent (B, D), and int labels (B,) if conditional, -> images (B, H, W, C) in -1..1.
        discriminator: such images, and labels, -> logits (B, 1). With a generator of clusters, labels are clusters.
        loss: a key of losses.LOSSES.
        r1: weight of half the squared gradient norm at real images (Mescheder et al. 2018, arXiv:1801.04406); a
            number, or a function of the step such as a Keras schedule.
        r2: the same at generated images.
        lazy: compute the penalties only every `lazy` steps, `lazy` times as heavy (Karras et al. 2020,
            arXiv:1912.04958).
        ema: decay of the generator's moving average; 0 for none.
        seed: seed of the noise.
        xla_noise: whether the noise is XLA's, whose numbers are other ones, also where XLA does not compile the step,
            as on replicas.

    Attributes:
        average: the generator that samples.

    Raises:
        UserError: an unknown loss, or networks that do not fit each other.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model, loss: str = "relativistic", *,
                 r1: float | Callable = 0.0, r2: float | Callable = 0.0, lazy: int = 1, ema: float = 0.999,
                 seed: int = 0, xla_noise: bool = False, name: str = "gan"):
        super().__init__(name=name)
        if loss not in LOSSES:
            raise UserError(f"Unknown GAN loss {loss!r}. {nearest(loss, LOSSES)}")
        if type(lazy) is not int or lazy < 1:
            raise UserError(f"lazy is a whole number, 1 or more. Received: {lazy!r}.")
        check_pair(generator, discriminator)
        self.generator, self.discriminator, self.objective = generator, discriminator, LOSSES[loss]
        self.r1, self.r2, self.lazy, self.seed = r1, r2, lazy, seed
        self.xla_noise = xla_noise
        self.average = averages.copy(generator) if ema else generator
        self.averager = averages.Averager(generator, self.average, ema) if ema else None
        self.conditional, self.clusters = len(generator.inputs) == 2, clusters(generator)
        self.trackers = {key: keras.metrics.Mean(name=key) for key in ("d_loss", "g_loss", "penalty")}
        self.built = True

    def compile(self, generator_optimizer="adam", discriminator_optimizer="adam", jit_compile: bool = False) -> None:
        """Set both optimizers, and create their variables now, before replicas or a checkpoint need them."""
        super().compile(optimizer=generator_optimizer, jit_compile=jit_compile)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        if self.optimizer is self.discriminator_optimizer:
            raise UserError("The two networks need an optimizer each: one optimizer knows one list of variables.")
        self.optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The generator's and the discriminator's optimizer."""
        return [self.optimizer, self.discriminator_optimizer]

    def fit(self, x=None, y=None, **arguments):
        """Keras' own fit, on images (N, H, W, C) and their labels (N,), or on a dataset of both."""
        if isinstance(x, np.ndarray) and x.dtype != np.uint8 and not (0 <= x.min() and 1 < x.max() <= 255):
            raise UserError("Expected images as uint8, or as floats 0..255. "
                            f"Received: {x.dtype} in {x.min():.4g}..{x.max():.4g}.")
        return super().fit(x, y, **arguments)

    def train_step(self, data):
        images, labels = self.prepare(data)
        d_loss, penalty = self.discriminator_step(images, labels)
        g_loss = self.generator_step(images, labels)
        if self.averager:
            self.averager.update(self.optimizer.iterations)
        for key, value in {"d_loss": d_loss, "g_loss": g_loss, "penalty": penalty}.items():
            self.trackers[key].update_state(value)
        self.metrics[0].update_state(d_loss + g_loss + penalty)
        return self.get_metrics_result()

    def prepare(self, data) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return images in -1..1 and int32 labels, clusters or None, from a batch of `fit`."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        made = tuple(self.generator.outputs[0].shape[1:])
        if tuple(images.shape[1:]) != made:
            raise UserError(f"The generator makes images of {made}, and the data has {tuple(images.shape[1:])}. "
                            "Build the networks for the data's shape.")
        if self.conditional and labels is None:
            raise UserError("A conditional GAN learns from images and their labels: fit(images, labels).")
        images = tf.cast(images, tf.float32) / 127.5 - 1.0
        if self.clusters:
            return images, self.clusters.nearest(images)
        return images, tf.cast(tf.reshape(labels, [-1]), tf.int32) if self.conditional else None

    def discriminator_step(self, real: tf.Tensor, labels: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Train the discriminator on images in -1..1 and return its loss and its penalty, means over this replica.

        Only the discriminator's weights and optimizer change, and running statistics.
        """
        fake = self.generate(self._noise(real, DISCRIMINATOR), labels)
        variables = self.discriminator.trainable_variables

        def gradients(penalised: bool):
            grads, *losses = self._discriminator_gradients(real, fake, labels, penalised)
            return [pack_slices(grad) for grad in grads], *losses

        if self.lazy > 1:
            due = self.optimizer.iterations % self.lazy == 0
            grads, loss, penalty = tf.cond(due, lambda: gradients(True), lambda: gradients(False))
        else:
            grads, loss, penalty = gradients(True)
        grads = [unpack_slices(grad, variable.shape) for grad, variable in zip(grads, variables, strict=True)]
        self.discriminator_optimizer.apply(grads, variables)
        return loss, penalty

    def _discriminator_gradients(self, real, fake, labels, penalised):
        """Return the gradients of the discriminator's weights, its loss and its penalty."""
        def discriminate(images, weight):
            if not (penalised and weight):
                return self.discriminate(images, labels), 0.0
            logits, squared = gradient_norm_sq(lambda images: self.discriminate(images, labels), images)
            now = weight(self.optimizer.iterations) if callable(weight) else weight
            return logits, self.lazy * now / 2 * tf.reduce_mean(squared)

        with tf.GradientTape() as tape:
            (real_logits, at_real), (fake_logits, at_fake) = discriminate(real, self.r1), discriminate(fake, self.r2)
            loss = tf.reduce_mean(self.objective.discriminator(real_logits, fake_logits))
            penalty = tf.zeros((), loss.dtype) + at_real + at_fake
            scaled = (loss + penalty) / self._replicas
        return tape.gradient(scaled, self.discriminator.trainable_variables), loss, penalty

    def generator_step(self, real: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """Train the generator with fresh noise and return its loss. A relativistic loss compares with `real`.

        Only the generator's weights and optimizer change, and running statistics.
        """
        noise = self._noise(real, GENERATOR)
        real_logits = self.discriminate(real, labels) if self.objective.relative else None
        with tf.GradientTape() as tape:
            fake_logits = self.discriminate(self.generate(noise, labels), labels)
            loss = tf.reduce_mean(self.objective.generator(real_logits, fake_logits))
            scaled = loss / self._replicas
        variables = self.generator.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    def generate(self, noise, labels):
        """Return images in -1..1 of noise (B, D), in training mode."""
        if self.clusters:
            noise = self.clusters.within(noise, labels)
        return self.generator([noise, labels] if self.conditional else noise, training=True)

    def discriminate(self, images, labels):
        """Return logits (B, 1), in training mode."""
        return self.discriminator(images if labels is None else [images, labels], training=True)

    def sample(self, n: int, labels=None, seed: int = 0) -> np.ndarray:
        """Return `n` images of the averaged generator, uint8 (n, H, W, C); see `sample`."""
        return sample(self.average, n, labels, seed)

    def _noise(self, images, stream):
        """Return this replica's rows of the noise for the global batch, one row for each image."""
        context = tf.distribute.get_replica_context()
        rows, width = images.shape[0] or tf.shape(images)[0], self.generator.inputs[0].shape[1]
        key = tf.stack([tf.constant((self.seed * STREAMS + stream) * 16, tf.int64),
                        tf.cast(self.optimizer.iterations, tf.int64)])
        draw = partial(tf.random.stateless_normal, (rows * context.num_replicas_in_sync, width), dtype=images.dtype)
        if self.xla_noise and isinstance(rows, int):
            draw = tf.function(draw, jit_compile=True, autograph=False)
        noise = draw(key)
        first = rows * context.replica_id_in_sync_group if context.num_replicas_in_sync > 1 else 0
        return noise[first:first + rows]

    @property
    def _replicas(self):
        return self.distribute_strategy.num_replicas_in_sync


def check_pair(generator: keras.Model, discriminator: keras.Model) -> None:
    """Raise UserError if the two networks do not fit each other."""
    made, seen = (tuple(t.shape[1:]) for t in (generator.outputs[0], discriminator.inputs[0]))
    if made != seen:
        raise UserError(f"The generator makes images of {made}, and the discriminator takes {seen}.")
    if tuple(discriminator.outputs[0].shape[1:]) != (1,):
        raise UserError("Expected a discriminator with one logit for each image, (B, 1). "
                        f"Received: {tuple(discriminator.outputs[0].shape)}.")
    if len(generator.inputs) + bool(clusters(generator)) != len(discriminator.inputs):
        raise UserError("Both networks take labels, or neither does. Received: a generator with "
                        f"{len(generator.inputs)} inputs and a discriminator with {len(discriminator.inputs)}.")


def clusters(generator: keras.Model) -> Cluster | None:
    """Return the layer of a generator that reads clusters from its noise, or None."""
    return next((layer for layer in generator.layers if isinstance(layer, Cluster)), None)


def pack_slices(gradient: tf.Tensor | tf.IndexedSlices):
    """Return a gradient as it may leave a tf.cond: of slices the rows (n, ...) and indices (n,).

    XLA needs the shape of what leaves a branch, which IndexedSlices do not have. Such gradients belong to class
    vectors. Their slices are not summed, so that Adam squares each one: networks were better so (docs/lab/gan.md).
    """
    return (gradient.values, gradient.indices) if isinstance(gradient, tf.IndexedSlices) else gradient


def unpack_slices(gradient, shape: tuple[int, ...]) -> tf.Tensor | tf.IndexedSlices:
    """Return the gradient of a variable of this shape from `pack_slices`."""
    return tf.IndexedSlices(*gradient, tf.constant(tuple(shape), tf.int64)) if isinstance(gradient, tuple) else gradient


def latents(n: int, width: int, seed: int = 0) -> np.ndarray:
    """Return noise (n, width), float32; with the same seed the first rows do not depend on n."""
    return np.random.default_rng(seed).standard_normal((n, width), "float32")


def sample(generator: keras.Model, n: int, labels=None, seed: int = 0) -> np.ndarray:
    """Return `n` images, uint8 (n, H, W, C): the same for the same generator, labels and seed, in any process.

    Args:
        generator: trained, or loaded from a .keras file.
        n: number of images.
        labels: for a conditional generator, n integers or one for all; by default all classes in turn.
        seed: seed of the noise.

    Raises:
        UserError: labels that the generator does not know, or labels for a generator without them.
    """
    return decode(generator, latents(n, generator.inputs[0].shape[-1], seed), labels)


def decode(generator: keras.Model, noise: np.ndarray, labels=None) -> np.ndarray:
    """Return the images, uint8 (n, H, W, C), of noise (n, D); `labels` as in `sample`."""
    width = generator.inputs[0].shape[-1]
    if noise.ndim != 2 or noise.shape[1] != width:
        raise UserError(f"This generator takes noise of shape (n, {width}). Received: {noise.shape}.")
    parts = [noise.astype("float32")]
    if len(generator.inputs) == 2:
        classes = count_classes(generator)
        labels = np.arange(len(noise)) % classes if labels is None else np.broadcast_to(labels, (len(noise),))
        if not (0 <= labels.min() and labels.max() < classes):
            raise UserError(f"This generator knows the classes 0..{classes - 1}. Received: {labels}.")
        parts.append(labels.astype("int32"))
    elif labels is not None:
        raise UserError("This generator takes no class: it was trained without labels.")
    images = [_chunk(generator, [part[i:i + CHUNK] for part in parts]) for i in range(0, len(noise), CHUNK)]
    return np.concatenate(images)


def _chunk(generator, parts):
    count = len(parts[0])
    full = [tf.constant(np.resize(part, (CHUNK, *part.shape[1:]))) for part in parts]
    images = generator(full if len(full) > 1 else full[0], training=False)[:count]
    return np.round((np.clip(images, -1, 1) + 1) * 127.5).astype("uint8")
