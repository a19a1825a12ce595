"""A generator learns to make pictures that a discriminator cannot tell from real ones: Goodfellow et al. 2014.

The one place with a hand-written train_step. What it does, in order, for each batch:

1. The discriminator's step, `d_steps` times, each on its own part of the batch: pictures are generated outside the
   tape, both kinds are judged, and its optimizer alone is applied.
2. The generator's step, with fresh noise: generated and judged within one tape, and its optimizer alone is applied.
3. The average of the generator, which is what samples, moves.

Both networks run in training mode in both steps, so that they compute the same in either; a running statistic (batch
norm's in the generator, the vectors of spectral normalisation) moves whenever its network runs. Each loss is a mean
over the global batch, divided by the number of replicas once. All noise is a pure function of (seed, step), drawn for
the global batch, so that a run can go on at any step and replicas draw what one device does.
"""

from collections.abc import Sequence
from numbers import Real

import keras
import numpy as np
import tensorflow as tf

from kerasdl.errors import UserError, nearest
from kerasdl.objectives import ema as averages
from kerasdl.objectives.gan.diffaugment import compose
from kerasdl.objectives.gan.losses import LOSSES, between, slope, unit_slope
from kerasdl.zoo.gan.layers import Cluster
from kerasdl.zoo.gan.pairs import count_classes

STREAMS = 256  # of noise in a step: the generator's last, four for each of the discriminator's steps
CHUNK = 128  # pictures that are generated at a time, always: the last bits depend on the size of a batch


