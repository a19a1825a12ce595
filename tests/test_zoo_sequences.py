"""Models of sequences: padding changes nothing, whatever the cell, the direction, the pooling and the input."""

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl.zoo import conv1d, rnn, transformer

LENGTHS, STEPS, WORDS = (12, 7, 3, 1, 9), 12, 20
RNNS = [("rnn", {"size": "mu", "cell": cell, "directions": directions, "pool": pool})
        for cell, directions, pool in (("lstm", 1, "last"), ("lstm", 2, "mean"), ("gru", 2, "last"),
                                       ("gru", 1, "attention"), ("simple", 2, "max"), ("simple", 1, "last"))]
CONVOLUTIONS = [("conv1d", {"size": size}) for size in conv1d.SIZES]


def build(model, args, words):
    shape = (None,) if words else (None, 3)
    network = {"rnn": rnn, "conv1d": conv1d}[model].build(shape, 4, vocabulary=WORDS if words else None, **args)
    return harness.randomise(network)


def batch(words, steps=STEPS):
    """Return sequences of several lengths, padded to `steps`."""
    rng = np.random.default_rng(1)
    x = rng.integers(1, WORDS, (5, STEPS)) if words else rng.normal(size=(5, STEPS, 3)).astype("float32")
    wide = [(0, 0), (0, steps - STEPS)] + [(0, 0)] * (x.ndim - 2)
    x = np.pad(x, wide, constant_values=0 if words else np.nan)
    for row, length in zip(x, LENGTHS, strict=True):
        row[length:] = 0 if words else np.nan
    return x


def outputs(network, x):
    return keras.ops.convert_to_numpy(network(x, training=False))


@pytest.mark.parametrize("words", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["numbers", "tokens"])
@pytest.mark.parametrize("model, args", RNNS + CONVOLUTIONS)
def test_padding_changes_nothing(model, args, words):
    network, x = build(model, args, words), batch(words)
    found = outputs(network, x)
    scale = np.abs(found).max()
    assert np.isfinite(found).all() and scale > 0
    np.testing.assert_allclose(outputs(network, batch(words, 19)), found, atol=1e-6 * scale)
    alone = np.concatenate([outputs(network, x[i:i + 1, :length]) for i, length in enumerate(LENGTHS)])
    np.testing.assert_allclose(alone, found, atol=1e-6 * scale)


@pytest.mark.parametrize("model, args", [RNNS[1], CONVOLUTIONS[-1]])
def test_padding_changes_no_gradient_and_no_statistic(model, args):
    tf = pytest.importorskip("tensorflow")
    found, network = [], build(model, args, False)
    start = network.get_weights()
    for steps in (STEPS, 19):
        network.set_weights(start)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(batch(False, steps), training=True) ** 2)
        gradients = tape.gradient(loss, network.trainable_variables)
        found.append([np.asarray(value) for value in (*gradients, *network.non_trainable_variables)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * max(0.05, np.abs(one).max()))


@pytest.mark.parametrize("model, args", [RNNS[0], CONVOLUTIONS[0]])
def test_an_empty_sequence_has_an_answer(model, args):
    x = batch(True)
    x[2] = 0
    assert np.isfinite(outputs(build(model, args, True), x)).all()


@pytest.mark.parametrize("module, args", [(rnn, {}), (conv1d, {}), (transformer, {"longest": 19}),
                                          (transformer, {"longest": 19, "positions": "rotary"})])
def test_a_graph_takes_any_length(module, args):
    """As training and evaluation trace it, where the length of a batch is known only when it comes."""
    tf = pytest.importorskip("tensorflow")
    network = harness.randomise(module.build((None, 3), 4, size="mu", **args))
    graph = tf.function(lambda x: network(x, training=False), [tf.TensorSpec((None, None, 3))])
    for steps in (STEPS, 19):
        found = outputs(network, batch(False, steps))
        np.testing.assert_allclose(graph(batch(False, steps)), found, atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("module", [rnn, conv1d])
def test_parameter_counts(module):
    for size, count in module.PARAMETERS.items():
        network = module.build((40, 1), 10, size=size)
        assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == count, size


@pytest.mark.parametrize("model, args", [RNNS[2], CONVOLUTIONS[2]])
def test_a_saved_model_is_the_same(model, args, tmp_path):
    network = build(model, args, True)
    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again, batch(True)), outputs(network, batch(True)))


def test_numbers_are_standardised_without_their_padding():
    network, x = rnn.build((None, 3), 4, size="mu"), batch(False)
    layer = network.get_layer("scale")
    layer.adapt(x * 10 + 5)
    steps = (x * 10 + 5)[~np.isnan(x).any(axis=-1)]
    np.testing.assert_allclose(np.ravel(layer.mean), steps.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.ravel(layer.variance), steps.var(0), rtol=1e-4)


@pytest.mark.parametrize("shape, vocabulary", [((3,), None), ((3, 2), 20), ((3, None), None), ((3, 2, 1), None),
                                               (5, None)])
def test_other_shapes_are_refused(shape, vocabulary):
    with pytest.raises(ValueError, match="sequence_shape"):
        rnn.build(shape, 4, vocabulary=vocabulary)
