"""Images brought back: what is hidden, the loss, controls, resume, the classifier that starts from it, and paint."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_cli import documented

from kerasdl import objectives, zoo
from kerasdl.compression.channels import slimmed
from kerasdl.compression.quantize_aware import quantize_aware
from kerasdl.data import from_arrays, load
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.paint import paint, scores
from kerasdl.objectives import features, fills
from kerasdl.objectives.corruptions import CORRUPTIONS, GREY, LUMA
from kerasdl.objectives.decoders import resolutions
from kerasdl.objectives.painting import starts
from kerasdl.objectives.sections import Findings
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.reports.page import report
from kerasdl.train import pretrained
from kerasdl.train.fit import train
from kerasdl.train.setup import Setup

SMALL = {"model_args": {"size": "mu"}, "objective_args.width": 8, "batch": 256, "epochs": 2, "verbose": False}
ARRAYS = Recipe(model="cnn", model_args={"size": "mu"}, objective="reconstruct", data="arrays", batch=16, epochs=1)
RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (40, 12, 10, 3)).astype("uint8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("inpaint_digits", workdir=tmp_path_factory.mktemp("inpaint") / "run", **SMALL)


@pytest.fixture(scope="module")
def colour_run(tmp_path_factory):
    return train(ARRAYS.override(objective_args={"corruption": "grey", "decoder": "light"}), verbose=False, test=False,
                 data=from_arrays(COLOURS), workdir=tmp_path_factory.mktemp("colour") / "run")


def made(corruption: str, **settings):
    return objectives.of(ARRAYS.override(objective_args={"corruption": corruption, **settings}))


def prepared(objective, images, seed=1):
    """What the network sees, and the three parts of the target, as numbers that can be subtracted."""
    seen, y = objective.prepare(tf.constant(images), None, tf.constant([seed, 5], tf.int64))
    assert seen.dtype == y.dtype == images.dtype
    return seen.numpy().astype("int"), *np.split(y.numpy().astype("int"), [images.shape[3], 2 * images.shape[3]], -1)


@pytest.mark.parametrize("corruption, settings, count", [
    ("block", {"share": 0.25}, 6 * 5), ("block", {"share": 0.3, "holes": 3}, 3 * 4 * 3), ("freeform", {}, 30),
    ("freeform", {"share": 0.1}, 12), ("freeform", {"share": 0.9}, 108)])
def test_holes_have_exactly_so_many_pixels_and_targets_are_uncorrupted(corruption, settings, count):
    objective = made(corruption, **settings)
    images = COLOURS.repeat(10, axis=0)
    seen, truth, also_seen, hidden = prepared(objective, images)
    assert set(np.unique(hidden)) == {0, 1} and (hidden.sum((1, 2, 3)) == count).all()
    assert CORRUPTIONS[corruption].count(12, 10, objective.settings) == count
    np.testing.assert_array_equal(truth, images)
    np.testing.assert_array_equal(seen, np.where(hidden == 1, GREY, images))
    np.testing.assert_array_equal(also_seen, seen)
    assert len(np.unique(hidden, axis=0)) > 20 and (hidden.sum(0) > 0).all()  # anywhere in an image
    np.testing.assert_array_equal(hidden, prepared(objective, images)[3])
    assert (hidden != prepared(objective, images, seed=2)[3]).any()


def test_a_block_is_a_rectangle_and_rectangles_do_not_touch_rows():
    hidden = prepared(made("block", share=0.25), COLOURS)[3][..., 0]
    for image in hidden:
        assert sorted({image.any(0).sum(), image.any(1).sum()}) == [5, 6] and image.sum() == 30
    for image in prepared(made("block", share=0.3, holes=3), COLOURS)[3][..., 0]:
        assert image.any(1).sum() == 3 * 4 and (image.sum(1)[image.any(1)] == 3).all()


def test_grey_is_the_luma_and_noise_has_its_deviation():
    seen, truth, _, hidden = prepared(made("grey"), COLOURS)
    np.testing.assert_array_equal(seen, np.rint(COLOURS @ np.array(LUMA))[..., None].repeat(3, -1))
    np.testing.assert_array_equal(truth, COLOURS)
    assert hidden.all()
    seen, truth, _, hidden = prepared(made("noise", deviation=10.0), np.full((40, 16, 16, 1), 100, "uint8"))
    assert (truth == 100).all() and hidden.all() and seen.std() == pytest.approx(10, rel=0.03)


def test_the_loss_and_psnr_are_those_of_what_was_hidden_by_hand():
    objective = made("freeform", share=0.2)
    seen, y = objective.prepare(tf.constant(COLOURS), None, tf.constant([0, 0], tf.int64))
    answer = RANDOM.uniform(-20, 280, COLOURS.shape).astype("float32")
    hidden = y.numpy()[..., -1] == 1
    expected = [np.square((a[h] - x[h]) / 255.0).mean() for a, x, h in zip(answer, COLOURS, hidden, strict=True)]
    np.testing.assert_allclose(objective.compute_loss(seen, y, answer), expected, rtol=1e-5)
    cut = [np.square(a[h].clip(0, 255) - x[h]).mean() for a, x, h in zip(answer, COLOURS, hidden, strict=True)]
    (metric,) = objective.metrics()
    metric.update_state(y, answer)
    assert float(metric.result()) == pytest.approx(np.mean(10 * np.log10(255**2 / np.array(cut))), rel=1e-5)
    far = np.where(hidden[..., None], answer, 1e6).astype("float32")
    np.testing.assert_allclose(objective.compute_loss(seen, y, far), expected, rtol=1e-5)  # the rest is not asked
    assert objective.overall("ssim", y.numpy(), far) == objective.overall("ssim", y.numpy(), answer)


def test_colour_is_scored_by_chroma_and_the_luma_stays():
    objective = made("grey")
    network = objective.network(from_arrays(COLOURS)["train"])
    seen, y = objective.prepare(tf.constant(COLOURS), None, tf.constant([0, 0], tf.int64))
    answer = network.predict(seen, verbose=0)
    np.testing.assert_allclose(answer @ np.array(LUMA), seen.numpy()[..., 0], atol=1e-3)
    rgb = COLOURS.astype("float64")
    error = (answer - rgb) / 255
    luma = error @ np.array(LUMA)
    cb, cr = (error[..., 2] - luma) / 1.772, (error[..., 0] - luma) / 1.402
    np.testing.assert_allclose(objective.compute_loss(seen, y, answer), (cb**2 + cr**2).mean((1, 2)) / 2, rtol=1e-4)
    back = np.asarray(fills.with_chroma((rgb @ np.array(LUMA))[..., None], np.asarray(fills.chroma(rgb))))
    np.testing.assert_allclose(back, rgb, atol=1e-3)


def test_controls_by_hand():
    seen = np.array([[10, 20, 30, 40], [50, 60, 70, 80]], "float32")[None, :, :, None]
    hidden = np.array([[0, 1, 1, 0], [0, 0, 0, 0]], "float32")[None, :, :, None]
    mean = (10 + 40 + 50 + 60 + 70 + 80) / 6
    np.testing.assert_allclose(fills.mean_fill(seen, hidden)[0, 0, :, 0], [10, mean, mean, 40], rtol=1e-6)
    near = fills.nearest_fill(seen, hidden)[0, 0, :, 0]
    assert near[1] in (10, 60) and near[2] in (40, 70) and (near[[0, 3]] == (10, 40)).all()
    assert fills.scored(lambda seen, hidden: seen, seen, seen, hidden)["ssim"] == pytest.approx(1)
    assert fills.scored(fills.mean_fill, seen, seen, hidden)["psnr"] == pytest.approx(
        10 * np.log10(255**2 / np.mean(np.square(mean - np.array([20, 30])))), rel=1e-5)


@pytest.mark.parametrize("decoder", ["unet", "light"])
@pytest.mark.parametrize("model, args", [
    ("cnn", {"size": "M"}), ("resnet", {"size": "mu"}), ("vit", {"size": "mu", "patch": 4}),
    pytest.param("convnext", {"size": "Atto", "patch": 1}, marks=pytest.mark.soak),
    pytest.param("inception", {}, marks=pytest.mark.soak), pytest.param("mobilenet", {}, marks=pytest.mark.soak),
    pytest.param("cct", {}, marks=pytest.mark.soak), pytest.param("vgg", {}, marks=pytest.mark.soak),
    pytest.param("alexnet", {}, marks=pytest.mark.soak)])
def test_any_network_with_a_grid_gives_pixels_and_every_weight_learns(model, args, decoder):
    images = RANDOM.integers(0, 256, (10, 32, 32, 3)).astype("uint8")
    objective = objectives.of(ARRAYS.override(model=model, model_args=args,
                                              objective_args={"decoder": decoder, "width": 4}))
    network = objective.network(from_arrays(images)["train"])
    assert network.output_shape == (None, 32, 32, 3) and network.output.dtype == "float32"
    x, y = objective.prepare(tf.constant(images), None, tf.constant([0, 0], tf.int64))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(objective.compute_loss(x, y, network(x, training=True)))
    for weight, gradient in zip(network.trainable_weights,
                                tape.gradient(loss, [w.value for w in network.trainable_weights]), strict=True):
        assert gradient is not None and (weight.path.endswith("bias") or np.abs(gradient).max() > 0), weight.path


def test_skip_connections_come_from_the_end_of_each_resolution():
    body = zoo.body("resnet", (32, 32, 3), size="20")
    assert [tensor.path if hasattr(tensor, "path") else tensor.name for tensor in resolutions(body)] == [
        body.get_layer(f"stage{stage}_block3_relu").output.name for stage in (1, 2)]


def test_scores_controls_and_the_report(run):
    result = run.result
    assert set(result["test"]) == {"loss", "psnr", "ssim"} and result["monitor"] == "psnr"
    assert evaluate(run, "test") == pytest.approx(result["test"], rel=1e-5)
    assert set(result["controls"]) == {"mean of the visible pixels", "nearest visible pixel"}
    page = report(run).read_text()
    assert page.count('alt="reconstructions after epoch') == 2 and "nearest visible pixel" in page
    assert 'id="reconstructions"' in page and 'id="neighbours"' in page and 'id="map"' in page


@pytest.mark.soak
def test_resumed_is_unbroken(run, tmp_path):
    first = train("inpaint_digits", workdir=tmp_path / "run", stop_after=1, **SMALL)
    assert not (first.path / "result.json").exists()
    again = train("inpaint_digits", workdir=tmp_path / "run", **SMALL)
    for one, other in zip(run.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.result["test"] == run.result["test"] and again.result["controls"] == run.result["controls"]


def test_a_classifier_starts_from_the_body(run):
    recipe = load_recipe("cnn_digits").override(model_args={"size": "mu"}, init=str(run.path))
    setup = Setup.of(recipe, None, strategies.choose("one"), initial=pretrained.read(recipe))
    network, given = setup.networks()[0].network, run.model()
    body = {layer.name for layer in zoo.body("cnn", (8, 8, 1), size="mu").layers if layer.weights}
    assert set(setup.begun["taken"]) == body and setup.begun["new"] == ["logits"]
    for name in body:
        for one, other in zip(network.get_layer(name).get_weights(), given.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("images, changes, words", [
    (COLOURS[..., :1], {"corruption": "grey"}, "the images are grey"),
    (COLOURS[..., :1].repeat(3, -1), {"corruption": "grey"}, "the images are grey"),
    (COLOURS[:, :2, :2], {"corruption": "freeform", "share": 0.1}, "hides a hole of 10% of the pixels, 0 of 4"),
    (COLOURS, {"corruption": "block", "share": 0.5, "holes": 3}, "3 holes of 50%"),
    (np.repeat(COLOURS[:, :8, :8], 1, 0), {"corruption": "block", "share": 0.3, "holes": 3}, "3 holes of 30%"),
    (COLOURS[:1], {"corruption": "block"}, "the train split has one"),
    (COLOURS, {"corruption": "blok"}, "objective_args.corruption")])
def test_data_that_does_not_fit_is_refused_in_one_line(images, changes, words):
    with pytest.raises(UserError, match=words) as error:
        split = from_arrays(np.resize(images, (40, *images.shape[1:])))["train"]
        objectives.of(ARRAYS.override(objective_args=changes)).check(split.part(np.arange(1)) if len(images) == 1
                                                                      else split)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("changes, words", [({"model": "mlp"}, "whose last layer is a grid"),
                                            ({"model": "rnn"}, "a model of images from the zoo")])
def test_models_without_a_grid_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        objectives.of(ARRAYS.override(**changes)).network(from_arrays(COLOURS)["train"])


@pytest.fixture
def photograph(here):
    """A grey image of 20x32 pixels with eight digits, two holes in it, and the same image without them."""
    image = load("digits", "test").x[:8, :, :, 0].reshape(2, 4, 8, 8).swapaxes(1, 2).reshape(16, 32)
    image = np.pad(image, ((0, 4), (0, 0)), mode="edge")
    mask = np.zeros_like(image)
    mask[3:6, 0:4], mask[12:14, 20:25] = 255, 1
    save("truth.png", image)
    save("mask.png", mask)
    save("given.png", np.where(mask > 0, 255, image).astype("uint8"))
    return image, mask > 0


def save(name, pixels, **how):
    Image.fromarray(pixels).save(name, **how)


def test_paint_fills_the_hole_with_the_network_s_answer_and_leaves_the_rest(command, run, photograph):
    image, hole = photograph
    done = command("paint", run.path, "given.png", "--mask", "mask.png", "--truth", "truth.png", "--out", "filled.png",
                   "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found.keys() <= documented("paint") and found["pixels"] == hole.sum() and "2 holes" in found["how"]
    filled = np.asarray(Image.open("filled.png"))
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    seen = np.where(hole, GREY, image).astype("float32")
    for rows, columns, box in ((slice(3, 6), slice(0, 4), (slice(0, 8), slice(0, 8))),
                               (slice(12, 14), slice(20, 25), (slice(9, 17), slice(18, 26)))):
        answer = np.zeros_like(seen)
        answer[box] = run.model().predict(seen[box][None, ..., None], verbose=0)[0, ..., 0]
        np.testing.assert_array_equal(filled[rows, columns], np.rint(answer[rows, columns].clip(0, 255)))
    error = np.square(filled[hole].astype("float64") - image[hole]).mean()
    assert found["scores"]["model"]["psnr"] == pytest.approx(10 * np.log10(255**2 / error), rel=1e-5)
    assert set(found["scores"]) == {"model", "mean of the visible pixels", "nearest visible pixel"}


def test_a_transparent_mask_hides_the_same(run, photograph):
    _, hole = photograph
    save("clear.png", np.dstack([np.full((*hole.shape, 3), 200, "uint8"), np.where(hole, 0, 255).astype("uint8")]))
    one, other = (paint(run, "given.png", mask).painted for mask in ("mask.png", "clear.png"))
    np.testing.assert_array_equal(one.image, other.image)


def test_colour_keeps_the_luma_in_an_image_of_any_size(colour_run, here):
    image = RANDOM.integers(60, 200, (29, 17)).astype("uint8")
    save("grey.png", image)
    coloured = paint(colour_run, "grey.png").painted.image
    assert coloured.shape == (29, 17, 3) and np.abs(coloured @ np.array(LUMA) - image).max() < 1
    save("own.png", image[:12, :10])  # of the network's size: its own answer
    answer = colour_run.model().predict(image[None, :12, :10, None].repeat(3, -1), verbose=0)[0]
    inside = ((answer >= 0) & (answer <= 255)).all(-1)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(paint(colour_run, "own.png").painted.image[inside], np.rint(answer[inside]))


@pytest.mark.parametrize("pixels, length", [(8, 8), (9, 8), (29, 12), (5, 1), (64, 8)])
def test_tiles_cover_every_pixel(pixels, length):
    covered = np.zeros(pixels, bool)
    for start in starts(pixels, length):
        covered[start:start + length] = True
    assert covered.all() and starts(pixels, length)[-1] + length == pixels


def test_grey_images_are_those_whose_channels_are_equal(run, photograph):
    image, hole = photograph
    objective, kept, grey = objectives.of(run.recipe), run.model(), image[..., None]
    found = objective.checked(kept, grey.repeat(3, axis=2), hole)
    np.testing.assert_array_equal(found, grey)


def test_the_truth_may_be_grey_or_in_equal_channels_as_the_image_is(run, photograph):
    save("truth3.png", np.repeat(photograph[0][..., None], 3, axis=2))
    save("given3.png", np.repeat(np.asarray(Image.open("given.png"))[..., None], 3, axis=2))
    whole = paint(run, "given.png", "mask.png", "truth.png")
    assert paint(run, "given3.png", "mask.png", "truth3.png").scores == whole.scores
    repeated = replace(whole.painted, image=whole.painted.image.repeat(3, 2), seen=whole.painted.seen.repeat(3, 2))
    truth = photograph[0][..., None]
    assert scores(repeated, truth, "truth.png")["model"] == pytest.approx(whole.scores["model"], rel=1e-5)


@pytest.mark.parametrize(("model", "args"), [("convnext", {"size": "mu", "patch": 2}), ("cct", {"size": "mu"}), (
    "cnn", {"size": "mu"})])
def test_the_report_has_features_of_any_network_with_a_grid(model, args):
    images = RANDOM.integers(0, 256, (6, 32, 32, 3)).astype("uint8")
    recipe = ARRAYS.override(model=model, model_args=args, objective_args={"decoder": "light", "width": 4})
    found = features.means(objectives.of(recipe).network(from_arrays(RANDOM.integers(
        0, 256, (10, 32, 32, 3)).astype("uint8"))["train"]))(images)
    assert found.shape[0] == 6 and len(found.shape) == 2 and np.ptp(found) > 0


@pytest.mark.parametrize("smaller", [lambda network: slimmed(network, 0.4),
                                     lambda network: quantize_aware(network, "int8", COLOURS)], ids=["slim", "rounds"])
def test_the_report_has_features_of_a_network_that_was_compressed(smaller, tmp_path):
    objective, splits, scores = objectives.of(ARRAYS), from_arrays(COLOURS), {"psnr": 20.0, "ssim": 0.5}
    network = smaller(objective.network(splits["train"]))
    found = Findings(lambda: network, splits.get, {"val": scores, "test": scores}, "arrays", tmp_path)
    assert {"neighbours", "map"} <= {section.id for section in objective.sections(found)}


def test_what_cannot_be_painted_is_one_line(refused, run, colour_run, photograph):
    image, hole = photograph
    grid = ["paint", run.path, "given.png"]
    save("small.png", hole[:10])
    save("black.png", np.zeros_like(image))
    save("lossy.jpg", image)
    save("lossy.webp", image)
    save("all.png", np.full_like(image, 255))
    save("colour.png", np.dstack([image, image, 255 - image]))
    save("tiny.png", image[:5])
    refused(*grid, words=["--mask FILE"])
    refused(*grid, "--mask", "small.png", words=["10x32", "20x32"])
    refused(*grid, "--mask", "black.png", words=["has no hole"])
    refused(*grid, "--mask", "lossy.jpg", words=["JPEG"])
    refused(*grid, "--mask", "lossy.webp", words=["WEBP"])
    refused(*grid, "--mask", "all.png", words=["20x32", "more than the model can fill"])
    refused(*grid, "--mask", "none.png", words=["There is no file 'none.png'"])
    refused(*grid, "--mask", "mask.png", "--out", "x.jpg", words=["PNG"])
    refused(*grid, "--mask", "mask.png", "--truth", "small.png", words=["10x32"])
    refused(*grid, "--mask", "mask.png", "--truth", "colour.png", words=["in colour"])
    refused("paint", run.path, "colour.png", "--mask", "mask.png", words=["in colour", "grey"])
    refused("paint", run.path, "tiny.png", "--mask", "tiny.png", words=["5x32", "smaller"])
    with pytest.raises(UserError, match="its objective is classify"):
        objectives.of(load_recipe("cnn_digits")).painted(run.model(), image, hole)
    refused("paint", colour_run.path, "given.png", "--mask", "mask.png", words=["Leave out --mask"])
