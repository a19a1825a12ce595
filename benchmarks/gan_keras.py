"""The GAN loop of keras.io's dcgan_overriding_train_step on the same networks: python -m benchmarks.gan_keras STEPS.

With `training=True`, which the example leaves out, and a loss from logits, so that all compute the same.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from benchmarks import arrays, keras_models, meter  # noqa: E402
from benchmarks.gan import BATCH, BETAS, HIDDEN, LATENT, RATE, SHAPE, WIDTHS  # noqa: E402


def networks() -> tuple[keras.Model, keras.Model]:
    wide, narrow = WIDTHS
    generator = keras.Sequential([
        keras.Input((LATENT,)), layers.Dense(HIDDEN, use_bias=False), layers.BatchNormalization(), layers.ReLU(),
        layers.Dense(7 * 7 * wide, use_bias=False), layers.Reshape((7, 7, wide)), layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2DTranspose(narrow, 4, 2, padding="same", use_bias=False), layers.BatchNormalization(),
        layers.ReLU(), layers.Conv2DTranspose(SHAPE[2], 4, 2, padding="same", activation="tanh")])
    discriminator = keras.Sequential([
        keras.Input(SHAPE), layers.Conv2D(narrow, 4, 2, padding="same"), layers.LeakyReLU(0.2),
        layers.Conv2D(wide, 4, 2, padding="same"), layers.LeakyReLU(0.2), layers.Flatten(),
        layers.Dense(HIDDEN), layers.LeakyReLU(0.2), layers.Dense(1)])
    return generator, discriminator


class GAN(keras.Model):
    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn
        self.d_loss_metric = keras.metrics.Mean(name="d_loss")
        self.g_loss_metric = keras.metrics.Mean(name="g_loss")

    @property
    def metrics(self):
        return [self.d_loss_metric, self.g_loss_metric]

    def train_step(self, real):
        batch = tf.shape(real)[0]
        generated = self.generator(tf.random.normal((batch, LATENT)), training=True)
        combined = tf.concat([generated, real], axis=0)
        labels = tf.concat([tf.zeros((batch, 1)), tf.ones((batch, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(combined, training=True))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
        noise = tf.random.normal((batch, LATENT))
        with tf.GradientTape() as tape:
            predictions = self.discriminator(self.generator(noise, training=True), training=True)
            g_loss = self.loss_fn(tf.ones((batch, 1)), predictions)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        self.d_loss_metric.update_state(d_loss)
        self.g_loss_metric.update_state(g_loss)
        return {"d_loss": self.d_loss_metric.result(), "g_loss": self.g_loss_metric.result()}


def main() -> None:
    steps = int(sys.argv[1])
    x, _ = arrays.load("mnist", "train", steps * BATCH)
    batches = tf.data.Dataset.from_tensor_slices(x)
    batches = batches.map(lambda image: tf.cast(image, tf.float32) / 127.5 - 1, num_parallel_calls=tf.data.AUTOTUNE)
    batches = batches.cache().shuffle(len(x)).batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    model = GAN(*networks())
    model.compile(*(keras.optimizers.Adam(RATE, *BETAS) for _ in range(2)),
                  keras.losses.BinaryCrossentropy(from_logits=True))
    timing = meter.Meter()
    model.fit(batches, epochs=2, callbacks=[keras_models.Watch(timing)], verbose=0)
    parameters = sum(v.shape.num_elements() for net in (model.generator, model.discriminator)
                     for v in net.trainable_variables)
    meter.report(parameters, timing.images_per_second(), timing.first_step_seconds, meter.since_start(),
                 meter.peak_mb())


if __name__ == "__main__":
    main()
