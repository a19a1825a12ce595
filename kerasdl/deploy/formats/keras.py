"""Keras' own file, of float32 layers, without an optimizer."""

from kerasdl.zoo import register

FILE = "model.keras"
PACKAGES = ("tensorflow",)
QUANTIZED: dict[str, str] = {}
CONVERTS = False


def write(network, path, kind, examples):
    network.save(path)


def load(path, threads):
    import keras
    import tensorflow as tf

    register()
    call = tf.function(keras.saving.load_model(path, compile=False), reduce_retracing=True)
    return lambda x: call(tf.constant(x), training=False).numpy()
