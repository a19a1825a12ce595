"""The device that Keras computes on."""

import tensorflow as tf

from kerasdl.installation import backend


def device() -> str:
    """Return the name of the first GPU or TPU, or "CPU"."""
    if backend.jax():
        from kerasdl.devices import jax

        return jax.device()
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
