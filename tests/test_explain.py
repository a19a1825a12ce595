"""`kerasdl explain`: methods that compute what they claim, and the verb."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit
from test_cli import documented, printed

import kerasdl
from kerasdl.data import tokens as tokens_of
from kerasdl.errors import UserError
from kerasdl.explain import attention, examples, methods, names, overlay, tables
from kerasdl.explain.checks.check import check
from kerasdl.explain.checks.completeness import completeness
from kerasdl.explain.description import Material, describe
from kerasdl.explain.explanation import places
from kerasdl.explain.methods import grad_cam, occlusion
from kerasdl.explain.network import Network
from kerasdl.explain.outcome import FILE
from kerasdl.explain.page import columns, parts
from kerasdl.objectives.classify import mistakes
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train.fit import train
from kerasdl.zoo import (
    cct,
    cnn,
    conv1d,
    ensemble,
    linear,
    tf_idf,
    transformer,
    vit,
)
from kerasdl.zoo.trees import Trees
from kerasdl.zoo.vit import FirstToken

IMAGES = (8, 8, 1)


@pytest.fixture(scope="module")
def tokens():
    x = np.random.default_rng(0).integers(1, 50, (4, 12)).astype("int32")
    x[1, 8:] = 0
    return x


@pytest.fixture(scope="module")
def text():
    keras.utils.set_random_seed(0)
    return Network(transformer.build((12,), 3, size="mu", vocabulary=50))


@pytest.fixture(scope="module")
def series():
    x = np.random.default_rng(0).normal(size=(4, 20, 2)).astype("float32")
    x[2, 15:] = np.nan
    return x


# Methods


def test_the_gradient_of_a_linear_model_is_its_weight_row(digit_images):
    model = linear.build(IMAGES, 10)
    found = kerasdl.explain(model, digit_images, "gradient", target=3)
    weights = model.get_layer("logits").kernel.numpy()[:, 3].reshape(IMAGES)
    np.testing.assert_array_equal(found.values, np.broadcast_to(weights * np.float32(1 / 255), found.values.shape))
    np.testing.assert_array_equal(found.maps, np.abs(found.values[..., 0]))


def test_of_rows_it_is_divided_by_the_deviation_of_the_column():
    x = np.random.default_rng(0).normal(5, [1, 10, 100], (50, 3)).astype("float32")
    model = linear.build(3, 2)
    model.get_layer("scale").adapt(x)
    found = kerasdl.explain(model, x, "gradient", target=1)
    weights = model.get_layer("logits").kernel.numpy()[:, 1]
    np.testing.assert_allclose(found.values, np.broadcast_to(weights / x.std(0), x.shape), rtol=1e-4)
    np.testing.assert_allclose(found.maps, np.broadcast_to(weights, x.shape), rtol=1e-4)  # a unit is a deviation
    added = kerasdl.explain(model, x, "integrated_gradients", target=1)
    np.testing.assert_allclose(added.values, (x - x.mean(0)) / x.std(0) * weights, rtol=1e-3, atol=1e-4)


def off(network, x, found):
    """How far the sums are from the differences of the logits, (N,), in shares of their mean size."""
    place = np.arange(len(x)), found.target
    difference = (found.logits - network.logits(x, network.neutral(x)))[place]
    return np.abs(found.values.reshape(len(x), -1).sum(1) - difference) / np.abs(difference).mean()


@pytest.mark.parametrize("which", ["images", "text", "series"])
def test_integrated_gradients_sum_to_the_difference(which, explained_network, digit_images, text, tokens, series):
    network, x = {"images": (explained_network, digit_images), "text": (text, tokens),
                  "series": (Network(conv1d.build((20, 2), 3, size="mu")), series)}[which]
    found = kerasdl.explain(network, x, steps=64)
    assert off(network, x, found).mean() < 1e-2 and off(network, x, found).max() < 3e-2
    assert completeness(network, x, found)["error"] == pytest.approx(off(network, x, found).mean(), rel=1e-3)
    assert np.isfinite(found.maps).all() and not found.maps[~network.present(x)].any()
    np.testing.assert_array_equal(found.target, found.logits.argmax(1))


def test_grad_cam_is_the_class_s_weights_of_the_last_maps(explained_network, digit_images):
    """With a mean over the maps before the head, the weights of the maps are those of the head."""
    found = kerasdl.explain(explained_network, digit_images, "grad_cam", target=4)
    model = explained_network.model
    last = keras.Model(model.input, model.get_layer("maps").output)(digit_images.astype("float32")).numpy()
    weights = model.get_layer("logits").kernel.numpy()[:, 4] / np.prod(last.shape[1:3])
    np.testing.assert_allclose(found.values, np.maximum(last @ weights, 0), atol=1e-6)
    assert found.maps.shape == digit_images.shape[:3] and found.values.shape == last.shape[:3]


@pytest.mark.parametrize("build, options, default", [
    (vit.build, {"patch": 2}, "block2_norm1"), (vit.build, {"patch": 2, "pool": "mean"}, "norm"),
    (cct.build, {}, "norm")])
def test_grad_cam_reads_the_tokens_of_a_transformer_as_a_grid(digit_images, build, options, default):
    network = Network(build(IMAGES, 10, size="mu", **options))
    assert grad_cam.layer_of(network) == default
    found = kerasdl.explain(network, digit_images[:3], "grad_cam")
    assert found.maps.shape == (3, 8, 8) and found.values.shape == (3, 4, 4) and found.values.max() > 0
    if default == "norm":
        tokens = network.at("norm")[0].outputs(network.raw(digit_images[:3]))
        slope = network.at("norm")[1].gradients(found.target, network.raw(digit_images[:3]), tokens)[1]
        np.testing.assert_allclose(found.values.reshape(3, 16), np.maximum((slope.mean(1, keepdims=True) * tokens).sum(
            -1), 0), atol=1e-6)


def test_grad_cam_of_a_class_token_leaves_the_token_out(digit_images):
    network, x = Network(vit.build(IMAGES, 10, size="mu", patch=2)), digit_images[:2]
    assert not kerasdl.explain(network, x, "grad_cam", layer="norm").values.any()  # of the patches nothing is read
    assert grad_cam.layer_of(network, "block1_add2") == "block1_add2"
    with pytest.raises(UserError, match="has places, as that of 'block2_norm1' has"):
        kerasdl.explain(network, x, "grad_cam", layer="features")


def test_grad_cam_is_that_of_tf_keras_vis(explained_network, digit_images):
    gradcam = pytest.importorskip("tf_keras_vis.gradcam", reason="tf-keras-vis, of the extra `test`, is not installed")
    theirs = gradcam.Gradcam(explained_network.model, model_modifier=None, clone=False)
    for layer in ("maps", "stem_relu"):
        found = kerasdl.explain(explained_network, digit_images, "grad_cam", layer=layer)
        chosen = list(enumerate(found.target))
        expected = theirs(lambda output, chosen=chosen: [output[place] for place in chosen],
                          digit_images.astype("float32"), penultimate_layer=layer, expand_cam=False,
                          normalize_cam=False, seek_penultimate_conv_layer=False)
        np.testing.assert_allclose(found.values, np.asarray(expected), atol=1e-5)
        assert found.values.max() > 0


def test_smoothgrad_of_a_linear_model_is_its_gradient_and_its_seed_decides(explained_network, digit_images):
    model = linear.build(IMAGES, 10)
    smooth, sharp = (kerasdl.explain(model, digit_images, name, target=0).values for name in ("smoothgrad", "gradient"))
    np.testing.assert_allclose(smooth, sharp, rtol=1e-5)
    one, again, other = (kerasdl.explain(explained_network, digit_images, "smoothgrad", seed=seed).values
                         for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_occlusion_of_a_linear_model_by_hand(digit_images):
    model = linear.build(IMAGES, 10)
    found = kerasdl.explain(model, digit_images, "occlusion", target=2, window=1)
    weights = model.get_layer("logits").kernel.numpy()[:, 2].reshape(8, 8) / 255
    mean = digit_images.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found.maps, ((digit_images - mean)[..., 0] * weights), atol=1e-5)


@pytest.mark.parametrize("size, side", [((8, 8), 3), ((28, 20), 4), ((17,), 5), ((3,), 7)])
def test_windows_cover_every_place(size, side):
    covered = np.zeros(size)
    for place in occlusion.windows(size, side):
        covered[place] += 1
    assert covered.min() >= 1


def test_a_token_that_is_padding_says_nothing(text, tokens):
    for name in methods.fitting(text):
        found = kerasdl.explain(text, tokens, name)
        assert found.maps.shape == tokens.shape and np.isfinite(found.maps).all()
        assert np.abs(found.maps[1, 8:]).max() < 1e-6, name


def test_padding_of_all_texts_costs_nothing(text, tokens, monkeypatch):
    calls, logits = [], text.logits  # of a text of 8 tokens and 4 places of padding
    monkeypatch.setattr(text, "logits", lambda x, numbers=None: calls.append(1) or logits(x, numbers))
    kerasdl.explain(text, tokens[1:2], "occlusion")
    assert 8 <= len(calls) <= 8 + 2


def test_series_are_explained_along_time(series):
    network = Network(conv1d.build((20, 2), 3, size="mu"))
    for name in ("gradient", "grad_cam", "occlusion", "smoothgrad"):
        found = kerasdl.explain(network, series, name)
        assert found.maps.shape == series.shape[:2] and np.isfinite(found.maps).all()
        assert name == "grad_cam" or not found.maps[2, 15:].any()


# Models without layers of their own


def test_an_ensemble_is_explained_as_a_whole_or_not_at_all(tokens):
    x = np.random.default_rng(0).normal(5, [1, 10, 100], (50, 3)).astype("float32")
    model = linear.build(3, 2)
    model.get_layer("scale").adapt(x)
    two = Network(ensemble.build([model, model], numbers=True))
    one, both = (kerasdl.explain(each, x, target=1, steps=2) for each in (model, two))
    np.testing.assert_allclose(both.maps, one.maps, rtol=1e-3, atol=1e-4)  # "neutral" is the same mean
    np.testing.assert_allclose(two.unit(x), x.std(0), rtol=1e-4)
    texts = Network(ensemble.build([conv1d.build((12,), 3, size="mu", vocabulary=50)] * 2))
    assert methods.fitting(texts) == ["occlusion"]
    found = kerasdl.explain(texts, tokens, "occlusion")
    assert found.maps[0].any() and not found.maps[1, 8:].any()
    images = Network(ensemble.build([cnn.build(IMAGES, 3, size="mu")] * 2))
    assert methods.fitting(images) == ["feature_visualisation", "gradient", "integrated_gradients", "occlusion",
                                       "smoothgrad"]
    assert "ensemble" in methods.misfit("grad_cam", images)


def test_counted_words_are_explained_by_leaving_one_out():
    kernel = np.array([[0, 0], [0, 3], [0, 0]], "float32")  # the second word alone counts
    model = tf_idf.build(4, 2, np.arange(1, 4), np.ones(3, "float32"), kernel, np.zeros(2, "float32"))
    network, x = Network(model), np.array([[1, 2, 3, 0]])
    found = kerasdl.explain(network, x, "occlusion", target=1)
    assert found.maps[0].argmax() == 1 and found.maps[0, 1] > 0 and found.maps[0, 3] == 0
    assert methods.fitting(network) == ["occlusion"]
    assert "a token itself has no gradient" in methods.misfit("gradient", network)
    checked = check(network, x, "occlusion")
    assert [row["layer"] for row in checked["randomisation"]["layers"]] == ["logits"]
    assert checked["faithfulness"]["areas"].keys() == {"occlusion", "random", "centre"}


def test_a_model_in_a_model_has_no_layers_to_read():
    inputs, inner = keras.Input(IMAGES, name="image"), keras.Input(IMAGES)
    base = keras.Model(inner, keras.layers.Conv2D(2, 3)(inner), name="base")
    pooled = keras.layers.GlobalAveragePooling2D()(base(keras.layers.Rescaling(1 / 255)(inputs)))
    network = Network(keras.Model(inputs, keras.layers.Dense(2)(pooled)))
    assert "'base'" in methods.misfit("grad_cam", network) and not methods.misfit("gradient", network)
    with pytest.raises(UserError, match="ends in a softmax"):
        Network(keras.Model(inputs, keras.layers.Dense(2, "softmax")(pooled)))
    with pytest.raises(UserError, match="ends in a softmax"):
        Network(keras.Model(inputs, keras.layers.Softmax()(pooled)))
    np.testing.assert_array_equal(describe(network, "first_layer_filters")["filters"], base.layers[-1].kernel.numpy())


def test_a_model_of_preprocessing_in_a_model_keeps_nothing_from_being_read(digit_images):
    inputs = keras.Input(IMAGES, name="image")
    flipped = keras.Sequential([keras.layers.RandomFlip()], name="preprocessing")(inputs)
    maps = keras.layers.Conv2D(2, 3, name="conv")(flipped)
    network = Network(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(maps))))
    assert {"grad_cam", "first_layer_filters"} <= set(methods.fitting(network))
    own, named = (kerasdl.explain(network, digit_images[:2], "grad_cam", target=0, **options)
                  for options in ({}, {"layer": "conv"}))
    np.testing.assert_array_equal(own.values, named.values)
    with pytest.raises(UserError, match="'preprocessing' in .* is a model of its own"):
        kerasdl.explain(network, digit_images[:2], "grad_cam", layer="preprocessing")


def test_tokens_that_no_layer_gave_are_not_read():
    inputs = keras.Input(IMAGES, name="image")
    tokens = keras.layers.Reshape((64, 4))(keras.layers.Conv2D(4, 1, name="grid")(inputs))
    summed = tokens + 1.0
    answers = keras.layers.Dense(2)(FirstToken()(keras.layers.MultiHeadAttention(1, 4)(summed, summed)))
    network = Network(keras.Model(inputs, answers))
    assert attention.tokens_layer(network) == "" and grad_cam.layer_of(network) == "grid"


# Attention


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_the_attention_is_what_the_layer_computes(digit_images, pool):
    network = Network(vit.build(IMAGES, 10, size="mu", patch=2, pool=pool))
    shares = attention.shares(network, digit_images)
    assert list(shares) == ["block1_attn", "block2_attn"]
    layer = network.model.get_layer("block1_attn")
    below = keras.Model(network.model.input, [layer.input[0], layer.output])
    x, expected = (values.numpy() for values in below(digit_images.astype("float32")))
    kernel, bias = (weight.numpy() for weight in layer._value_dense.weights)  # noqa: SLF001
    values = np.einsum("ntd,dhk->nthk", x, kernel) + bias
    read = np.einsum("nhqk,nkhd->nqhd", shares["block1_attn"], values)
    kernel, bias = (weight.numpy() for weight in layer._output_dense.weights)  # noqa: SLF001
    np.testing.assert_allclose(np.einsum("nqhd,hdo->nqo", read, kernel) + bias, expected, atol=1e-5)
    found = kerasdl.explain(network, digit_images, "attention_heads")
    read = shares["block2_attn"][:, :, 0] if pool == "token" else shares["block2_attn"].mean(2)
    np.testing.assert_allclose(found.values, read, atol=1e-6)
    assert list(found.parts) == ["head 1", "head 2"] and found.parts["head 1"].shape == found.maps.shape == (24, 8, 8)


def test_rollout_by_hand(text, tokens):
    found = kerasdl.explain(text, tokens, "attention_rollout")
    np.testing.assert_allclose(found.values.sum(1), 1, atol=1e-5)
    one, two = (each.mean(1) for each in attention.shares(text, tokens).values())
    eye, there = np.eye(12), tokens != 0
    mixed = (0.5 * eye + 0.5 * two) @ (0.5 * eye + 0.5 * one)
    np.testing.assert_allclose(found.values, np.einsum("nq,nqk->nk", there / there.sum(1, keepdims=True), mixed),
                               atol=1e-6)


def test_a_cct_reads_its_tokens_by_learned_weights(digit_images):
    network = Network(cct.build(IMAGES, 10, size="mu"))
    read = attention.reading(network, digit_images, 16)
    expected = keras.Model(network.model.input, network.model.get_layer("pool_shares").output)(
        digit_images.astype("float32")).numpy()
    np.testing.assert_allclose(read, expected[..., 0], atol=1e-6)
    assert kerasdl.explain(network, digit_images, "attention_rollout").maps.shape == (24, 8, 8)


def test_each_head_of_a_text_is_on_the_page(text, tokens):
    explained = SimpleNamespace(found={"attention_heads": kerasdl.explain(text, tokens, "attention_heads")},
                                examples=SimpleNamespace(names=list("abcd")), subject=SimpleNamespace(kind="tokens"))
    (name, (one, two)), *_ = parts(explained, "attention_heads", [["these", "words"]] * 4)
    assert name == "a" and "head 1" in one and "head 2" in two and ">words</span>" in one and one != two


# The model as a whole


@pytest.fixture(scope="module")
def material():
    """Rows whose class is decided by a number and by a text of three categories, next to a number that says nothing."""
    random = np.random.default_rng(0)
    category = random.integers(0, 3, 300)
    x = np.concatenate([random.normal(size=(300, 2)), np.eye(3)[category]], 1).astype("float32")
    y = (x[:, 0] + 2 * (category == 1) > 0.5).astype("int32")
    return Material(x, y, ("no", "yes"), {"size": None, "noise": None, "colour": ["red", "green", "blue"]})


@pytest.fixture(scope="module")
def table_network():
    model = linear.build(5, 2)
    kernel = np.zeros((5, 2), "float32")
    kernel[:, 1] = [4, 0, 0, 8, 0]
    model.get_layer("logits").set_weights([kernel, np.array([0, -2], "float32")])
    return Network(model)


def test_rows_are_drawn_from_all_of_a_table(material):
    rows = tables.drawn(material, 5)
    assert len(rows) == 5 and rows.max() > 5 and (np.diff(rows) > 0).all()
    assert len(tables.drawn(material, 10**6)) == len(material.x)


def test_trees_have_no_gradient_to_show():
    inputs = keras.Input((2,), name="row")
    network = Network(keras.Model(inputs, Trees(2, 6, 1, 2, name="logits")(inputs)))
    for name in ("gradient", "smoothgrad", "integrated_gradients"):
        assert "made of trees" in methods.misfit(name, network)
    assert not methods.misfit("permutation_importance", network)


def test_permutation_importance_mixes_a_column_of_text_as_a_whole(table_network, material):
    found = describe(table_network, "permutation_importance", material)
    size, noise, colour = found["mean"]
    assert noise == 0 and size > 0.1 and colour > 0.1 and found["score"] == 1
    right = []
    for order in range(30):
        mixed = material.x.copy()
        mixed[:, 2:] = mixed[np.random.default_rng(order).permutation(300), 2:]
        right.append((table_network.logits(mixed).argmax(1) == material.y).mean())
    assert colour == pytest.approx(1 - np.mean(right), abs=0.03)


def test_partial_dependence_is_the_mean_answer(table_network, material):
    found = describe(table_network, "partial_dependence", material)
    assert found["grid colour"].tolist() == [0, 1, 2] and found["mean size"].shape == (2, 24)
    np.testing.assert_allclose(found["mean size"].sum(0), 1, atol=1e-6)
    green = material.x.copy()
    green[:, 2:] = [0, 1, 0]
    logits = table_network.logits(green)
    expected = np.mean(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))
    assert found["mean colour"][1, 1] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(found["mean noise"]) == pytest.approx(np.ptp(found["mean noise"][:, 0]), abs=1e-6)
    assert "<svg" in methods.find("partial_dependence").show(found, material)
    assert "colour" in methods.find("permutation_importance").show(
        describe(table_network, "permutation_importance", material, repeats=2), material)


def test_partial_dependence_of_several_labels_is_the_probability_of_each(table_network, material):
    labels = replace(material, y=np.eye(2, dtype="int32")[material.y])
    found = describe(table_network, "partial_dependence", labels)
    green = material.x.copy()
    green[:, 2:] = [0, 1, 0]
    expected = expit(table_network.logits(green)).mean(0)
    np.testing.assert_allclose(found["mean colour"][:, 1], expected, atol=1e-5)


def test_values_of_columns_are_those_of_the_table(table_network, material):
    later = replace(material, offsets={"size": 1.7e9})
    found, plain = (describe(table_network, "partial_dependence", each) for each in (later, material))
    np.testing.assert_allclose(found["grid size"], plain["grid size"] + 1.7e9)
    np.testing.assert_array_equal(found["mean size"], plain["mean size"])
    text = columns(["size", "noise"], np.array([12.5, 0.5], "float32"), np.array([1.0, -1.0]), {"size": 1.7e9})
    assert "<td>1700000012.5</td>" in text and "<td>0.5</td>" in text


def test_a_visualisation_of_some_classes_says_so():
    show, found = methods.find("feature_visualisation").show, {"examples": np.zeros((2, 8, 8, 1)), "logits": np.ones(2)}
    assert "The first 2 of 3 classes." in show(found, Material(classes=("a", "b", "c")))
    assert "The first" not in show(found, Material(classes=("a", "b")))


def test_filters_are_the_first_kernel(explained_network):
    found = describe(explained_network, "first_layer_filters")["filters"]
    np.testing.assert_array_equal(found, explained_network.model.get_layer("stem_conv").kernel.numpy())
    whitened = cnn.build((8, 8, 3), 2, size="M", width=8, whitened=True)
    np.testing.assert_array_equal(describe(whitened, "first_layer_filters")["filters"],
                                  whitened.get_layer("stem").kernel.numpy())
    rows = describe(linear.build(IMAGES, 10), "first_layer_filters")["filters"]
    assert rows.shape == (*IMAGES, 10)
    assert "img" in methods.find("first_layer_filters").show({"filters": rows}, Material())


def test_visualised_classes_have_higher_logits_than_digits(explained_network, digit_images):
    found = describe(explained_network, "feature_visualisation", steps=60)
    assert found["examples"].shape == (10, *IMAGES) and 0 <= found["examples"].min() and found["examples"].max() <= 255
    assert found["logits"].mean() > 1.5 * explained_network.logits(digit_images).max(0).mean()


# The verb


@pytest.fixture(scope="module")
def copied(hard_run, tmp_path_factory):
    return Run(shutil.copytree(hard_run.path, tmp_path_factory.mktemp("explained") / "run",
                               ignore=shutil.ignore_patterns("tensorboard")))


def test_the_command_explains_mistakes_and_hands_them_to_the_report(command, copied):
    found = printed(command, "explain", copied.path, "--mistakes", "4", "--method",
                    "smoothgrad,grad_cam,first_layer_filters", "--check", "--examples", "8", "--no-planted")
    assert found.keys() <= documented("explain")
    assert found == json.loads((copied.path / "explain" / FILE).read_text()) | {key: found[key]
                                                                                for key in ("folder", "page")}
    with np.load(copied.path / "predictions.npz") as kept:
        outputs, truth = kept["outputs"], kept["truth"]
    shares = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    wrong = mistakes(shares, truth, 4)
    assert [row["example"] for row in found["examples"]] == [f"test {place}" for place in wrong]
    assert [row["truth"] for row in found["examples"]] == [str(truth[place]) for place in wrong]
    assert [row["probability"] for row in found["examples"]] == pytest.approx(shares[wrong].max(1), abs=1e-4)
    rows = {row["method"]: row for row in found["methods"]}
    assert rows.keys() == {"smoothgrad", "grad_cam"} and rows["grad_cam"]["layer"] == "maps"
    for row in rows.values():
        assert row.keys() | row["check"].keys() <= documented("explain")
        for name in row["images"]:
            with Image.open(copied.path / "explain" / name) as image:
                assert image.size == (256, 256)
    with np.load(copied.path / "explain" / "maps.npz") as maps:
        assert maps["grad_cam"].shape == (4, 8, 8) and "first_layer_filters filters" in maps
    page = (copied.path / "explain" / "explain.html").read_text()
    for row in rows.values():
        assert row["title"] in page and ("not to be trusted here" in page or all(
            each["check"]["trusted"] for each in rows.values()))
    report = (copied.path / "report.html").read_text()
    assert "The most confident mistakes, and what the network looked at" in report and 'id="explain"' in report


def test_files_are_explained_as_they_are_predicted(command, copied, digit_images, here):
    for place in range(2):
        keras.utils.save_img(here / f"{place}.png", digit_images[place], scale=False)
    found = printed(command, "explain", copied.path, "0.png", "1.png", "--method", "gradient", "--class", "7", "--out",
                    here / "out", "--no-report")
    said = printed(command, "predict", copied.path, "0.png", "1.png", "--top", "1")
    assert [(row["example"], row["predicted"]) for row in found["examples"]] == [
        (row["example"], row["answers"][0]["class"]) for row in said]
    assert {row["explained"] for row in found["examples"]} == {"7"} and found["examples"][0]["truth"] is None
    assert {file.name for file in (here / "out").iterdir()} == {
        FILE, "explain.html", "maps.npz", "gradient-01.png", "gradient-02.png"}
    (here / "out" / "cat-2024.png").touch()  # the user's own
    assert "Not checked" in command("explain", copied.path, "0.png", "--out", here / "out", "--no-report").out
    assert [file.name for file in sorted((here / "out").glob("*.png"))][1:] == ["integrated_gradients-01.png"]


def test_a_table_is_explained_by_its_columns(command, refused, table, here):
    run = train(Recipe(model="mlp", model_args={"size": "mu"}, data=f"csv:{table}", data_args={"label": "kind"},
                       epochs=1, batch=32), workdir=here / "run", verbose=False)
    found = printed(command, "explain", run.path, "--method", "permutation_importance,partial_dependence")
    importance = found["descriptions"][0]["arrays"]
    assert len(importance["mean"]) == 3 and not found["examples"]
    page = (run.path / "explain" / "explain.html").read_text()
    assert "accuracy lost" in page and "colour" in page and "<svg" in page
    pd.read_csv(table).head(3).to_csv("rows.csv", index=False)
    rows = printed(command, "explain", run.path, "rows.csv")
    assert np.shape(rows["methods"][0]["values"]) == (3, 5) and rows["methods"][0]["images"] == []
    assert "colour = red" in (run.path / "explain" / "explain.html").read_text()
    pd.read_csv(table).head(0).to_csv("none.csv", index=False)
    refused("explain", run.path, "none.csv", words=["hold no example"])


def test_tokens_are_words_without_padding(here):
    args = tokens_of.TokenArgs(tokens="word")
    (here / "tokenizer.json").write_text(tokens_of.trained(args, ["good words", "bad words"]).text)
    known = tokens_of.opened("tokenizer.json").encode(["bad words", "words"], 4)[0]
    assert examples.words(Run(here), known) == [["bad", "words"], ["words"]]
    shown = overlay.of_text(["bad", "words"], np.array([-1.0, 0.5]), True)
    assert shown.count("<span") == 2 and "31,119,180" in shown and "214,39,40" in shown


@pytest.mark.soak
def test_a_text_is_explained_by_its_tokens(command, here):
    frame = pd.DataFrame({"text": [f"{word} {index % 7} words here" for index, word in enumerate(["good", "bad"] * 40)],
                          "kind": ["fine", "poor"] * 40})
    frame.to_csv("texts.csv", index=False)
    run = train(Recipe(model="conv1d", model_args={"size": "mu"}, data="text:texts.csv",
                       data_args={"text": "text", "label": "kind"}, epochs=6, batch=16, lr=3e-2), workdir=here / "run",
                verbose=False)
    found = printed(command, "explain", run.path, "--sample", "2", "--no-report")
    page = (run.path / "explain" / "explain.html").read_text()
    assert 'class="token"' in page and ">words</span>" in page
    values = np.abs(found["methods"][0]["values"][0])
    assert values.argmax() == 0  # good or bad, which decides


def test_overlays_show_what_is_for_and_against_and_nothing_of_a_constant(series):
    values = np.zeros((8, 8))
    image = np.full(IMAGES, 100, "uint8")
    plain = overlay.of_image(image, values, True)
    assert plain.shape == (256, 256, 3) and len(np.unique(plain)) == 1
    values[0, 0], values[7, 7] = 1, -1
    drawn = overlay.of_image(image, values, True).astype(int)
    assert drawn[0, 0, 0] > drawn[0, 0, 2] + 50 and drawn[-1, -1, 2] > drawn[-1, -1, 0] + 50
    assert overlay.of_series(series[2], np.arange(20.0), False).shape == (256, 512, 3)
    assert "<script>" not in overlay.of_text(["<script>"], np.ones(1), True)


# Mistakes


def test_mistakes_are_one_line(refused, copied, here, digit_images):
    run = copied.path
    refused("explain", run, "--sample", "2", "--method", "gradcam", words=["'gradcam'", "Did you mean 'grad_cam'?"])
    refused("explain", run, "--sample", "2", "--method", "partial_dependence", words=["is for row data", "grad_cam"])
    refused("explain", run, "--sample", "2", "--method", "attention_rollout", words=["no attention", "Choose from"])
    refused("explain", run, "--sample", "2", "--method", "grad_cam", "--layer", "stem_relo", words=["'stem_relu'"])
    refused("explain", run, "--sample", "2", "--method", "grad_cam", "--layer", "logits", words=["places", "'maps'"])
    refused("explain", run, "--sample", "2", "--method", "gradient", "--layer", "maps", words=["Leave out --layer"])
    refused("explain", run, "--sample", "2", "--method", "gradient,occlusion", "--layer", "maps", words=["their own"])
    for option in (["--planted"], ["--no-planted"], ["--examples", "100"]):
        refused("explain", run, "--sample", "2", *option, words=[option[0], "Add --check"])
    refused("explain", run, "--sample", "2", "--class", "eleven", words=["no class 'eleven'"])
    for option in (["--check"], ["--class", "1"], ["--layer", "maps"], ["--sample", "2"]):
        refused("explain", run, "--method", "first_layer_filters", *option, words=["as a whole", option[0]])
    refused("explain", run, words=["none is named", "--mistakes 12"])
    refused("explain", run, "--sample", "2", "--mistakes", "2", words=["--mistakes and --sample"])
    (here / "no.png").write_text("text")
    refused("explain", run, "no.png", words=["no.png"])
    refused("explain", run, "gone.png", words=["no file 'gone.png'"])
    (here / "full").mkdir()
    (here / "full" / "mine.txt").write_text("mine")
    refused("explain", run, "--sample", "1", "--out", here / "full", "--no-report", words=["is not empty"])
    assert (here / "full" / "mine.txt").read_text() == "mine"


def test_runs_that_have_nothing_to_explain(refused, copied, here):
    other = shutil.copytree(copied.path, here / "other")
    recipe = json.loads((other / "recipe.json").read_text())
    for name, word in (("adversarial", "no predictions"), ("classify", "no model.keras")):
        (other / "recipe.json").write_text(json.dumps(recipe | {"objective": name}))
        if name == "classify":
            (other / "model.keras").unlink()
        refused("explain", other, "--sample", "1", words=[word])
    refused("explain", "nowhere", "--sample", "1", words=["no run folder"])


def test_mistakes_in_python(digit_images, explained_network):
    with pytest.raises(UserError, match="no setting 'step'. Did you mean 'steps'"):
        kerasdl.explain(explained_network, digit_images, step=3)
    with pytest.raises(UserError, match="an output from 0 to 9"):
        kerasdl.explain(explained_network, digit_images, target=10)
    with pytest.raises(UserError, match="Expected examples of shape"):
        kerasdl.explain(explained_network, digit_images[0])
    with pytest.raises(UserError, match="explains the model and not its examples"):
        kerasdl.explain(explained_network, digit_images, "first_layer_filters")
    with pytest.raises(UserError, match="one answer an example"):
        Network(transformer.build_language((8,), vocabulary=20, size="mu"))
    inputs = keras.Input((4,))
    with pytest.raises(UserError, match="say what an example is"):
        Network(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
    mine = Network(keras.Model(inputs, keras.layers.Dense(2)(inputs)), "row")
    assert kerasdl.explain(mine, np.ones((2, 4)), "gradient").maps.shape == (2, 4)


def test_what_is_read_of_a_method_s_file_is_what_it_declares():
    for name in names.names():
        module = methods.find(name)
        assert names.is_attribution(name) == methods.is_attribution(module)
        assert all(not names.other_kind(name, kind) for kind in module.KINDS)
        assert module.TITLE and module.READS.endswith(".") and module.SOURCE


def test_a_map_of_colours_is_a_sum_or_a_size():
    network = Network(cnn.build((8, 8, 3), 2, size="mu"))
    values = np.zeros((1, 8, 8, 3))
    values[0, 0, 0] = [3, -4, 0]
    x = np.zeros((1, 8, 8, 3))
    assert places(network, x, values, True)[0, 0, 0] == -1 and places(network, x, values, False)[0, 0, 0] == 5
