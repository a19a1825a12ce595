"""The same Keras script on JAX, data in memory: python -m benchmarks.keras_jax ROW PRECISION STEPS."""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # where libtpu is installed JAX looks for a TPU for a minute

import keras  # noqa: E402

from benchmarks import arrays, keras_models, meter  # noqa: E402
from benchmarks.rows import BATCH  # noqa: E402


def main() -> None:
    row, name, precision, steps = meter.arguments()
    images, epochs = row.epochs(steps)
    keras.config.set_dtype_policy(precision)

    def normalised(split, count):
        x, y = arrays.load(row.data, split, count)
        return x.astype("float32") * ((1 - row.low) / 255) + row.low, y.astype("int32")

    (x, y), test = normalised("train", images), normalised("test", row.test_images)
    model = keras_models.build(row, name)
    model.compile(optimizer=keras_models.optimizer(row),
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    timing = meter.Meter()
    history = model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=[keras_models.Watch(timing)])
    scores = model.evaluate(*test, batch_size=BATCH, return_dict=True)
    parameters = sum(v.value.size for v in model.trainable_variables)
    meter.report(int(parameters), timing.images_per_second(), timing.first_step_seconds, meter.since_start(),
                 meter.peak_mb(), accuracy=scores["accuracy"], loss=history.history["loss"][-1])


if __name__ == "__main__":
    main()
