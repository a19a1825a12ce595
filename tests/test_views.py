"""Learning from views: losses by the formulas of their papers, views that are two, collapse, what starts from it."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import load
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.objectives.views import spread
from kerasdl.recipe import load as load_recipe
from kerasdl.reports.page import report
from kerasdl.train.fit import train

SMALL = {"model_args.size": "mu", "epochs": 2, "augment": (("translate", 2),), "verbose": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("simclr_digits", workdir=tmp_path_factory.mktemp("views") / "run", **SMALL)


def objective(name="contrast", **settings):
    return objectives.of(load_recipe("simclr_digits").override(
        "model_args.size=mu", objective=name, augment=SMALL["augment"],
        objective_args={"width": 16, "dimensions": 8, **settings}))


def embedded(images=6, size=8):
    return np.random.default_rng(0).normal(size=(images, 2, size)).astype("float32")


def contrastive(z, groups, temperature):
    """By the words of the papers, one view after the other."""
    rows = (z / np.linalg.norm(z, axis=-1, keepdims=True)).reshape(-1, z.shape[-1]).astype("float64")
    group, losses = np.repeat(groups, 2), []
    for one in range(len(rows)):
        others = [other for other in range(len(rows)) if other != one]
        all_of_them = sum(np.exp(rows[one] @ rows[other] / temperature) for other in others)
        alike = [other for other in others if group[other] == group[one]]
        losses.append(-np.mean([np.log(np.exp(rows[one] @ rows[other] / temperature) / all_of_them)
                                for other in alike]))
    return np.reshape(losses, (-1, 2)).mean(1)


def test_contrast_is_the_loss_of_the_papers():
    z, y = embedded(), np.array([0, 1, 0, 2, 1, 0])
    found = objective(temperature=0.3).compute_loss(None, None, z)
    np.testing.assert_allclose(np.asarray(found), contrastive(z, np.arange(6), 0.3), rtol=1e-5)
    found = objective("supcon", temperature=0.3).compute_loss(None, y, z)
    np.testing.assert_allclose(np.asarray(found), contrastive(z, y, 0.3), rtol=1e-5)


def test_agreement_is_the_loss_of_the_papers():
    z = embedded().astype("float64")
    first, second = z[:, 0], z[:, 1]
    found = objective("agree").compute_loss(None, None, embedded())
    spreads = sum(np.maximum(0, 1 - np.sqrt(one.var(0, ddof=1) + 1e-4)).mean() for one in (first, second))
    covariances = sum((np.square(np.cov(one.T)).sum() - np.square(np.diag(np.cov(one.T))).sum()) / 8
                      for one in (first, second))
    expected = 25 * np.square(first - second).mean(1) + 25 * spreads / 2 + covariances
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4)

    matrix = np.corrcoef(first.T, second.T)[:8, 8:]
    expected = np.square(1 - np.diag(matrix)).sum() + 0.005 * np.square(matrix - np.diag(np.diag(matrix))).sum()
    found = objective("agree", method="barlow").compute_loss(None, None, embedded())
    np.testing.assert_allclose(np.asarray(found), np.full(6, expected), rtol=1e-3)


def test_the_views_of_an_image_differ_and_are_the_same_for_the_same_step():
    made, images = objective(), tf.constant(load("digits", "val").x[:16])
    made.bind(made.network(load("digits", "val")))
    x, y = made.prepare(images, None, tf.constant([0, 7], "int64"))
    again, _ = made.prepare(images, None, tf.constant([0, 7], "int64"))
    other, _ = made.prepare(images, None, tf.constant([0, 8], "int64"))
    assert x.shape == (16, 2, 8, 8, 1) and y is None
    np.testing.assert_array_equal(x, again)
    for one, two in ((x[:, 0], x[:, 1]), (x[:, 0], other[:, 0]), (x[:, 0], images)):
        assert (one.numpy() != two.numpy()).any(axis=(1, 2, 3)).mean() > 0.7


def test_scores_count_every_image_once_and_are_the_same_in_another_evaluation(run):
    """The test split has a batch that is not full: padding must be no negative."""
    assert evaluate(run, "test") == pytest.approx(run.result["test"], rel=1e-5)
    assert set(run.result["test"]) == {"loss", "alignment", "uniformity", "rank"}
    assert run.result["test"]["loss"] < np.log(2 * 128 - 1)  # that of chance


def test_a_split_that_is_sorted_by_class_is_scored_in_batches_of_all_classes():
    """Else a network that tells the classes apart is no better than one that tells nothing."""
    learns = objective("supcon", temperature=0.1)
    y = np.repeat(np.arange(8), learns.recipe.batch // 4)
    z = np.eye(8, dtype="float32")[y][:, None].repeat(2, 1)
    apart, collapsed = (learns.overall("loss", y, views) for views in (z, np.ones_like(z)))
    assert apart < collapsed - 1


def test_features_that_do_not_vary_have_no_map():
    """scikit-learn's t-SNE ends the process there."""
    from kerasdl.objectives.features import sections

    split = load("digits", "test")
    same = SimpleNamespace(predict=lambda images, verbose: np.ones((len(images), 4)))
    found = sections(same, SimpleNamespace(splits=lambda name: split, data="digits"), False)
    assert [section.id for section in found] == ["neighbours"]


