"""The usual Keras script, as keras.io writes it: python -m benchmarks.keras_script ROW PRECISION STEPS."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_datasets as tfds  # noqa: E402

from benchmarks import keras_models, meter  # noqa: E402
from benchmarks.rows import BATCH, Row  # noqa: E402


def datasets(row: Row, images: int) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    train, test = tfds.load(row.data, split=[f"train[:{images}]", f"test[:{row.test_images}]"], as_supervised=True)

    def normalise(image, label):
        return tf.cast(image, tf.float32) * ((1 - row.low) / 255) + row.low, label

    train = train.map(normalise, num_parallel_calls=tf.data.AUTOTUNE).cache()
    train = train.shuffle(images).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    test = test.map(normalise, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).cache().prefetch(tf.data.AUTOTUNE)
    return train, test


def train(build) -> None:
    """Time a network that `build(row, name)` makes, with the row's optimizer."""
    row, name, precision, steps = meter.arguments()
    images, epochs = row.epochs(steps)
    keras.config.set_dtype_policy(precision)
    batches, test = datasets(row, images)
    model = build(row, name)
    model.compile(optimizer=keras_models.optimizer(row),
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    timing = meter.Meter()
    history = model.fit(batches, epochs=epochs, callbacks=[keras_models.Watch(timing)])
    scores = model.evaluate(test, return_dict=True)
    parameters = sum(v.shape.num_elements() for v in model.trainable_variables)
    meter.report(parameters, timing.images_per_second(), timing.first_step_seconds, meter.since_start(),
                 meter.peak_mb(), accuracy=scores["accuracy"], loss=history.history["loss"][-1])


if __name__ == "__main__":
    train(keras_models.build)