class GAN(keras.Model):
    """A generator and a discriminator that are trained together by `fit`, on uint8 pictures or floats 0..255.

    Args:
        generator: latent (B, D), and int labels (B,) if conditional, -> pictures (B, H, W, C) in -1..1.
        discriminator: such pictures, and labels, -> logits (B, 1). With a generator of clusters, labels are clusters.
        loss: a key of gan_losses.LOSSES.
        r1: weight of half the squared slope at real pictures (Mescheder et al. 2018, arXiv:1801.04406); a number, or a
            function of the step such as Keras' schedules.
        r2: that at generated ones.
        gp: weight of WGAN-GP's penalty; its authors take 10.
        lazy: a penalty is taken each so many steps, and weighs as much more (Karras et al. 2020, arXiv:1912.04958).
        d_steps: steps of the discriminator to one of the generator.
        ema: decay of the generator's average; 0: none.
        augment: names of diffaugment.POLICIES, applied to all that the discriminator sees.
        seed: of the noise.

    Attributes:
        average: the generator that samples.

    Raises:
        UserError: an unknown loss or augmentation, or networks that do not fit each other.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model, loss: str = "relativistic", *,
                 r1: float = 0.0, r2: float = 0.0, gp: float = 0.0, lazy: int = 1, d_steps: int = 1,
                 ema: float = 0.999, augment: Sequence[str] = (), seed: int = 0, name: str = "gan"):
        super().__init__(name=name)
        if loss not in LOSSES:
            raise UserError(f"Unknown GAN loss {loss!r}. {nearest(loss, LOSSES)}")
        for key, value in {"lazy": lazy, "d_steps": d_steps}.items():
            if type(value) is not int or value < 1:
                raise UserError(f"{key} is a whole number, 1 or more. Received: {value!r}.")
        if not isinstance(gp, Real) or gp < 0:
            raise UserError(f"gp is a number from 0 on. Received: {gp!r}.")
        check_pair(generator, discriminator)
        self.generator, self.discriminator, self.objective = generator, discriminator, LOSSES[loss]
        self.r1, self.r2, self.gp, self.lazy, self.d_steps, self.seed = r1, r2, gp, lazy, d_steps, seed
        self.augment = compose(augment)
        self.average = averages.copy(generator) if ema else generator
        self.averager = averages.Averager(generator, self.average, ema) if ema else None
        self.conditional, self.clusters = len(generator.inputs) == 2, clusters(generator)
        self.trackers = {key: keras.metrics.Mean(name=key) for key in ("d_loss", "g_loss", "penalty")}
        self.built = True

    def compile(self, generator_optimizer="adam", discriminator_optimizer="adam", jit_compile: bool = False) -> None:
        """Sets the two optimizers and makes their slots now, as replicas and a state to be restored need."""
        super().compile(optimizer=generator_optimizer, jit_compile=jit_compile)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        if self.optimizer is self.discriminator_optimizer:
            raise UserError("The two networks need an optimizer each: one optimizer knows one list of variables.")
        self.optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The generator's and the discriminator's."""
        return [self.optimizer, self.discriminator_optimizer]

    def fit(self, x=None, y=None, **arguments):
        """Keras' own fit, on pictures (N, H, W, C) and their labels (N,), or on a dataset of both."""
        if isinstance(x, np.ndarray) and x.dtype != np.uint8 and not (0 <= x.min() and 1 < x.max() <= 255):
            raise UserError("Expected pictures as uint8, or as floats 0..255. "
                            f"Received: {x.dtype} in {x.min():.4g}..{x.max():.4g}.")
        last = len(x) % (arguments.get("batch_size") or 32) if isinstance(x, np.ndarray) else 0
        if 0 < last < self.d_steps:
            raise UserError(f"The last batch has {last} pictures, and d_steps={self.d_steps} needs as many at least. "
                            "Choose another batch_size.")
        return super().fit(x, y, **arguments)

    def train_step(self, data):
        images, labels = self._understood(data)
        for part in range(self.d_steps):
            own = slice(part, None, self.d_steps)  # and not a block, which on replicas would be other pictures
            real, kinds = images[own], None if labels is None else labels[own]
            d_loss, penalty = self.discriminator_step(real, kinds, part)
        g_loss = self.generator_step(real, kinds)
        if self.averager:
            self.averager.update(self.optimizer.iterations)
        for key, value in {"d_loss": d_loss, "g_loss": g_loss, "penalty": penalty}.items():
            self.trackers[key].update_state(value)
        self._loss_tracker.update_state(d_loss + g_loss + penalty)
        return self.get_metrics_result()

    def discriminator_step(self, real: tf.Tensor, labels: tf.Tensor | None, part: int = 0):
        """One step of the discriminator on pictures in -1..1; returns its loss and its penalty, means of this replica.

        Only the discriminator's weights and optimizer change, and running statistics.
        """
        stream = 4 * part
        fake = self._made(self._draw(tf.random.stateless_normal, real, self._latent, stream), labels)
        real, fake = self._augmented(real, stream + 1), self._augmented(fake, stream + 2)
        share = self._draw(tf.random.stateless_uniform, real, (1, 1, 1), stream + 3) if self.gp else None

        variables = self.discriminator.trainable_variables

        def gradients(penalised: bool):
            grads, *losses = self._discriminator_gradients(real, fake, labels, share, penalised)
            short = bool(self.gp) and not penalised  # of the third time that pictures are judged
            return [opened(grad, short) for grad in grads], *losses

        if self.lazy > 1:
            due = self.optimizer.iterations % self.lazy == 0
            grads, loss, penalty = tf.cond(due, lambda: gradients(True), lambda: gradients(False))
        else:
            grads, loss, penalty = gradients(True)
        grads = [closed(grad, variable.shape) for grad, variable in zip(grads, variables, strict=True)]
        self.discriminator_optimizer.apply(grads, variables)
        return loss, penalty

    def generator_step(self, real: tf.Tensor, labels: tf.Tensor | None):
        """One step of the generator with fresh noise; returns its loss. A relativistic loss compares with `real`.

        Only the generator's weights and optimizer change, and running statistics.
        """
        stream = STREAMS - 4
        latent = self._draw(tf.random.stateless_normal, real, self._latent, stream)
        real_logits = None
        if self.objective.relative:
            real_logits = self._judged(self._augmented(real, stream + 1), labels)
        with tf.GradientTape() as tape:
            fake = self._augmented(self._made(latent, labels), stream + 2)
            fake_logits = self._judged(fake, labels)
            loss = tf.reduce_mean(self.objective.generator(real_logits, fake_logits))
            scaled = loss / self._replicas
        variables = self.generator.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    def sample(self, n: int, labels=None, seed: int = 0) -> np.ndarray:
        """`n` pictures of the averaged generator, uint8 (n, H, W, C); see `sample`."""
        return sample(self.average, n, labels, seed)

    def _discriminator_gradients(self, real, fake, labels, share, penalised):
        """Gradients of the discriminator's weights, its loss and its penalty."""
        def critic(images):
            return self._judged(images, labels)

        def judged(images, weight):
            if not (penalised and weight):
                return critic(images), 0.0
            logits, squared = slope(critic, images)
            now = weight(self.optimizer.iterations) if callable(weight) else weight
            return logits, self.lazy * now / 2 * tf.reduce_mean(squared)

        with tf.GradientTape() as tape:
            (real_logits, at_real), (fake_logits, at_fake) = judged(real, self.r1), judged(fake, self.r2)
            loss = tf.reduce_mean(self.objective.discriminator(real_logits, fake_logits))
            penalty = tf.zeros((), loss.dtype) + at_real + at_fake
            if penalised and self.gp:
                _, squared = slope(critic, between(real, fake, share))
                penalty += self.lazy * self.gp * tf.reduce_mean(unit_slope(squared))
            scaled = (loss + penalty) / self._replicas
        return tape.gradient(scaled, self.discriminator.trainable_variables), loss, penalty

    def _made(self, noise, labels):
        if self.clusters:
            noise = self.clusters.within(noise, labels)
        return self.generator([noise, labels] if self.conditional else noise, training=True)

    def _judged(self, images, labels):
        return self.discriminator(images if labels is None else [images, labels], training=True)

    def _augmented(self, images, stream):
        if not self.augment:
            return images
        return self.augment(images, lambda shape, i: self._draw(tf.random.stateless_uniform, images, shape, stream, i))

    def _draw(self, kind, images, shape, stream, i=0):
        """This replica's rows of noise for the global batch, a row a picture."""
        context = tf.distribute.get_replica_context()
        rows = images.shape[0] or tf.shape(images)[0]
        key = tf.stack([tf.constant((self.seed * STREAMS + stream) * 16 + i, tf.int64),
                        tf.cast(self.optimizer.iterations, tf.int64)])
        noise = kind((rows * context.num_replicas_in_sync, *shape), key, dtype=images.dtype)
        first = rows * context.replica_id_in_sync_group if context.num_replicas_in_sync > 1 else 0
        return noise[first:first + rows]

    @property
    def _latent(self):
        return self.generator.inputs[0].shape[1:]

    @property
    def _replicas(self):
        return self.distribute_strategy.num_replicas_in_sync

    def _understood(self, data):
        """Pictures in -1..1 and int32 labels or None, of what `fit` gives."""
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        made = tuple(self.generator.outputs[0].shape[1:])
        if tuple(images.shape[1:]) != made:
            raise UserError(f"The generator makes pictures of {made}, and the data has {tuple(images.shape[1:])}. "
                            "Build the networks for the data's shape.")
        if self.conditional and labels is None:
            raise UserError("A conditional GAN learns from pictures and their labels: fit(images, labels).")
        images = tf.cast(images, tf.float32) / 127.5 - 1.0
        if self.clusters:
            return images, self.clusters.nearest(images)
        return images, tf.cast(tf.reshape(labels, [-1]), tf.int32) if self.conditional else None


