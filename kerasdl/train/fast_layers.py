"""Faster forms of layers for a training step on TensorFlow: what Keras does in many small operations, in few.

A form is a subclass with another `call`: the same weights, names and config. Row-wise arithmetic runs in kernels that
XLA compiles into one pass, between the convolutions and products of oneDNN, at which XLA is slower. A form stays only
while it is worth 1.1x of a step or of the first step on a row of benchmarks/fast_layers.py.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from kerasdl.keras_private import flat_layers, only_reader
from kerasdl.zoo import blocks, vit

SHARING: ContextVar[bool] = ContextVar("SHARING", default=False)  # whether blocks share graphs; see traced_once


@contextmanager
def replacing(model: keras.Model) -> Iterator[None]:
    """Trace a training step with the faster forms of the model's layers; outside, the layers are Keras' own.

    A layer of which there is a faster form has that form's class inside. Only the trace of a step on TensorFlow that
    XLA does not compile as a whole for a TPU, or for JAX, sees it: evaluation, saved models and plans never do.
    """
    changed, sharing = [], SHARING.set(not model.jit_compile)
    try:
        found = flat_layers(model) if usable() else []
        forms = [(layer, form) for layer in found
                 if layer.built and (form := FORMS.get(type(layer))) and form.fits(layer)]
        for layer, form in [*forms, *pooled(found)]:
            changed.append((layer, type(layer)))
            layer.__class__ = form
        yield
    finally:
        SHARING.reset(sharing)
        for layer, plain in changed:
            layer.__class__ = plain


def usable() -> bool:
    """Return whether the faster forms are: not on a TPU, where XLA compiles the whole step, and not on JAX."""
    return keras.backend.backend() == "tensorflow" and not isinstance(tf.distribute.get_strategy(),
                                                                      tf.distribute.TPUStrategy)


def pooled(found: list[layers.Layer]) -> Iterator[tuple[layers.Layer, type]]:
    """Yield each convolution whose answers go into a maximum, and that pool, with their forms."""
    for layer in found if layers.MaxPooling2D in FORMS else ():
        if type(layer) is layers.Conv2D and Conv2D.fits(layer):
            pool = only_reader(layer)
            if type(pool) is layers.MaxPooling2D and pool.data_format == "channels_last":  # type: ignore[union-attr]
                yield layer, Conv2D
                yield pool, MaxPooling2D


def xla_kernel(function: Callable) -> Callable:
    """The function as one compiled kernel, also where the step around it is not compiled."""
    return tf.function(function, jit_compile=True, autograph=False)


def traced_once(function: Callable) -> Callable:
    """The function as a graph that all layers with the same shapes call, with their weights as its arguments.

    It is not inlined, so that TensorFlow traces, differentiates and rewrites it once for a network of many blocks.
    Within a step that XLA compiles as a whole it is called as it is: a gradient's shapes would be no constants there.
    """
    graph = tf.function(function, autograph=False, experimental_attributes={"_noinline": True})

    @wraps(function)
    def call(*given):
        return (graph if SHARING.get() else function)(*given)

    return call


def read(weight: keras.Variable) -> tf.Tensor:
    """The numbers of a weight, in the dtype in which its layer computes."""
    return tf.convert_to_tensor(weight.value)


class BatchNormalization(layers.BatchNormalization):
    """One pass each way by FusedBatchNormV3; Keras' own where there is a mask or replicas share statistics."""

    @staticmethod
    def fits(layer):
        return layer.input_spec.ndim == 4 and layer.axis in (-1, 3) and not layer.renorm

    def call(self, inputs, training=None, mask=None):
        if mask is not None or self.synchronized or inputs.dtype == tf.float64:
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.convert_to_tensor(self.gamma.value, "float32") if self.scale else tf.ones(channels)
        offset = tf.convert_to_tensor(self.beta.value, "float32") if self.center else tf.zeros(channels)
        if not (training and self.trainable):
            mean, variance = (v.value for v in (self.moving_mean, self.moving_variance))
            return tf.raw_ops.FusedBatchNormV3(x=inputs, scale=scale, offset=offset, mean=mean, variance=variance,
                                               epsilon=self.epsilon, is_training=False).y
        normed = tf.raw_ops.FusedBatchNormV3(x=inputs, scale=scale, offset=offset, mean=[], variance=[],
                                             epsilon=self.epsilon, is_training=True)
        count = tf.cast(tf.size(inputs) // channels, "float32")
        # TensorFlow's operation reports the variance divided by count - 1, but Keras averages that divided by count.
        variance = normed.batch_variance * (tf.maximum(count - 1, 1) / count)
        for moving, batch in ((self.moving_mean, normed.batch_mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return normed.y


class Conv2D(layers.Conv2D):
    """A convolution that also tells the pool behind it what it had before its bias and ReLU.

    What it answers is Keras' own, for whoever else reads it; if nobody does, it is not computed in a graph.
    """

    @staticmethod
    def fits(layer):
        return layer.use_bias and layer.activation is keras.activations.relu and not layer.activity_regularizer \
            and not layer.lora_enabled and layer.quantization_mode is None and layer.data_format == "channels_last" \
            and not Patches.fits(layer)

    def call(self, inputs):
        maps = self.convolution_op(inputs, self.kernel)
        answer = self.activation(maps + ops.convert_to_tensor(self.bias))
        answer.before_bias = maps, self.bias
        return answer


class Patches(layers.Conv2D):
    """A convolution whose stride is its kernel: one product of matrices, with a row for each patch.

    Within a loop of steps XLA is slow at the gradient of such a convolution's kernel on a CPU.
    """

    @staticmethod
    def fits(layer):
        return layer.strides == layer.kernel_size != (1, 1) and layer.padding == "valid" and layer.groups == 1 \
            and layer.dilation_rate == (1, 1) and layer.data_format == "channels_last" \
            and not layer.lora_enabled and layer.quantization_mode is None

    def call(self, inputs):
        (rows, columns), (height, width) = self.kernel_size, inputs.shape[1:3]
        if not height or not width or height % rows or width % columns:
            return super().call(inputs)
        grid = tf.reshape(inputs, (-1, height // rows, rows, width // columns, columns, inputs.shape[-1]))
        kernel = ops.reshape(self.kernel, (-1, self.filters))
        patches = tf.reshape(tf.transpose(grid, (0, 1, 3, 2, 4, 5)), (-1, kernel.shape[0]))
        maps = tf.reshape(patches @ kernel, (-1, height // rows, width // columns, self.filters))
        return self.activation(maps + ops.convert_to_tensor(self.bias) if self.use_bias else maps)


class MaxPooling2D(layers.MaxPooling2D):
    """With bias and ReLU of the convolution before: they do not decrease, so that they may come after a maximum.

    There they are of a quarter of the numbers, and so are their gradients.
    """

    @staticmethod
    def fits(layer):
        return False  # not by itself: see pooled

    def call(self, inputs):
        if not hasattr(inputs, "before_bias"):  # a tensor that was made anew on its way
            return super().call(inputs)

        @tf.custom_gradient
        def shifted(maxima, bias):
            y = tf.nn.relu(tf.nn.bias_add(maxima, bias))

            def gradient(upstream):
                through = tf.raw_ops.ReluGrad(gradients=upstream, features=y)
                rows = tf.reshape(tf.cast(through, "float32"), (-1, y.shape[-1]))  # a product with ones is the sum
                return through, tf.cast((tf.ones((1, tf.shape(rows)[0])) @ rows)[0], y.dtype)

            return y, gradient

        maps, bias = inputs.before_bias
        return shifted(super().call(maps), tf.cast(tf.convert_to_tensor(bias.value), maps.dtype))


@xla_kernel
def normalise(x, gamma, beta, epsilon):
    """Rows to mean 0 and deviation 1, then gamma and beta; and each row's mean and 1 / deviation."""
    rows = tf.reshape(tf.cast(x, "float32"), (-1, x.shape[-1]))
    mean = row_sums(rows) / x.shape[-1]
    inverse = tf.math.rsqrt(row_sums(tf.square(rows - mean)) / x.shape[-1] + epsilon)
    normed = (rows - mean) * inverse * gamma + beta
    return tf.reshape(tf.cast(normed, x.dtype), tf.shape(x)), mean, inverse


@xla_kernel
def normalise_gradient(x, gamma, mean, inverse, upstream):
    """Gradients of x, gamma and beta."""
    rows, up = (tf.reshape(tf.cast(values, "float32"), (-1, x.shape[-1])) for values in (x, upstream))
    normed = (rows - mean) * inverse
    one = tf.ones((1, tf.shape(rows)[0]))
    weight = gamma[:, None] / x.shape[-1]
    gradient = inverse * (up * gamma - up @ weight - normed * ((up * normed) @ weight))
    return tf.reshape(tf.cast(gradient, x.dtype), tf.shape(x)), (one @ (up * normed))[0], (one @ up)[0]


def row_sums(rows):
    """A product with ones: XLA does not vectorise a sum over rows on a CPU."""
    return rows @ tf.ones((rows.shape[-1], 1))


class LayerNormalization(layers.LayerNormalization):
    """Over the last axis, an island each way, with the gradient written out."""

    @staticmethod
    def fits(layer):
        return layer.axis == [-1] and layer.scale and layer.center and not layer.rms_scaling

    def call(self, inputs):
        if inputs.dtype == tf.float64:
            return super().call(inputs)

        @tf.custom_gradient
        def normed(x, gamma, beta):
            y, *moments = normalise(x, gamma, beta, self.epsilon)
            return y, lambda upstream: normalise_gradient(x, gamma, *moments, upstream)

        gamma, beta = (tf.convert_to_tensor(v.value) for v in (self.gamma, self.beta))
        return tf.cast(normed(inputs, gamma, beta), self.compute_dtype)


@xla_kernel
def gelu_value(x):
    wide = tf.cast(x, "float32")
    return tf.cast(wide * (0.5 + 0.5 * tf.math.erf(wide * math.sqrt(0.5))), x.dtype)


@xla_kernel
def gelu_gradient(x, upstream):
    """The normal distribution function at x, plus x times its density."""
    wide = tf.cast(x, "float32")
    density = tf.exp(-0.5 * tf.square(wide)) / math.sqrt(2 * math.pi)
    slope = 0.5 + 0.5 * tf.math.erf(wide * math.sqrt(0.5)) + wide * density
    return tf.cast(tf.cast(upstream, "float32") * slope, x.dtype)


@tf.custom_gradient
def gelu(x):
    """Exact GELU, an island each way; it keeps x alone for the gradient."""
    return gelu_value(x), lambda upstream: gelu_gradient(x, upstream)


@traced_once
def gelu_dense(x, kernel, bias):
    return gelu(ops.add(ops.matmul(x, kernel), bias))


class Dense(layers.Dense):
    """A dense layer of which the activation is the exact GELU."""

    @staticmethod
    def fits(layer):
        return layer.activation in (vit.gelu, keras.activations.gelu) and layer.use_bias \
            and not layer.lora_enabled and layer.quantization_mode is None

    def call(self, inputs, training=None):
        return gelu_dense(inputs, read(self.kernel), read(self.bias))


@xla_kernel
def thinned(x, seed, rate):
    """x with a share of its numbers set to zero and the others scaled up; the same seed takes the same ones.

    The draw is a hash of the place, two rounds of lowbias32 (Wellons, 2018) with a key each. XLA's own generator takes
    seconds for what this does in milliseconds on a CPU.
    """
    place = tf.reshape(tf.cast(tf.range(tf.size(x)), "uint32"), tf.shape(x))
    layer, step = tf.unstack(tf.cast(seed, "uint32"))
    layer = scrambled(layer)
    draw = scrambled(scrambled(place + layer) ^ scrambled(step + layer))
    kept = draw >= tf.constant(round(rate * 2**32), "uint32")
    return tf.where(kept, x * tf.cast(1 / (1 - rate), x.dtype), tf.zeros((), x.dtype))


def scrambled(bits):
    """A permutation of the 32-bit numbers that looks like chance."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        bits = (bits ^ tf.bitwise.right_shift(bits, tf.constant(shift, "uint32"))) * tf.constant(factor, "uint32")
    return bits


class Dropout(layers.Dropout):
    """Noise of its own, of the same rate, in an island; the gradient draws it again in place of keeping it."""

    @staticmethod
    def fits(layer):
        return 0 < layer.rate < 1 and layer.noise_shape is None

    def call(self, inputs, training=False):
        if not training:
            return inputs
        seed = self.seed_generator.next()

        @tf.custom_gradient
        def dropped(x):
            return thinned(x, seed, self.rate), lambda upstream: thinned(upstream, seed, self.rate)

        return dropped(inputs)


class MultiHeadAttention(layers.MultiHeadAttention):
    """Plain products of matrices in place of einsum; the scale goes into the query's kernel, which is small.

    Keras' own where there is a mask, or where the scores are asked for.
    """

    @staticmethod
    def fits(layer):
        parts = (layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense)
        plain = all(part.bias is not None and part.activity_regularizer is None and not part.lora_enabled
                    and part.quantization_mode is None for part in parts)
        unusual = layer.dropout or layer._flash_attention or getattr(layer, "_use_gate", False) \
            or getattr(layer, "_sliding_window", None)
        return plain and not unusual and layer.attention_axes == (1,) and layer.output_dense.bias.shape.rank == 1

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):
        masks = [query_mask, value_mask, key_mask, attention_mask]
        masks += [getattr(x, "_keras_mask", None) for x in (query, value, key)]
        if return_attention_scores or use_causal_mask or any(mask is not None for mask in masks):
            return super().call(query, value, key, query_mask, value_mask, key_mask, attention_mask,
                                return_attention_scores, training, use_causal_mask)
        key = value if key is None else key
        parts = (self.query_dense, self.key_dense, self.value_dense, self.output_dense)
        weights = [(read(part.kernel), read(part.bias)) for part in parts]
        one = query is value and value is key
        return attend((query,) if one else (query, value, key), weights, self._inverse_sqrt_key_dim)


@traced_once
def attend(given, weights, scale):
    """Attention with the weights (kernel, bias) of its four linear maps; of one tensor to itself, or query, value, key.
    """
    query, value, key = given * 3 if len(given) == 1 else given
    q, k, v = (heads(x, *pair, scale if place == 0 else 1.0)
               for place, (x, pair) in enumerate(zip((query, key, value), weights[:3], strict=True)))
    scores = tf.nn.softmax(tf.cast(tf.matmul(q, k, transpose_b=True), "float32"))
    mixed = tf.transpose(tf.matmul(tf.cast(scores, v.dtype), v), (0, 2, 1, 3))  # (B, T, heads, value_dim)
    kernel, bias = weights[3]
    rows = tf.reshape(mixed, (-1, mixed.shape[2] * mixed.shape[3]))
    out = tf.matmul(rows, tf.reshape(kernel, (rows.shape[-1], -1))) + bias
    return tf.reshape(out, (-1, query.shape[1] or tf.shape(query)[1], out.shape[-1]))


def heads(x, kernel, bias, scale=1.0):
    """(B, T, D) -> (B, heads, T, D/heads)."""
    # Added and not by BiasAdd, whose gradient sums in bfloat16; grappler fuses either with the product.
    rows = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), tf.reshape(kernel, (x.shape[-1], -1)) * scale) \
        + tf.reshape(bias, (-1,)) * scale
    split = tf.reshape(rows, (-1, x.shape[1] or tf.shape(x)[1], *bias.shape))
    return tf.transpose(split, (0, 2, 1, 3))


@traced_once
def kept_branch(x, seed, rate, left):
    """x of the samples that keep their branch, divided by the share that does; Keras' own draws."""
    shape = (tf.shape(x)[0],) + (1,) * (x.shape.rank - 1)
    seed = tf.cast(tf.math.floormod(seed, tf.constant(tf.int32.max - 1, seed.dtype)), "int32")
    kept = tf.random.stateless_uniform(shape, seed, dtype="float32") >= rate
    return x * tf.cast(kept, x.dtype) / left


class DropPath(blocks.DropPath):
    """The branch that is kept or dropped, traced once."""

    @staticmethod
    def fits(layer):
        return layer.rate > 0

    def call(self, x, training=False):
        if not training:
            return x
        return kept_branch(x, self.seed_generator.next(), tf.constant(self.rate), tf.constant(1.0 - self.rate, x.dtype))


FORMS: dict[type, Any] = {form.__base__: form for form in (
    BatchNormalization, LayerNormalization, Dense, Dropout, DropPath, MultiHeadAttention, MaxPooling2D, Patches)}


class Once:
    """What a step computes for all weights alike, made the first time that it is asked for."""

    def __init__(self) -> None:
        self.made: dict[Any, Any] = {}

    def __call__(self, make: Callable, *given: Any) -> Any:
        """Return make(*given); for the same objects, what it gave before."""
        key = make, *map(id, given)
        if key not in self.made:
            self.made[key] = make(*given), given  # held, so that no other object gets their id
        return self.made[key][0]


class AdamW(keras.optimizers.AdamW):
    """Weight decay in one pass, where Keras takes three, and one over a weight and its slots by ResourceApplyAdam.

    What is the same for all weights is computed once a step, so that a graph of many weights is traced faster.
    """

    def _apply_weight_decay(self, variables):
        pass

    def apply(self, grads, trainable_variables=None):
        self.once = Once()
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        if self.weight_decay and self._use_weight_decay(variable):
            variable.assign(variable * self.once(self.kept, variable.dtype, learning_rate))
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        index, dtype = self._get_variable_index(variable), variable.dtype
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[index].value.handle, v=self._velocities[index].value.handle,
            lr=tf.cast(learning_rate, dtype), grad=tf.cast(gradient, dtype), **self.once(self.numbers, dtype))

    def kept(self, dtype, learning_rate):
        """The share of a weight that stays."""
        return 1 - tf.cast(learning_rate, dtype) * self.weight_decay

    def numbers(self, dtype):
        """The numbers that ResourceApplyAdam takes, but for the learning rate."""
        step = tf.cast(self.iterations + 1, dtype)
        beta1, beta2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        return {"beta1": beta1, "beta2": beta2, "beta1_power": tf.pow(beta1, step), "beta2_power": tf.pow(beta2, step),
                "epsilon": tf.cast(self.epsilon, dtype)}
