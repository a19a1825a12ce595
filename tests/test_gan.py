"""Generators and discriminators: they fit each other, every weight learns, the same weights do the same anywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from kerasdl import zoo
from kerasdl.objectives.gan.gan import GAN, pack_slices, unpack_slices
from kerasdl.zoo import gan
from kerasdl.zoo.gan.layers import Cluster

SHAPES = {"mlp": (8, 8, 1), "dcgan": (16, 16, 3)}
PAIRS = [(net, conditional) for net in gan.NETS for conditional in (False, True)]


def make(net, conditional, **args):
    keras.utils.set_random_seed(0)
    return zoo.build("gan", SHAPES[net], 10, net=net, size="mu", latent=6, conditional=conditional, **args)


def noise(conditional, count=4, latent=6):
    random = np.random.default_rng(0)
    z, y = random.normal(size=(count, latent)).astype("float32"), np.arange(count, dtype="int32") % 10
    return [ops.convert_to_tensor(z), ops.convert_to_tensor(y)] if conditional else ops.convert_to_tensor(z)


def both(pair, conditional, training=False):
    generator, discriminator = pair
    z = noise(conditional)
    images = generator(z, training=training)
    return images, discriminator([images, z[1]] if conditional else images, training=training)


def answers(folder):
    """What the saved pairs in a folder make of the same noise: run in another process, on JAX, too."""
    out = {}
    for net in gan.NETS:
        pair = [keras.models.load_model(Path(folder) / f"{net}-{part}.keras") for part in "gd"]
        out[net] = [np.asarray(ops.convert_to_numpy(values)).ravel().tolist() for values in both(pair, True)]
    return out


@pytest.mark.parametrize("net, conditional", PAIRS)
def test_images_within_tanh_and_one_logit(net, conditional):
    images, logits = both(make(net, conditional), conditional, training=True)
    assert tuple(images.shape) == (4, *SHAPES[net]) and tuple(logits.shape) == (4, 1)
    assert -1 <= ops.min(images) < ops.max(images) <= 1


@pytest.mark.parametrize("net, conditional", PAIRS)
def test_every_weight_learns(net, conditional):
    """Also where weights are random, and not as they start."""
    import tensorflow as tf

    pair = make(net, conditional)
    random = np.random.default_rng(1)
    weights = [weight for network in pair for weight in network.trainable_variables]
    for weight in weights:
        weight.assign(weight + 0.1 * random.normal(size=weight.shape))
    with tf.GradientTape() as tape:
        total = ops.sum(ops.square(both(pair, conditional, training=True)[1]))
    for weight, gradient in zip(weights, tape.gradient(total, weights), strict=True):
        gradient = ops.convert_to_numpy(tf.convert_to_tensor(gradient))
        assert np.isfinite(gradient).all() and gradient.any(), weight.path


@pytest.mark.parametrize("net", gan.NETS)
def test_the_class_matters_to_both(net):
    generator, discriminator = make(net, True)
    for network in (generator, discriminator):
        for weight in network.trainable_variables:
            weight.assign(weight + 0.3 * np.random.default_rng(2).normal(size=weight.shape))
    z, y = noise(True)
    one, other = (generator([z, labels], training=True) for labels in (y, (y + 1) % 10))
    assert ops.max(ops.abs(one - other)) > 1e-3
    assert ops.max(ops.abs(discriminator([one, y]) - discriminator([one, (y + 1) % 10]))) > 1e-3


@pytest.mark.parametrize("r1", [0.0, 1.0])
def test_class_vectors_of_the_discriminator_move_by_what_examples_agree_on(monkeypatch, r1):
    """Adam divides by the root of the sum of the squares of slices, and the branches of a lazy penalty return slices.
    Published results depend on it. If this fails, Keras sums slices first."""
    import tensorflow as tf

    pair = make("mlp", True)
    model = GAN(*pair, r1=r1, lazy=2)
    model.compile(*(keras.optimizers.Adam(0.01, epsilon=1e-12) for _ in range(2)))
    (table,) = (weight for weight in pair[1].trainable_variables if weight.path.endswith("table"))
    given, apply = [], model.discriminator_optimizer.apply

    def watched(grads, variables):
        given.extend(grad for grad, variable in zip(grads, variables, strict=True) if variable is table)
        return apply(grads, variables)

    monkeypatch.setattr(model.discriminator_optimizer, "apply", watched)
    images = np.random.default_rng(0).integers(0, 256, (16, *SHAPES["mlp"]), "uint8")
    before = table.numpy()
    model.discriminator_step(*model.prepare((tf.constant(images), tf.constant(np.arange(16) % 3))))
    (slices,) = given
    total, squares = (np.zeros(table.shape, "float32") for _ in range(2))
    np.add.at(total, slices.indices.numpy(), slices.values.numpy())
    np.add.at(squares, slices.indices.numpy(), slices.values.numpy() ** 2)
    moved = before - table.numpy()
    np.testing.assert_allclose(moved[:3], 0.01 * total[:3] / np.sqrt(squares[:3]), atol=1e-5)
    assert not moved[3:].any() and not np.allclose(np.abs(moved[:3]), 0.01, rtol=0.1), "Adam's own first steps"


@pytest.mark.parametrize("net", gan.NETS)
def test_clusters_are_read_from_noise_as_often_as_they_are_large(net, tmp_path):
    generator, discriminator = make(net, False, clusters=3)
    assert len(generator.inputs) == 1 and len(discriminator.inputs) == 2
    (layer,) = (layer for layer in generator.layers if isinstance(layer, Cluster))
    pixels, shares = np.prod(SHAPES[net]), [0.5, 0.3, 0.2]
    layer.set_clusters(np.outer([-0.5, 0.0, 0.5], np.ones(pixels)), shares)
    z = noise(False, 20_000)
    np.testing.assert_allclose(np.bincount(layer(z)) / 20_000, shares, atol=0.01)
    for cluster in range(3):
        moved = layer.within(z, np.full(20_000, cluster))
        assert (layer(moved) == cluster).numpy().all()
        np.testing.assert_array_equal(moved[:, :-1], z[:, :-1])
    last = np.array(layer.within(z, np.random.default_rng(0).choice(3, 20_000, p=shares))[:, -1])
    np.testing.assert_allclose([last.mean(), last.std()], [0, 1], atol=0.02)
    grey = np.array([-1, -0.3, -0.2, 0.2, 0.9], "float32")[:, None, None, None] * np.ones(SHAPES[net], "float32")
    assert layer.nearest(grey).numpy().tolist() == [0, 0, 1, 1, 2]
    generator.save(tmp_path / "g.keras")
    loaded = keras.models.load_model(tmp_path / "g.keras")
    np.testing.assert_array_equal(loaded(z[:4]), generator(z[:4]))


def test_slices_leave_a_condition_unchanged():
    import tensorflow as tf

    values, indices = tf.constant([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [1.0, 0.0]]), tf.constant([0, 0, 2, 0])
    found = unpack_slices(pack_slices(tf.IndexedSlices(values, indices, (4, 2))), (4, 2))
    assert found.values is values and found.indices is indices
    np.testing.assert_array_equal(tf.convert_to_tensor(found), [[5, 1], [0, 0], [0.5, 0.5], [0, 0]])
    assert unpack_slices(pack_slices(values), (4, 2)) is values


@pytest.mark.parametrize("net", gan.NETS)
def test_bfloat16_ends_in_float32(net):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        pair = make(net, True)
    finally:
        keras.config.set_dtype_policy(before)
    assert all(values.dtype == "float32" for values in both(pair, True, training=True))
    assert pair[1].layers[1].compute_dtype == "bfloat16"


@pytest.mark.parametrize("side", [8, 12, 14, 20, 28, 32, 48, 64, 128])
def test_dcgan_makes_squares(side):
    generator, discriminator = gan.build((side, side, 1), 10, net="dcgan", size="mu", latent=4)
    assert generator.output_shape == discriminator.input_shape == (None, side, side, 1)


@pytest.mark.parametrize("shape, net, words", [
    ((28, 24, 1), "dcgan", "square"), ((27, 27, 1), "dcgan", "square"),
    ((28, 28), "mlp", "channels"), ((28, 28, 1), "dgcan", "'dcgan'"),
])
def test_shapes_that_cannot_be(shape, net, words):
    with pytest.raises(ValueError, match=words):
        gan.build(shape, 10, net=net)


@pytest.mark.parametrize("net, size", [(net, size) for net, module in gan.NETS.items() for size in module.SIZES])
def test_parameters(net, size):
    with keras.StatelessScope(initialize_variables=False):
        made = gan.build((32, 32, 3), 10, net=net, size=size, latent=64)
    assert tuple(sum(int(np.prod(w.shape)) for w in network.trainable_variables) for network in made) \
        == gan.NETS[net].PARAMETERS[size]


@pytest.mark.soak
def test_saved_pairs_do_the_same_in_a_new_process_and_on_jax(tmp_path):
    for net in gan.NETS:
        pair = make(net, True)
        random = np.random.default_rng(3)
        for network, part in zip(pair, "gd", strict=True):
            for weight in network.variables:
                if "variance" not in weight.name:
                    weight.assign(weight + 0.1 * random.normal(size=weight.shape))
            network.save(tmp_path / f"{net}-{part}.keras")
    here = answers(tmp_path)
    done = subprocess.run([sys.executable, __file__, tmp_path], capture_output=True, text=True,
                          env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu",
                               "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"})
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout.splitlines()[-1])
    for name, values in here.items():
        for ours, theirs in zip(values, there[name], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)


if __name__ == "__main__":
    import kerasdl.zoo

    assert keras.backend.backend() == "jax"
    kerasdl.zoo.register()
    print(json.dumps(answers(sys.argv[1])))
