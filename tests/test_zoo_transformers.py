"""Transformers: attention, drop path, positions of another image size, and what Keras does to a frozen one."""

import math

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl import zoo
from kerasdl.zoo import blocks, cct, transformer, vit


def test_gelu_is_the_exact_one():
    x = np.linspace(-6, 6, 101).astype("float32")
    np.testing.assert_allclose(vit.gelu(x), keras.activations.gelu(x, approximate=False), atol=1e-6)


def test_attention_starts_at_glorots_bound():
    attention = harness.make("vit").get_layer("block1_attn")
    for weight in attention.weights:
        if weight.path.endswith("kernel"):
            np.testing.assert_allclose(np.abs(np.asarray(weight)).max(), math.sqrt(3 / 32), rtol=0.02)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    keras.utils.set_random_seed(1)
    layer = blocks.DropPath(0.25)
    x = np.ones((2000, 3, 2), "float32")
    np.testing.assert_array_equal(layer(x, training=False), x)
    out = np.asarray(layer(x, training=True)).reshape(2000, -1)
    assert (out == out[:, :1]).all()
    np.testing.assert_allclose(np.unique(out), [0, 4 / 3], rtol=1e-6)
    assert abs(out.mean() - 1) < 0.05
    assert (np.asarray(layer(x, training=True)).reshape(2000, -1) != out).any()


def test_drop_path_grows_with_depth():
    model = harness.outline(vit.build, (8, 8, 1), 2, size="Ti", patch=4, drop_path=0.11)
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, blocks.DropPath)}
    assert "block1_path1" not in rates
    np.testing.assert_allclose([rates[f"block{i}_path2"] for i in range(2, 13)], np.arange(1, 12) / 100)


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_resize_changes_nothing_but_positions(pool):
    model = harness.randomise(harness.make("vit", pool=pool, drop=0.1, drop_path=0.1), spread=0.5)
    new = vit.resize(model, (16, 12, 1))
    assert np.isfinite(harness.logits(new, harness.pictures(2, (16, 12, 1)))).all()
    assert [layer.name for layer in new.layers] == [layer.name for layer in model.layers]
    for layer in model.layers:
        if layer.name != "position":
            for old, now in zip(layer.get_weights(), new.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(old, now)
    tokens = 1 if pool == "token" else 0
    old, now = (np.asarray(m.get_layer("position").table) for m in (model, new))
    assert now.shape == (1, tokens + 4 * 3, 32)
    np.testing.assert_array_equal(now[:, :tokens], old[:, :tokens])

    same = vit.resize(model, harness.SHAPE)
    np.testing.assert_allclose(
        harness.logits(same, harness.pictures()), harness.logits(model, harness.pictures()), atol=1e-5
    )


def test_resized_positions_follow_the_image():
    """Embeddings that grow to the right still do, and only to the right, on a wider and lower grid."""
    model = vit.build((24, 16, 1), 2, size="mu", patch=4, pool="mean")  # 6 x 4 patches
    table = np.broadcast_to(np.arange(4.0)[None, :, None], (6, 4, 32))
    model.get_layer("position").table.assign(table.reshape(1, 24, 32))
    now = np.asarray(vit.resize(model, (12, 32, 1)).get_layer("position").table).reshape(3, 8, 32)
    np.testing.assert_allclose(now, np.broadcast_to(now[:1, :, :1], now.shape), atol=1e-5)
    assert (np.diff(now[0, :, 0]) > 0).all()
    np.testing.assert_allclose(now[0, :, 0].mean(), 1.5, atol=1e-5)


# What Keras does to a model that is saved


@pytest.mark.parametrize("module, args", [(vit, {"patch": 8}), (cct, {})])
def test_a_frozen_attention_is_frozen_again_by_the_remedy_of_the_docs(module, args, tmp_path):
    """Keras 3.15.1 loads it trainable. Where that is mended, take the paragraph out of docs/zoo.md."""
    loaded = with_frozen_body(module.body((16, 16, 3), size="mu", **args), tmp_path / "model.keras")
    assert len(loaded.trainable_weights) > 2, "Keras has mended it"
    for layer in zoo.features(loaded).layers:
        layer.trainable = True
        layer.trainable = False
    assert len(loaded.trainable_weights) == 2


def test_a_frozen_transformer_stays_frozen(tmp_path):
    body = transformer.body((8,), size="mu", vocabulary=10)
    assert len(with_frozen_body(body, tmp_path / "model.keras").trainable_weights) == 2


def with_frozen_body(body, file):
    """A model whose head alone can be trained, saved and loaded."""
    body.trainable = False
    logits = keras.layers.Dense(3, name="logits")(body.output["features"])
    model = keras.Model(body.input, logits)
    assert len(model.trainable_weights) == 2
    model.save(file)
    return keras.saving.load_model(file)
