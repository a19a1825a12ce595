"""Models of sequences: padding changes nothing, whatever the cell, the direction, the pooling and the input."""

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl import zoo
from kerasdl.data import from_arrays
from kerasdl.errors import DataError
from kerasdl.train.setup import adapt
from kerasdl.zoo import attention, conv1d, linear, rnn, sequences, transformer

LENGTHS, STEPS, WORDS = (12, 7, 3, 1, 9), 12, 20
RNNS = [("rnn", {"size": "mu", "cell": cell, "directions": directions, "pool": pool})
        for cell, directions, pool in (("lstm", 1, "last"), ("lstm", 2, "mean"), ("gru", 2, "last"),
                                       ("gru", 1, "attention"), ("simple", 2, "max"), ("simple", 1, "last"))]
CONVOLUTIONS = [("conv1d", {"size": size}) for size in conv1d.SIZES]

TRANSFORMERS = [("transformer", {"size": "mu", "longest": 19, "causal": causal, "positions": positions, "norm": norm,
                                 "pool": pool})
                for causal, positions, norm, pool in ((False, "learned", "pre", "mean"),
                                                      (False, "learned", "post", "token"),
                                                      (True, "rotary", "pre", "last"))]


def build(model, args, words):
    shape = (None,) if words else (None, 3)
    keras.utils.set_random_seed(3)  # of the transformer's sums some draws are beyond the tolerance, by rounding alone
    return harness.randomise(zoo.build(model, shape, 4, vocabulary=WORDS if words else None, **args))


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
@pytest.mark.parametrize("model, args", RNNS + CONVOLUTIONS + TRANSFORMERS)
def test_padding_changes_nothing(model, args, words):
    network, x = build(model, args, words), batch(words)
    found = outputs(network, x)
    scale = np.abs(found).max()
    assert np.isfinite(found).all() and scale > 0
    np.testing.assert_allclose(outputs(network, batch(words, 19)), found, atol=1e-6 * scale)
    alone = np.concatenate([outputs(network, x[i:i + 1, :length]) for i, length in enumerate(LENGTHS)])
    np.testing.assert_allclose(alone, found, atol=1e-6 * scale)


@pytest.mark.parametrize("model, args", [RNNS[1], CONVOLUTIONS[-1], TRANSFORMERS[0]])
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


@pytest.mark.parametrize("model, args", [RNNS[0], CONVOLUTIONS[0], *TRANSFORMERS])
def test_an_empty_sequence_has_an_answer(model, args):
    x = batch(True)
    x[2] = 0
    assert np.isfinite(outputs(build(model, args, True), x)).all()


def test_a_constant_channel_of_a_series_is_not_scaled():
    x = np.random.default_rng(0).normal(size=(40, 9, 2)).astype("float32")
    x[..., 1] = 0.1  # whose variance float32 does not always take for 0
    split = from_arrays(x, np.resize([0, 1], 40), kind="sequence")["train"]
    network = zoo.build("conv1d", (9, 2), 2, size="mu")
    adapt(network, split)
    assert network.get_layer("scale").adapt_variance.numpy()[1] == 1
    assert np.isfinite(network.predict(x, verbose=0)).all()


@pytest.mark.parametrize("scale", [1e-24, 1e19])
def test_a_series_in_units_that_float32_has_no_room_for_is_refused(scale):
    x = np.random.default_rng(0).normal(size=(40, 9, 2)) * (1, scale)
    split = from_arrays(x, np.resize([0, 1], 40), kind="sequence")["train"]
    with pytest.raises(DataError, match="Number 1 has a standard deviation of .* multiply it by 1e"):
        adapt(zoo.build("conv1d", (9, 2), 2, size="mu"), split)


@pytest.mark.parametrize("build, shape", [(linear.build, (500_000, 2)), (rnn.build, (50_000, 10, 2))])
def test_many_rows_are_added_up_exactly(build, shape):
    x = np.random.default_rng(0).normal((2000, 1e6), (10, 1e3), shape).astype("float32")
    layer = build(shape[-1] if len(shape) == 2 else shape[1:], 2).get_layer("scale")
    layer.adapt(x)
    steps = x.reshape(-1, 2).astype("float64")
    np.testing.assert_allclose(layer.adapt_mean.numpy(), steps.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.adapt_variance.numpy(), steps.var(0), rtol=1e-6)


def test_a_mean_of_many_steps_is_a_number_in_float16():
    x, mask = np.full((1, 100_000, 1), 14, "float16"), np.ones((1, 100_000), bool)
    assert float(sequences.MeanStep(dtype="float16")(x, mask)[0, 0]) == 14


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


@pytest.mark.parametrize("module, size", [
    pytest.param(module, size, marks=() if size in ("mu", "kim", "S") else pytest.mark.soak)
    for module in (rnn, conv1d, transformer) for size in module.SIZES])
def test_parameter_counts(module, size):
    assert module.PARAMETERS.keys() == module.SIZES.keys()
    network = harness.outline(module.build, (40, 1), 10, size=size)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == module.PARAMETERS[size]


@pytest.mark.parametrize("size, count", [("tiny", 4_385_920), ("minilm", 22_713_216),
                                         pytest.param("base", 109_482_240, marks=pytest.mark.soak)])
