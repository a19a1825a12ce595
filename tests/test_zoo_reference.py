"""The zoo's large models compute what their papers say: against keras.applications, and against NumPy.

Every weight and every statistic is random, and no image is square, so that nothing can be swapped or lost
unnoticed.
"""

import math

import keras
import numpy as np
import zoo_harness as harness

from kerasdl.zoo import resnet, vit, weights

erf = np.vectorize(math.erf, otypes=[float])


def relative(ours, theirs):
    """The largest difference, as a part of the largest number."""
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def fill(weight, rng):
    """Random numbers at which signals neither die nor explode."""
    if weight.path.endswith(("variance", "gamma")):
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    elif weight.path.endswith("kernel"):
        weight.assign(rng.standard_normal(weight.shape, "float32") / np.sqrt(np.prod(weight.shape[:-1])))
    else:
        weight.assign(0.2 * rng.standard_normal(weight.shape, "float32"))


def test_resnet50_is_that_of_keras_applications():
    shape, classes = (64, 96, 3), 10
    theirs = keras.applications.ResNet50(
        weights=None, input_shape=shape, classes=classes, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    for weight in theirs.weights:
        fill(weight, rng)
    ours = resnet.build(shape, classes, size="50", stride_in="1x1")
    tensors = {f"{layer.name}/{place}": np.asarray(weight) for layer in theirs.layers
               for place, weight in enumerate(layer.weights)}
    weights.load(ours, tensors, "resnet")
    x = harness.pictures(2, shape)
    expected = harness.logits(theirs, keras.applications.resnet.preprocess_input(x.astype("float32")))
    assert relative(harness.logits(ours, x), expected) < 1e-5
    assert relative(expected[0], expected[1]) > 1e-2  # the picture matters


def layer_norm(x, gamma, beta):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * gamma + beta


def attention(x, query, query_bias, key, key_bias, value, value_bias, out, out_bias):
    """Multi-head self-attention (paper, appendix A), one head at a time; kernels are (D, heads, D/heads)."""
    heads = []
    for h in range(query.shape[1]):
        q = x @ query[:, h] + query_bias[h]
        k = x @ key[:, h] + key_bias[h]
        v = x @ value[:, h] + value_bias[h]
        score = np.exp(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
        heads.append(score / score.sum(-1, keepdims=True) @ v)
    return np.concatenate(heads, -1) @ out.reshape(-1, out.shape[-1]) + out_bias


def vit_forward(x, weights, depth, patch):
    """Equations 1 to 4 of the paper, in float64. `weights(name)` are those of a layer, in Keras' order."""
    x = x / 127.5 - 1
    kernel, bias = weights("patches")
    kernel = kernel.reshape(-1, len(bias))
    tokens = [
        x[:, top : top + patch, left : left + patch].reshape(len(x), -1) @ kernel + bias
        for top in range(0, x.shape[1], patch)
        for left in range(0, x.shape[2], patch)
    ]
    (token,), (position,) = weights("class_token"), weights("position")
    z = np.stack([np.broadcast_to(token[0, 0], tokens[0].shape), *tokens], 1) + position
    for i in range(1, depth + 1):
        z = z + attention(layer_norm(z, *weights(f"block{i}_norm1")), *weights(f"block{i}_attn"))
        up, up_bias = weights(f"block{i}_up")
        down, down_bias = weights(f"block{i}_down")
        y = layer_norm(z, *weights(f"block{i}_norm2")) @ up + up_bias
        z = z + (y * (1 + erf(y / np.sqrt(2))) / 2) @ down + down_bias
    kernel, bias = weights("logits")
    return layer_norm(z, *weights("norm"))[:, 0] @ kernel + bias


def test_vit_b16_is_the_papers_equations():
    shape, classes = (32, 48, 3), 10
    model = vit.build(shape, classes, size="B", patch=16)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        fill(weight, rng)
    x = harness.pictures(2, shape)

    def weights_of(name):
        return [w.astype("float64") for w in model.get_layer(name).get_weights()]

    expected = vit_forward(x.astype("float64"), weights_of, depth=12, patch=16)
    assert relative(harness.logits(model, x), expected) < 1e-5
    assert relative(expected[0], expected[1]) > 1e-2