def test_a_map_of_images_with_several_labels_has_one_colour():
    from kerasdl.objectives.features import tsne

    labels = np.random.default_rng(0).integers(0, 2, (20, 3))
    assert "colour" not in tsne(np.random.default_rng(0).normal(size=(20, 4)), labels, ("a", "b", "c"), False).body


def test_spread_knows_one_point_a_line_and_all_directions():
    same, line = np.ones((50, 2, 8)), np.ones((50, 2, 8)) * np.linspace(-1, 1, 50)[:, None, None]
    assert spread.rank(same) == pytest.approx(1, abs=1e-3) and spread.rank(line) == pytest.approx(1, abs=1e-3)
    assert spread.uniformity(same) == pytest.approx(0) and spread.alignment(same) == 0
    every = np.repeat(np.concatenate([np.eye(8), -np.eye(8)])[:, None], 2, axis=1)
    assert spread.rank(every) == pytest.approx(8, abs=1e-3)
    distances = np.square(every[:, None, 0] - every[None, :, 0]).sum(-1)[~np.eye(16, dtype=bool)]
    assert spread.uniformity(every) == pytest.approx(np.log(np.exp(-2 * distances).mean()))


def test_a_collapse_is_named(tmp_path, capsys):
    """Without the terms that keep embeddings apart, all images get the same one."""
    settings = {"width": 16, "dimensions": 8, "depth": 1, "variance": 0.0, "covariance": 0.0}
    train("simclr_digits", workdir=tmp_path / "run", objective="agree", objective_args=settings, epochs=6, lr=0.05,
          warmup=0, test=False, **{key: SMALL[key] for key in ("model_args.size", "augment")})
    lines = [line for line in capsys.readouterr().err.splitlines() if "have collapsed" in line]
    assert len(lines) == 1 and "weight" in lines[0]


def test_a_classifier_starts_from_the_body(run, tmp_path):
    tuned = train("cnn_digits", workdir=tmp_path / "tuned", init=str(run.path), test=False, **{**SMALL, "epochs": 1})
    taken = json.loads((tuned.path / "init.json").read_text())
    assert taken["new"] == ["logits"] and len(taken["taken"]) > 2


def test_the_report_shows_neighbours_and_a_map(run):
    page = report(run).read_text()
    assert 'id="neighbours"' in page and 'id="map"' in page and "t-SNE of the features of" in page


@pytest.mark.soak
@pytest.mark.parametrize("name", ["contrast", "supcon", "agree"])
def test_resumed_is_unbroken(name, tmp_path):
    changes = {**SMALL, "objective": name, "test": False}
    whole = train("simclr_digits", workdir=tmp_path / "whole", **changes)
    train("simclr_digits", workdir=tmp_path / "run", stop_after=1, **changes)
    again = train("simclr_digits", workdir=tmp_path / "run", **changes)
    for one, other in zip(whole.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.result["val"] == whole.result["val"]


@pytest.mark.parametrize("changes, message", [
    ({"augment": ()}, "without augment they are the same"), ({"augment": ("alternating_flip",)}, "Write flip"),
    ({"accumulate": 2}, "accumulate=2 shows them in parts"), ({"augment": (("mixup", 0.2),)}, "mixup blends labels"),
    ({"objective_args": {"temprature": 0.1}}, "Did you mean 'temperature'"), ({"tta": "flip"}, "tta is for images"),
    ({"model": "rnn", "model_args": {}}, "rnn")])
def test_mistakes_are_one_line(changes, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        train(load_recipe("simclr_digits").model_copy(update=changes), workdir=tmp_path / "run", verbose=False)
    assert "\n" not in str(error.value)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["contrast", "supcon", "agree"])
def test_jax_learns_the_same(name, tmp_path):
    """From other first weights, as each backend draws its own: the loss of the last epoch is nearly the same."""
    found = {}
    for backend in ("tensorflow", "jax"):
        subprocess.run([sys.executable, "-m", "kerasdl", "train", "simclr_digits", f"objective={name}", "epochs=8",
                        "--backend", backend, "--workdir", str(tmp_path / backend), "--no-report"], check=True)
        found[backend] = json.loads((tmp_path / backend / "result.json").read_text())["test"]
    assert found["jax"]["loss"] == pytest.approx(found["tensorflow"]["loss"], rel=0.05)