def check_pair(generator: keras.Model, discriminator: keras.Model) -> None:
    """Refuses networks that do not fit each other."""
    made, seen = (tuple(t.shape[1:]) for t in (generator.outputs[0], discriminator.inputs[0]))
    if made != seen:
        raise UserError(f"The generator makes pictures of {made}, and the discriminator sees {seen}.")
    if tuple(discriminator.outputs[0].shape[1:]) != (1,):
        raise UserError("Expected a discriminator with one logit a picture, (B, 1). "
                        f"Received: {tuple(discriminator.outputs[0].shape)}.")
    if len(generator.inputs) + bool(clusters(generator)) != len(discriminator.inputs):
        raise UserError("Both networks take labels, or none does. Received: a generator with "
                        f"{len(generator.inputs)} inputs and a discriminator with {len(discriminator.inputs)}.")


def clusters(generator: keras.Model) -> Cluster | None:
    """The layer of a generator that reads clusters from its noise."""
    return next((layer for layer in generator.layers if isinstance(layer, Cluster)), None)


def opened(gradient: tf.Tensor | tf.IndexedSlices, short: bool = False):
    """A gradient as it may leave a tf.cond: of slices their rows (n, ...) and indices (n,); if `short`, half as many
    rows of zeros more.

    XLA wants to know the shape of what leaves it, and of slices it does not. They are those of class vectors, and are
    not added up: Adam takes the square of each, by which these networks came out better (docs/gan.md).
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows = gradient.values.shape[0] or tf.shape(gradient.values)[0]
    more = [[0, rows // 2 if short else 0]]
    return tf.pad(gradient.values, more + [[0, 0]] * (len(gradient.values.shape) - 1)), tf.pad(gradient.indices, more)


def closed(gradient, shape: tuple[int, ...]) -> tf.Tensor | tf.IndexedSlices:
    """The gradient of a variable of this shape again."""
    return tf.IndexedSlices(*gradient, tf.constant(tuple(shape), tf.int64)) if isinstance(gradient, tuple) else gradient


def latents(n: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise (n, width), float32; of the same seed the first ones are the same whatever n."""
    return np.random.default_rng(seed).standard_normal((n, width), "float32")


def sample(generator: keras.Model, n: int, labels=None, seed: int = 0) -> np.ndarray:
    """`n` pictures, uint8 (n, H, W, C): the same for the same generator, labels and seed, in any process.

    Args:
        generator: trained, or loaded from a .keras file.
        labels: of a conditional generator, n integers or one for all; by default all classes in turn.

    Raises:
        UserError: labels that the generator does not know, or for one that takes none.
    """
    return decode(generator, latents(n, generator.inputs[0].shape[-1], seed), labels)


def decode(generator: keras.Model, noise: np.ndarray, labels=None) -> np.ndarray:
    """The pictures, uint8 (n, H, W, C), of noise (n, D); `labels` as in `sample`."""
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
    pictures = [_chunk(generator, [part[i:i + CHUNK] for part in parts]) for i in range(0, len(noise), CHUNK)]
    return np.concatenate(pictures)


def _chunk(generator, parts):
    count = len(parts[0])
    full = [tf.constant(np.resize(part, (CHUNK, *part.shape[1:]))) for part in parts]
    images = generator(full if len(full) > 1 else full[0], training=False)[:count]
    return np.round((np.clip(images, -1, 1) + 1) * 127.5).astype("uint8")
