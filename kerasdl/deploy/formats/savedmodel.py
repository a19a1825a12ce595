"""TensorFlow's SavedModel, which TensorFlow Serving reads: a folder, with the endpoint `serve`."""

FILE = "model"
PACKAGES = ("tensorflow",)
QUANTIZED: dict[str, str] = {}


def write(network, path, kind, examples):
    network.export(path, format="tf_saved_model", verbose=False)


def load(path, threads):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)  # kept: the function alone does not hold its variables
    return lambda x: loaded.serve(tf.constant(x)).numpy()
