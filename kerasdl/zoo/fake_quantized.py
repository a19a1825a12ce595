"""Layers that round as 8-bit arithmetic does while they learn: fake quantisation with straight-through gradients.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
arXiv:1712.05877, with the conventions of LiteRT: weights are symmetric, with a scale for each output channel, and
activations asymmetric, with one scale for a tensor. Numbers stay float32, rounded to those that the integers stand for.
"""

import keras
from keras import layers, ops
from keras.quantizers import fake_quant_with_min_max_vars as fake_quant

SMALLEST = 1e-6  # of a range, so that its scale is a number to divide by
LEAST = 1e-3  # of the largest channel's range: a file counts the bias of a dead channel in its steps, in 32 bits


@keras.saving.register_keras_serializable(package="kerasdl")
class FakeQuantize(layers.Layer):
    """Round activations to 2^bits numbers between `low` and `high`, which always have 0 among them.

    In training the two follow the smallest and the largest number of each batch.

    Args:
        bits: of an activation.
        momentum: of the two moving averages, 0 to 1.
    """

    def __init__(self, bits=8, momentum=0.99, **kwargs):
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        self.bits, self.momentum = bits, momentum

    def build(self, input_shape):
        self.low = self.add_weight(shape=(), initializer="zeros", trainable=False, aggregation="mean", name="low")
        self.high = self.add_weight(shape=(), initializer="ones", trainable=False, aggregation="mean", name="high")

    def call(self, x, training=False):
        if training:
            for bound, seen in zip((self.low, self.high), self.ends(x), strict=True):
                bound.assign(bound * self.momentum + (1 - self.momentum) * seen)
        low, high = ops.minimum(self.low, 0.0), ops.maximum(self.high, SMALLEST)
        return fake_quant(x, low, high, num_bits=self.bits)

    def ends(self, x):
        """Return the smallest and the largest number of a batch."""
        return ops.min(x), ops.max(x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"bits": self.bits, "momentum": self.momentum}


def rounded(kernel, bits, training=False):
    """Return a kernel (H, W, I, C) rounded to 2^bits - 1 numbers around 0, with a scale for each of C channels.

    A matrix (I, C) has one scale: TensorFlow's converter refuses to transpose one that has a scale for each column.
    In training the gradient of every weight passes. The operation's own stops at its ends, of which one may be rounded
    to less than the largest weight; without training it stands alone, as the converter looks for it.
    """
    if len(kernel.shape) == 2:
        most, axis = ops.maximum(ops.stop_gradient(ops.max(ops.abs(kernel))), SMALLEST), None
    else:
        most, axis = ops.stop_gradient(ops.max(ops.abs(kernel), axis=(0, 1, 2))), -1
        most = ops.maximum(most, ops.maximum(LEAST * ops.max(most), SMALLEST))
    found = fake_quant(kernel, -most, most, num_bits=bits, narrow_range=True, axis=axis)
    if not training:
        return found
    return ops.stop_gradient(found) + (kernel - ops.stop_gradient(kernel))  # the second is 0, and changes no number


class Rounds:
    """The argument `bits` of a layer whose kernel is rounded, in front of the layer among its bases."""

    def __init__(self, *args, bits=8, **kwargs):
        super().__init__(*args, **kwargs)
        self.bits = bits

    def get_config(self):
        return super().get_config() | {"bits": self.bits}

    def finished(self, x):
        """Add the bias, and apply the layer's activation."""
        x = ops.add(x, ops.cast(self.bias, x.dtype)) if self.use_bias else x
        return x if self.activation is None else self.activation(x)


@keras.saving.register_keras_serializable(package="kerasdl")
class RoundedConv1D(Rounds, layers.Conv1D):
    """Conv1D with a kernel of `bits` bits, as images of one row, which is the form that TensorFlow converts."""

    def call(self, x, training=False):
        padding, (stride,), (dilation,) = self.padding, self.strides, self.dilation_rate
        if padding == "causal":
            x, padding = ops.pad(x, ((0, 0), (dilation * (self.kernel.shape[0] - 1), 0), (0, 0))), "valid"
        kernel = rounded(self.kernel[None], self.bits, training)
        return self.finished(ops.conv(x[:, None], kernel, (1, stride), padding, "channels_last", (1, dilation)))[:, 0]


@keras.saving.register_keras_serializable(package="kerasdl")
class RoundedConv2D(Rounds, layers.Conv2D):
    """Conv2D with a kernel of `bits` bits."""

    def call(self, x, training=False):
        kernel = rounded(self.kernel, self.bits, training)
        return self.finished(ops.conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate))


@keras.saving.register_keras_serializable(package="kerasdl")
class RoundedDepthwiseConv2D(Rounds, layers.DepthwiseConv2D):
    """DepthwiseConv2D, of one filter a channel, with a kernel of `bits` bits."""

    def call(self, x, training=False):
        by_channel = ops.swapaxes(self.kernel, 2, 3)  # (H, W, 1, C)
        kernel = ops.swapaxes(rounded(by_channel, self.bits, training), 2, 3)
        return self.finished(ops.depthwise_conv(x, kernel, self.strides, self.padding, self.data_format,
                                                self.dilation_rate))


@keras.saving.register_keras_serializable(package="kerasdl")
class RoundedDense(Rounds, layers.Dense):
    """Dense with a kernel of `bits` bits."""

    def call(self, x, training=False):
        return self.finished(ops.matmul(x, rounded(self.kernel, self.bits, training)))


ROUNDED = {layers.Conv1D: RoundedConv1D, layers.Conv2D: RoundedConv2D, layers.DepthwiseConv2D: RoundedDepthwiseConv2D,
           layers.Dense: RoundedDense}
