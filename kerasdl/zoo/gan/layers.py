"""Layers of generators and discriminators: spectral normalisation, and what makes them conditional on a class."""

import math

import keras
from keras import layers, ops


class Spectral:
    """A kernel, as a (..., out) matrix, over its largest singular value (Miyato et al. 2018, arXiv:1802.05957).

    One power iteration in each call in training mode, as in the paper, moves the estimate `u` of its right vector; the
    gradient flows through the value. keras.layers.SpectralNormalization writes the divided kernel over the trained one,
    so that a mere forward pass in training mode changes what the optimizer holds.
    """

    def build(self, input_shape):
        super().build(input_shape)
        start = keras.initializers.RandomNormal()
        self.u = self.add_weight(shape=(self._kernel.shape[-1],), initializer=start, trainable=False, name="u")

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["u"] = self.u

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.u.assign(store["u"])


@keras.saving.register_keras_serializable(package="kerasdl")
class SpectralConv2D(Spectral, layers.Conv2D):
    """Convolution by a kernel of spectral norm 1."""

    def call(self, inputs, training=False):
        kernel = normalised(self._kernel, self.u, training)
        x = ops.conv(inputs, ops.cast(kernel, self.compute_dtype), self.strides, self.padding, "channels_last")
        return x + ops.cast(self.bias, x.dtype)


@keras.saving.register_keras_serializable(package="kerasdl")
class SpectralDense(Spectral, layers.Dense):
    """Dense layer with a kernel of spectral norm 1."""

    def call(self, inputs, training=False):
        kernel = normalised(self._kernel, self.u, training)
        x = ops.matmul(inputs, ops.cast(kernel, self.compute_dtype))
        return x + ops.cast(self.bias, x.dtype)


def normalised(kernel, u, training):
    """The kernel over its largest singular value, of which `u` is the right vector."""
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    left = unit(ops.matmul(matrix, ops.convert_to_tensor(u)))
    right = unit(ops.matmul(left, matrix))
    if training:
        u.assign(right)
    left, right = ops.stop_gradient(left), ops.stop_gradient(right)
    return kernel / ops.sum(ops.matmul(left, matrix) * right)


def unit(vector):
    return vector * ops.rsqrt(ops.sum(ops.square(vector)) + 1e-12)


@keras.saving.register_keras_serializable(package="kerasdl")
class Projection(layers.Layer):
    """Features (B, D) and labels (B,) -> (B, 1): the inner product with the class's learned vector."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, features_shape, labels_shape=None):
        start = keras.initializers.RandomNormal(stddev=features_shape[-1] ** -0.5)
        self.table = self.add_weight(shape=(self.classes, features_shape[-1]), initializer=start, name="table")

    def call(self, features, labels):
        rows = ops.take(ops.convert_to_tensor(self.table), labels, axis=0)
        return ops.sum(features * ops.cast(rows, features.dtype), axis=-1, keepdims=True)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="kerasdl")
class ClassGain(layers.Layer):
    """Maps (B, H, W, C) and labels (B,) -> maps times the class's gain, plus its offset; after a normalisation."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, maps_shape, labels_shape=None):
        shape = (self.classes, maps_shape[-1])
        self.gain = self.add_weight(shape=shape, initializer="ones", name="gain")
        self.offset = self.add_weight(shape=shape, initializer="zeros", name="offset")

    def call(self, maps, labels):
        gain, offset = (ops.take(ops.convert_to_tensor(w), labels, axis=0)[:, None, None] for w in
                        (self.gain, self.offset))
        return maps * ops.cast(gain, maps.dtype) + ops.cast(offset, maps.dtype)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="kerasdl")
class Cluster(layers.Layer):
    """Noise (B, D) -> the cluster (B,) that its last number stands for, as often as images are of that cluster.

    The clusters lie side by side on the unit interval, each as wide as its share, and a normal number has its place
    there by its quantile. So a generator of clusters takes noise and nothing else. Until `settle` is told the clusters,
    as objectives.adversarial.kmeans finds them, every image is of the first one.

    Args:
        clusters: how many.
        pixels: numbers of an image.
    """

    def __init__(self, clusters, pixels, **kwargs):
        super().__init__(**kwargs)
        self.clusters, self.pixels = clusters, pixels

    def build(self, noise_shape):
        self.centers = self.add_weight(shape=(self.clusters, self.pixels), initializer="zeros", trainable=False,
                                       name="centers")
        self.edges = self.add_weight(shape=(self.clusters + 1,), trainable=False, name="edges",
                                     initializer=lambda shape, dtype: ops.linspace(0.0, 1.0, shape[0], dtype=dtype))

    def settle(self, centers, shares):
        """Take the clusters' centers (clusters, pixels), images in -1..1, and their shares (clusters,) of all."""
        self.centers.assign(centers)
        self.edges.assign(ops.concatenate([ops.zeros(1), ops.cumsum(ops.convert_to_tensor(shares, "float32"))]))

    def call(self, noise):
        inner = ops.convert_to_tensor(self.edges)[1:-1]
        return ops.sum(ops.cast(quantile(noise[:, -1:]) >= inner, "int32"), axis=-1)

    def nearest(self, images):
        """The cluster (B,) of the center that is nearest to each of the images (B, H, W, C) in -1..1."""
        centers = ops.convert_to_tensor(self.centers)
        flat = ops.reshape(images, (-1, self.pixels))
        near = ops.matmul(flat, ops.transpose(centers)) - ops.sum(ops.square(centers), axis=-1) / 2
        return ops.cast(ops.argmax(near, axis=-1), "int32")

    def within(self, noise, cluster):
        """The noise with its last number moved to where it stands for these clusters (B,)."""
        edges = ops.convert_to_tensor(self.edges)
        low, high = ops.take(edges, cluster), ops.take(edges, cluster + 1)
        share = 0.001 + 0.998 * quantile(noise[:, -1])  # clear of the edges, which rounding could cross
        number = math.sqrt(2) * ops.erfinv(2 * (low + (high - low) * share) - 1)
        return ops.concatenate([noise[:, :-1], number[:, None]], axis=-1)

    def get_config(self):
        return {**super().get_config(), "clusters": self.clusters, "pixels": self.pixels}


def quantile(number):
    """Where a normal number lies, 0..1."""
    return (1 + ops.erf(number / math.sqrt(2))) / 2
