"""The least that a step of a row takes with TensorFlow's own kernels, and the least memory: python -m benchmarks.floor.

For dense networks a bare loop in one XLA call: gather, forward, backward, plain SGD; no metrics, no Adam, no Keras. For
convolutional ones the convolutions alone, and for the Vision Transformer the matrix products alone, each with its two
gradients, timed one by one and added up. And what a process holds that has only imported a library. Writes
docs/results/bench_floor.json; a target beyond these numbers needs other kernels.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from benchmarks import arrays, harness
from benchmarks.rows import BATCH, CLASSES, ROWS, Row

DENSE = {"linear": (784, CLASSES), "mlp": (784, 512, CLASSES)}
LIBRARIES = ("tensorflow", "torch")
CONVOLUTIONS = ("cnn", "airbench", "resnet18")
TRANSFORMERS = ("vit",)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The median call; the first two are not counted."""
    taken = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])


def dense(row: Row, widths: tuple[int, ...], repeats: int) -> float:
    """Seconds a step of the bare loop over an epoch."""
    import tensorflow as tf

    images, labels = arrays.load(row.data, "train", row.images)
    x, y = tf.constant(images.reshape(len(images), -1)), tf.one_hot(labels, CLASSES)
    order = tf.reshape(tf.random.shuffle(tf.range(len(images))), (-1, BATCH))
    shapes = zip(widths[:-1], widths[1:], strict=True)
    start = [(tf.random.normal(shape, stddev=0.05), tf.zeros(shape[1])) for shape in shapes]

    @tf.function(jit_compile=True)
    def epoch(weights):
        def body(i, weights):
            inputs = tf.cast(tf.gather(x, order[i]), "float32") / 255
            with tf.GradientTape() as tape:
                tape.watch(weights)
                hidden = inputs
                for kernel, bias in weights[:-1]:
                    hidden = tf.nn.relu(hidden @ kernel + bias)
                logits = hidden @ weights[-1][0] + weights[-1][1]
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.gather(y, order[i]), logits))
            grads = tape.gradient(loss, weights)
            return i + 1, tf.nest.map_structure(lambda weight, grad: weight - 0.01 * grad, weights, grads)
        return tf.while_loop(lambda i, _: i < len(order), body, (0, weights))[1]

    return seconds(lambda: epoch(start), repeats) / len(order)


def convolutions(row: Row, repeats: int) -> float:
    """Seconds of all convolutions of a step, forward and both gradients."""
    import keras
    import tensorflow as tf

    from kerasdl import zoo

    network = zoo.build(row.model, row.shape, CLASSES, **row.args)
    found = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    timed = [kernel for layer in found for kernel in kernels(layer)]
    del timed[2]  # nobody asks for the gradient of the pictures
    return sum(seconds(tf.function(kernel), repeats) for kernel in timed)


def kernels(layer) -> list[Callable[[], object]]:
    """A convolution and the gradients of its kernel and its input, each by itself."""
    import tensorflow as tf

    x, up = (tf.random.normal((BATCH, *tensor.shape[1:])) for tensor in (layer.input, layer.output))
    kernel, how = tf.constant(layer.kernel.value), {"strides": [1, *layer.strides, 1], "padding": layer.padding.upper()}
    return [lambda: tf.raw_ops.Conv2D(input=x, filter=kernel, **how),
            lambda: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=up, **how),
            lambda: tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=up, **how)]


def products(row: Row, repeats: int) -> float:
    """Seconds of all matrix products of a Vision Transformer's step, forward and both gradients."""
    import tensorflow as tf

    from kerasdl import zoo
    from kerasdl.zoo import vit

    network = zoo.build(row.model, row.shape, CLASSES, **row.args)
    width, depth, heads = vit.SIZES[row.args["size"]]
    tokens = network.get_layer("block1_attn").output.shape[1]
    rows, heads = BATCH * tokens, (BATCH, heads)
    shapes = [((rows, k), (k, n)) for k, n in ((width, width),) * 4 + ((width, 4 * width), (4 * width, width))]
    shapes += [((*heads, tokens, width // heads[1]), (*heads, width // heads[1], tokens)),
               ((*heads, tokens, tokens), (*heads, tokens, width // heads[1]))]

    def taken(one, other):
        a, b = tf.random.normal(one), tf.random.normal(other)
        up = a @ b
        kernels = [partial(tf.matmul, a, b), partial(tf.matmul, up, b, transpose_b=True),
                   partial(tf.matmul, a, up, transpose_a=True)]
        return sum(seconds(tf.function(kernel), repeats) for kernel in kernels)

    return depth * sum(taken(*pair) for pair in shapes)


def imported(library: str) -> float:
    """Megabytes of a new process that imports the library and does nothing."""
    program = f"import {library}; from benchmarks import meter; print(meter.peak_mb())"
    done = subprocess.run([sys.executable, "-c", program], cwd=harness.ROOT, check=True, capture_output=True, text=True)
    return round(float(done.stdout), 1)


def main() -> None:
    options = harness.parser(__doc__.splitlines()[0], "bench_floor.json", 15).parse_args()
    harness.pin()
    repeats = 3 if options.quick else options.repeats
    floors = {name: dense(ROWS[name], widths, repeats) for name, widths in DENSE.items()}
    floors |= {name: convolutions(ROWS[name], repeats) for name in CONVOLUTIONS}
    floors |= {name: products(ROWS[name], repeats) for name in TRANSFORMERS}
    what = {name: kind for names, kind in ((DENSE, "loop"), (CONVOLUTIONS, "convolutions"), (TRANSFORMERS, "products"))
            for name in names}
    around = harness.surroundings()
    harness.save(options.out, [
        {"row": name, "precision": "float32", "batch": BATCH, "what": what[name],
         "images_per_second": round(BATCH / least, 1), "repeats": repeats, "environment": around}
        for name, least in floors.items()] + [
        {"what": "import", "library": library, "peak_mb": imported(library), "environment": around}
        for library in LIBRARIES])
    print(f"wrote {options.out}; make the page with: make results")


if __name__ == "__main__":
    main()
