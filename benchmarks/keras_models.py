"""The rows' networks from plain keras.layers, as in the examples of keras.io: normalised images in, logits out."""

import keras
from keras import layers, ops

from benchmarks.rows import CLASSES, EPSILON, MOMENTUM, Row


def linear(x):
    return layers.Flatten()(x)


def mlp(x):
    return layers.Dense(512, activation="relu", kernel_initializer="he_normal")(layers.Flatten()(x))


def cnn(x):
    for width in (32, 64):
        x = layers.Conv2D(width, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    return layers.Flatten()(x)


def norm(x):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def conv(x, width, stride=1):
    if stride > 1:
        x = layers.ZeroPadding2D(1)(x)
    padding = "same" if stride == 1 else "valid"
    return layers.Conv2D(width, 3, stride, padding, use_bias=False, kernel_initializer="he_normal")(x)


def airbench(x):
    x = layers.ReLU()(norm(conv(x, 24)))
    for width in (64, 256, 256):
        x = layers.MaxPooling2D(2)(conv(x, width))
        x = layers.ReLU()(norm(x))
        x = layers.ReLU()(norm(conv(x, width)))
    return layers.GlobalMaxPooling2D()(x)


def mlp_mnist(x):
    x = layers.Dense(512, activation="relu", kernel_initializer="he_normal")(layers.Flatten()(x))
    return layers.Dense(512, activation="relu", kernel_initializer="he_normal")(x)


def cnn_mnist(x):
    for width, pool in ((32, True), (48, False), (48, True), (96, False), (96, False)):
        x = conv(x, width)
        x = layers.ReLU()(norm(layers.MaxPooling2D(2)(x) if pool else x))
    return layers.GlobalAveragePooling2D()(x)


class PadShortcut(layers.Layer):
    """Every other pixel, and empty channels behind."""

    def call(self, x):
        return ops.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (0, x.shape[-1])))


def resnet18(x):
    x = layers.ReLU()(norm(conv(x, 64)))
    for i, width in enumerate((64, 128, 256, 512)):
        for j in range(2):
            stride = 2 if i and not j else 1
            y = layers.ReLU()(norm(conv(x, width, stride)))
            y = norm(conv(y, width))
            x = layers.ReLU()(layers.Add()([PadShortcut()(x) if stride > 1 else x, y]))
    return layers.GlobalAveragePooling2D()(x)


class ClassToken(layers.Layer):
    """One more token, before the patches."""

    def build(self, shape):
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer=start, name="token")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)


class Positions(layers.Layer):
    """A learned vector added to each token."""

    def build(self, shape):
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(shape=(1, *shape[1:]), initializer=start, name="table")

    def call(self, x):
        return x + self.table


def encoded(x, width, depth, heads, patch, class_token):
    x = layers.Reshape((-1, width))(layers.Conv2D(width, patch, patch)(x))
    x = Positions()(ClassToken()(x) if class_token else x)
    for _ in range(depth):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(4 * width, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    return layers.LayerNormalization(epsilon=1e-6)(x)


def vit(x):
    return encoded(x, width=192, depth=12, heads=3, patch=4, class_token=True)[:, 0]


def vit_mnist(x):
    return layers.GlobalAveragePooling1D()(encoded(x, width=128, depth=2, heads=4, patch=14, class_token=False))


NETWORKS = {"linear": linear, "mlp": mlp, "cnn": cnn, "airbench": airbench, "resnet18": resnet18, "vit": vit,
            "mlp_mnist": mlp_mnist, "cnn_mnist": cnn_mnist, "vit_mnist": vit_mnist}


def build(row: Row, name: str) -> keras.Model:
    inputs = keras.Input(row.shape)
    return keras.Model(inputs, layers.Dense(CLASSES, dtype="float32")(NETWORKS[name](inputs)))


def optimizer(row: Row) -> keras.optimizers.Optimizer:
    if row.optimizer == "sgd":
        return keras.optimizers.SGD(row.lr, momentum=MOMENTUM, nesterov=True)
    if not row.weight_decay:
        return keras.optimizers.Adam(row.lr, epsilon=EPSILON)
    made = keras.optimizers.AdamW(row.lr, epsilon=EPSILON, weight_decay=row.weight_decay)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "token", "table"])
    return made


class Watch(keras.callbacks.Callback):
    """The meter's view of `fit`, at the beginning of steps: a hook at their end makes Keras on JAX wait each time."""

    def __init__(self, meter):
        super().__init__()
        self.meter = meter

    def on_epoch_begin(self, epoch, logs=None):
        self.meter.epoch()

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1 and keras.backend.backend() == "jax":  # it has only sent off the first step, and not yet done it
            import jax

            jax.block_until_ready(self.model._jax_state)
        if batch:
            self.meter.step()

    def on_epoch_end(self, epoch, logs=None):
        self.meter.step()  # the last one
        self.meter.epoch_end()
