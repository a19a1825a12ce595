"""Layers that make generators and discriminators conditional on a class or a cluster."""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="kerasdl")
class Projection(layers.Layer):
    """Features (B, D) and labels (B,) -> (B, 1): the inner product with the learned vector of the class."""

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
class Cluster(layers.Layer):
    """Noise (B, D) -> the cluster (B,) that its last number stands for, with the frequency of that cluster in the data.

    The unit interval is divided among the clusters, each with a part as wide as its share of the images, and the
    quantile of the last number lies in one of the parts. So a generator of clusters takes noise and nothing else.
    Until `set_clusters` is called, every image belongs to the first cluster.

    Args:
        clusters: their number.
        pixels: the number of values in an image, H * W * C.
    """

    def __init__(self, clusters, pixels, **kwargs):
        super().__init__(**kwargs)
        self.clusters, self.pixels = clusters, pixels

    def build(self, noise_shape):
        self.centers = self.add_weight(shape=(self.clusters, self.pixels), initializer="zeros", trainable=False,
                                       name="centers")
        self.edges = self.add_weight(shape=(self.clusters + 1,), trainable=False, name="edges",
                                     initializer=lambda shape, dtype: ops.linspace(0.0, 1.0, shape[0], dtype=dtype))

    def set_clusters(self, centers, shares):
        """Set the centers (clusters, pixels), in -1..1, and the shares (clusters,) of all images, which sum to 1."""
        self.centers.assign(centers)
        self.edges.assign(ops.concatenate([ops.zeros(1), ops.cumsum(ops.convert_to_tensor(shares, "float32"))]))

    def call(self, noise):
        inner = ops.convert_to_tensor(self.edges)[1:-1]
        return ops.sum(ops.cast(quantile(noise[:, -1:]) >= inner, "int32"), axis=-1)

    def nearest(self, images):
        """Return the cluster (B,) with the center nearest to each of the images (B, H, W, C) in -1..1."""
        centers = ops.convert_to_tensor(self.centers)
        flat = ops.reshape(images, (-1, self.pixels))
        near = ops.matmul(flat, ops.transpose(centers)) - ops.sum(ops.square(centers), axis=-1) / 2
        return ops.cast(ops.argmax(near, axis=-1), "int32")

    def within(self, noise, cluster):
        """Return the noise with its last number moved so that it stands for these clusters (B,)."""
        edges = ops.convert_to_tensor(self.edges)
        low, high = ops.take(edges, cluster), ops.take(edges, cluster + 1)
        share = 0.001 + 0.998 * quantile(noise[:, -1])  # away from the edges, which rounding could cross
        number = math.sqrt(2) * ops.erfinv(2 * (low + (high - low) * share) - 1)
        return ops.concatenate([noise[:, :-1], number[:, None]], axis=-1)

    def get_config(self):
        return {**super().get_config(), "clusters": self.clusters, "pixels": self.pixels}


def quantile(number):
    """Return the normal distribution function, 0..1."""
    return (1 + ops.erf(number / math.sqrt(2))) / 2
