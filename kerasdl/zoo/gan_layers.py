"""Layers of generators and discriminators: spectral normalisation, and what makes them conditional on a class."""

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
        x = ops.conv(inputs, ops.cast(kernel, self.compute_dtype), self.strides, self.padding)
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