def test_sizes_of_bert_have_the_published_parameters(size, count):
    """Those counts include a pooler, a linear map of the first token."""
    network = harness.outline(transformer.body, (512,), size=size, vocabulary=30_522, norm="post", types=2)
    width = network.output["steps"].shape[-1]
    assert network.count_params() + width * (width + 1) == count


@pytest.mark.parametrize("model, args", [RNNS[2], CONVOLUTIONS[2], *TRANSFORMERS[1:]])
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


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_causal_model_sees_no_later_token(positions):
    x = batch(True)[:1]
    other = x.copy()
    other[:, 6:] = other[:, 6:] % (WORDS - 1) + 1
    for causal in (True, False):
        network = harness.randomise(transformer.build_language((12,), vocabulary=WORDS, size="mu", causal=causal,
                                                               positions=positions))
        change = np.abs(outputs(network, x) - outputs(network, other)).max(-1)[0]
        assert (change[6:] > 1e-3).all() and ((change[:6] < 1e-6) if causal else (change[:6] > 1e-4)).all()


def test_rotary_positions_are_relative():
    """Scores depend on the distance of two steps; without positions they depend on neither."""
    layer, plain = (attention.SelfAttention(2, rotary=count) for count in (40, 0))
    x, mask = np.random.default_rng(0).normal(size=(1, 8, 8)).astype("float32"), np.ones((1, 8), bool)
    layer(x, mask), plain(x, mask)
    scores = {}
    for start in (0, 25):
        query, key, _ = layer.projected(keras.ops.convert_to_tensor(x), start)
        scores[start] = keras.ops.convert_to_numpy(keras.ops.matmul(query, keras.ops.transpose(key, (0, 1, 3, 2))))
    np.testing.assert_allclose(scores[25], scores[0], atol=1e-5)
    shuffled = np.array([0, 2, 1, 3, 4, 5, 6, 7])
    for each, moves in ((layer, True), (plain, False)):
        found, again = outputs_of(each, x, mask), outputs_of(each, x[:, shuffled], mask)
        assert (np.abs(found - again)[:, 3:].max() > 1e-3) == moves


def outputs_of(layer, x, mask):
    return keras.ops.convert_to_numpy(layer(x, mask))


def test_more_steps_than_positions_are_refused():
    tf = pytest.importorskip("tensorflow")
    for positions in ("learned", "rotary"):
        network = transformer.build((8,), 4, size="mu", vocabulary=WORDS, positions=positions)
        assert network.input_shape == (None, None)
        with pytest.raises(ValueError, match="up to 8 steps.*9"):
            network(np.ones((2, 9), "int32"))
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):  # of a length that is not known before
            tf.function(network, input_signature=[tf.TensorSpec((None, None), "int32")])(np.ones((2, 9), "int32"))
    for shape, longest, words in (((9, 3), 8, "longest=8 steps. Received: 9"),
                                  ((None, 3), None, "number of positions")):
        with pytest.raises(ValueError, match=words):
            transformer.build(shape, 4, size="mu", longest=longest)
    for wrong in ({"positions": "none"}, {"norm": "both"}, {"pool": "max"}):
        with pytest.raises(ValueError, match="Expected"):
            transformer.build((8, 3), 4, size="mu", **wrong)


@pytest.mark.parametrize("model, args", [RNNS[2], CONVOLUTIONS[0], TRANSFORMERS[1]])
def test_a_tagger_has_logits_for_each_step_that_padding_does_not_change(model, args):
    body = zoo.module(model).body((None,), vocabulary=WORDS, **args)
    network = harness.randomise(sequences.tagger(body, 5, 0.5, name="tagger"))
    assert network.layers[-1].name == "logits" and network.output_shape == (None, None, 5)
    found, there = outputs(network, batch(True)), batch(True) != 0
    np.testing.assert_allclose(outputs(network, batch(True, 19))[:, :STEPS][there], found[there],
                               atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("model", [rnn, transformer])
def test_a_language_model_shares_its_embedding_and_is_the_same_when_saved(model, tmp_path):
    network = harness.randomise(model.build_language((STEPS,), vocabulary=WORDS, size="mu", drop=0.1))
    assert network.output_shape == (None, None, WORDS) and network.output.dtype == "float32"
    assert not network.get_layer("logits").weights
    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again, batch(True)), outputs(network, batch(True)))
    network.get_layer("embedding").embeddings.assign_add(np.eye(WORDS, network.get_layer("embedding").output_dim))
    assert np.abs(outputs(again, batch(True)) - outputs(network, batch(True))).max() > 1e-3


def test_a_language_model_needs_tokens():
    with pytest.raises(ValueError, match="reads tokens"):
        sequences.language_model(rnn.body((None, 3), size="mu"), name="language")
    with pytest.raises(ValueError, match="as wide as"):
        sequences.language_model(rnn.body((None,), size="mu", vocabulary=WORDS, directions=2), name="language")


@pytest.mark.parametrize("model, args", [RNNS[0], CONVOLUTIONS[0], TRANSFORMERS[2]])
def test_mixed_precision_keeps_float32_logits(model, args):
    before = keras.config.dtype_policy()
    full = build(model, args, True)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = zoo.build(model, (None,), 4, vocabulary=WORDS, **args)
    finally:
        keras.config.set_dtype_policy(before)
    network.set_weights(full.get_weights())
    assert network.get_layer("features").compute_dtype == "bfloat16"
    found, wanted = outputs(network, batch(True)), outputs(full, batch(True))
    assert found.dtype == "float32" and 0 < np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
