"""Milliseconds of each form in kerasdl/train/fused.py and of Keras' own, forward and backward, in turns in one process.

    python benchmarks/fused.py [--repeats 15] [--only attention gelu] [--step resnet vit]

Prints minimum and median. Other work on the machine lengthens the median first, so that the minima compare better.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import layers

from kerasdl import zoo
from kerasdl.zoo import resnet, vit

FORMS = {  # name: (layer, shape of its input)
    "norm 16x16x128": (layers.BatchNormalization, (128, 16, 16, 128)),
    "norm 28x28x32": (layers.BatchNormalization, (128, 28, 28, 32)),
    "row_norm 65x192": (lambda: layers.LayerNormalization(epsilon=1e-6), (128, 65, 192)),
    "row_norm 17x128": (lambda: layers.LayerNormalization(epsilon=1e-6), (128, 17, 128)),
    "dense+gelu 65x192-768": (lambda: layers.Dense(768, activation=vit.gelu), (128, 65, 192)),
    "gelu 64x384": (lambda: layers.Dense(384, activation=vit.gelu), (256, 64, 16)),
    "attention 65x192": (lambda: layers.MultiHeadAttention(3, 64), (256, 65, 192)),
    "dropout 65x768": (lambda: layers.Dropout(0.1), (128, 65, 768)),
    "shortcut 32x32x16": (lambda: resnet.PadShortcut(32, 2), (128, 32, 32, 16)),
}
OPTIMIZERS = {
    "AdamW": (keras.optimizers.AdamW, fused.AdamW, {"weight_decay": 0.05}),
    "SGD": (keras.optimizers.SGD, fused.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}),
}
STEPS = {  # name: (model, its arguments, shape of a picture)
    "cnn": ("cnn", {"size": "S"}, (28, 28, 1)), "resnet": ("resnet", {"size": "20"}, (32, 32, 3)),
    "vit": ("vit", {"size": "Ti", "patch": 4}, (32, 32, 3)),
    "vit_drop": ("vit", {"size": "Ti", "patch": 4, "drop": 0.1}, (32, 32, 3)), "airbench": (None, {}, (32, 32, 3)),
}
DROPOUT_COMPILED = "Keras' dropout takes seconds under XLA on a CPU"


def in_turns(forms, repeats):
    """{name: (minimum, median)} in milliseconds."""
    for run in forms.values():
        run()
    taken = {name: [] for name in forms}
    for _ in range(repeats):
        for name, run in forms.items():
            start = time.perf_counter()
            run()  # on a CPU a call returns when its work is done
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: (min(times), statistics.median(times)) for name, times in taken.items()}


def row(name, forms, repeats, unit=None):
    """Print one line; with a unit, so many things a second in place of milliseconds."""
    times = in_turns(forms, repeats)
    best = [times[side][0] for side in ("keras", "fused")]
    middle = [times[side][1] for side in ("keras", "fused")]
    shown = [unit * 1e3 / value for value in best + middle] if unit else best + middle
    print(f"{name:44} {shown[0]:9.2f} {shown[1]:9.2f} {best[0] / best[1]:6.2f}x   {shown[2]:9.2f} {shown[3]:9.2f} "
          f"{middle[0] / middle[1]:6.2f}x", flush=True)


def pair(make, shape):
    inputs = keras.Input(shape[1:])
    layer = make()
    outputs = layer(inputs, inputs) if isinstance(layer, layers.MultiHeadAttention) else layer(inputs)
    plain = keras.Model(inputs, outputs)
    twin = ema.copy(plain)
    fused.fuse(twin)
    return {"keras": plain, "fused": twin}


def both_ways(model, shape, dtype, jit):
    """A function that runs forward and backward."""
    x = tf.cast(tf.random.normal(shape), dtype)
    weights = [w.value for w in model.trainable_weights]
    up = tf.random.normal(model(x[:1]).shape[1:])

    @tf.function(jit_compile=jit, autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=True)
        grads = tape.gradient(y, [x, *weights], output_gradients=tf.broadcast_to(tf.cast(up, y.dtype), tf.shape(y)))
        return y, *grads

    return run


def stepping(optimizer, shapes, jit):
    weights = [keras.Variable(tf.random.normal(shape)) for shape in shapes]
    grads = [tf.random.normal(shape) for shape in shapes]
    optimizer.build(weights)

    @tf.function(jit_compile=jit, autograph=False)
    def run():
        optimizer.apply(grads, weights)
        return optimizer.iterations + 0

    return run


def airbench():
    """Three groups of two 3x3 convolutions, of the size of airbench's (Jordan, 2024)."""
    inputs = x = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(x)
    for width in (64, 256, 256):
        for pool in (True, False):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.MaxPooling2D(2)(x) if pool else x
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, layers.Dense(10, dtype="float32")(layers.GlobalAveragePooling2D()(x)))


def training(name, fuse, jit, batch=128):
    """A whole training step of a compiled model, metrics included."""
    model, args, shape = STEPS[name]
    network = zoo.build(model, shape, 10, **args) if model else airbench()
    if fuse:
        fused.fuse(network)
    optimizer = (fused.AdamW if fuse else keras.optimizers.AdamW)(1e-3, weight_decay=0.05)
    network.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    x = tf.random.uniform((batch, *shape), 0, 255)
    y = tf.one_hot(tf.random.uniform((batch,), 0, 10, "int32"), 10)
    optimizer.build(network.trainable_variables)
    network._symbolic_build(data_batch=(x, y))
    step = tf.function(network.train_step, jit_compile=jit, autograph=False)
    return lambda: step((x, y))["loss"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=None, help="parts of the names of forms and optimizers")
    parser.add_argument("--step", nargs="*", default=(), choices=STEPS, help="whole training steps, images/s")
    parser.add_argument("--policies", nargs="*", default=("float32", "mixed_bfloat16"))
    parser.add_argument("--jit", nargs="*", type=int, default=(0, 1))
    options = parser.parse_args()

    def wanted(name):
        return options.only is None or any(part in name for part in options.only)

    print(f"{'':44} {'keras':>9} {'fused':>9} {'minima':>7}   {'keras':>9} {'fused':>9} {'medians':>7}")
    for policy in options.policies:
        keras.config.set_dtype_policy(policy)
        for jit in map(bool, options.jit):
            how = f"{policy.removeprefix('mixed_')}{' XLA' if jit else ''}"
            for name, (make, shape) in FORMS.items():
                if wanted(name) and not (jit and "dropout" in name):
                    models, dtype = pair(make, shape), keras.mixed_precision.dtype_policy().compute_dtype
                    row(f"{name} {how}", {side: both_ways(model, shape, dtype, jit) for side, model in models.items()},
                        options.repeats)
                elif wanted(name):
                    print(f"{name} {how}: not run. {DROPOUT_COMPILED}")
            for name in options.step:
                row(f"step {name} {how}, images/s", {side: training(name, side == "fused", jit)
                                                    for side in ("keras", "fused")}, options.repeats, unit=128)
    tiny = [tuple(w.shape) for w in zoo.build("vit", (32, 32, 3), 10, size="Ti", patch=4).trainable_variables]
    for jit in map(bool, options.jit):
        for name, (plain, ours, arguments) in OPTIMIZERS.items():
            for what, shapes in (("ViT-Ti", tiny), ("10M", [(1000, 1000)] * 10)):
                if wanted(name):
                    row(f"{name} {what}{' XLA' if jit else ''}",
                        {"keras": stepping(plain(1e-3, **arguments), shapes, jit),
                         "fused": stepping(ours(1e-3, **arguments), shapes, jit)}, options.repeats)


if __name__ == "__main__":
    main()
