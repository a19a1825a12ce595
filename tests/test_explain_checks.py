"""The checks of explanations: they pass what finds the reason, and catch what does not depend on the model."""

from types import SimpleNamespace

import numpy as np
import pytest

import kerasdl
from kerasdl.data import from_arrays, load
from kerasdl.errors import UserError
from kerasdl.explain import controls
from kerasdl.explain.checks import check as verdict
from kerasdl.explain.checks import planted
from kerasdl.explain.checks.check import check
from kerasdl.explain.checks.faithfulness import faithfulness, ranks
from kerasdl.explain.checks.randomisation import randomisation, spearman
from kerasdl.explain.explaining import Subject
from kerasdl.explain.methods import partial_dependence
from kerasdl.explain.network import Network
from kerasdl.explain.outcome import significant
from kerasdl.recipe import Recipe
from kerasdl.train.setup import seeded
from kerasdl.zoo import linear, mlp

IMAGES = (8, 8, 1)


def test_guided_backpropagation_is_caught_and_the_gradient_is_not(explained_network, digit_images):
    before = explained_network.model.get_weights()
    target = explained_network.logits(digit_images).argmax(1)

    control = controls.GuidedBackprop(explained_network)

    def guided():
        return control(digit_images, target).sum(-1)

    def gradient():
        return explained_network.gradients(digit_images, target)[1].sum(-1)

    caught, passed = (randomisation(explained_network, digit_images, maps) for maps in (guided, gradient))
    assert not caught["passed"] and caught["mean"] > 0.5
    assert passed["passed"] and passed["mean"] < 0.2
    assert [row["layer"] for row in caught["layers"]][0] == "logits"
    for one, two in zip(before, explained_network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_maps_that_only_the_first_layer_changes_are_caught(explained_network, digit_images):
    def maps():
        kernel = np.asarray(explained_network.model.layers[-1].kernel if last else first.kernel)
        return np.random.default_rng(int(1e6 * np.abs(kernel).reshape(-1)[0])).random(digit_images.shape[:3])

    first = next(layer for layer in explained_network.model.layers if hasattr(layer, "kernel"))
    last = False
    caught = randomisation(explained_network, digit_images, maps)
    assert abs(caught["final"]) < 0.2 and not caught["passed"]
    last = True
    assert randomisation(explained_network, digit_images, maps)["passed"]


def test_maps_without_a_difference_are_no_other_maps(explained_network, digit_images):
    def maps():
        gradient = explained_network.gradients(digit_images, np.zeros(len(digit_images), int))[1].sum(-1)
        gradient[1:] = 0
        return gradient

    found = randomisation(explained_network, digit_images, maps)
    alone = randomisation(explained_network, digit_images[:1], lambda: maps()[:1])
    assert found["compared"] == 1 and found["final"] == alone["final"] != 0
    none = randomisation(explained_network, digit_images, lambda: np.zeros(digit_images.shape[:3]))
    assert (none["compared"], none["layers"], none["passed"]) == (0, [], None)


def test_a_method_without_maps_is_not_trusted(explained_network, digit_images, monkeypatch):
    monkeypatch.setattr(verdict, "with_signs", lambda network, x, found: 0 * found.maps)
    found = check(explained_network, digit_images[:4], "gradient", probability=None)
    assert not found["trusted"] and found["why"] == [verdict.EMPTY]


def test_spearman_is_scipy_s_and_0_without_one():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    one, two = random.integers(0, 5, 40), random.normal(size=40)
    assert spearman(one, two) == pytest.approx(spearmanr(one, two).statistic)
    assert spearman(one, np.zeros(40)) == 0


def test_only_maps_that_find_what_the_answer_needs_beat_the_controls(explained_network, digit_images):
    target = explained_network.logits(digit_images).argmax(1)
    found = kerasdl.explain(explained_network, digit_images, "integrated_gradients")
    others = {name: maps(explained_network, digit_images, 0) for name, maps in controls.CONTROLS["image"].items()}
    good = faithfulness(explained_network, digit_images, target, {"own": found.maps, **others}, "own")
    bad = faithfulness(explained_network, digit_images, target, {"own": -found.maps, **others}, "own")
    drawn = controls.random(explained_network, digit_images, 7)
    chance = faithfulness(explained_network, digit_images, target, {"own": drawn, **others}, "own")
    assert good["ahead"]["random"]["beaten"] and not bad["passed"] and not chance["passed"]
    assert good["areas"]["own"]["insertion"][0] > good["areas"]["random"]["insertion"][0]
    assert good["curves"]["own"]["deletion"][0] == pytest.approx(good["curves"]["own"]["insertion"][-1])
    assert all(0 <= value <= 1 for ways in good["curves"].values() for curve in ways.values() for value in curve)


def test_equal_places_are_in_random_order_and_padding_is_never_moved():
    present = np.ones((2, 6), bool)
    present[1, 4:] = False
    found = ranks(np.zeros((2, 6)), present, 0)
    assert sorted(found[0]) == pytest.approx(np.arange(6) / 6) and not np.array_equal(found[0], np.arange(6) / 6)
    assert (found[1, 4:] == 2).all() and sorted(found[1, :4]) == [0, 0.25, 0.5, 0.75]
    order = ranks(np.array([[1.0, 5, 3]]), np.ones((1, 3), bool), 0)
    np.testing.assert_allclose(order, [[2 / 3, 0, 1 / 3]])


@pytest.mark.parametrize("kind", ["image", "sequence", "tokens", "row"])
def test_a_planted_patch_alone_differs(kind):
    random = np.random.default_rng(0)
    x = {"image": random.integers(0, 255, (30, 28, 28, 1)), "sequence": random.normal(size=(30, 40, 2)),
         "tokens": random.integers(1, 99, (30, 12)), "row": random.normal(size=(30, 4))}[kind]
    y = np.arange(30) % 3
    made, patch = planted.plant(x, y, kind)
    assert (made[~patch] == x[~patch]).all()
    inside = made[patch].reshape(30, -1)
    for label in range(3):
        assert np.allclose(inside[y == label], inside[y == label][0])
    assert not np.allclose(inside[0], inside[1]) and not np.allclose(inside[0], inside[2])
    if kind == "image":
        assert inside[0].sum() == inside[1].sum() > 0 and patch[0].sum() == 64


def test_mass_is_the_share_in_the_patch():
    found = SimpleNamespace(patch=np.zeros((3, 4, 4), bool), accuracy=1.0, x=np.zeros((3, 4, 4, 1)),
                            network=Network(linear.build((4, 4, 1), 2)))
    found.patch[:, :2, :2] = True
    maps = np.zeros((3, 4, 4))
    maps[0, 0, 0], maps[0, 3, 3], maps[1, 1, 1] = 3, -1, 2
    row = planted.mass(maps, found)
    assert row["mass"] == pytest.approx((0.75 + 1) / 2) and row["area"] == 0.25 and row["passed"]
    assert row["zero"] == pytest.approx(1 / 3)
    assert planted.mass(maps, found, (2, 2))["area"] == 1 and not planted.mass(np.zeros((3, 4, 4)), found)["passed"]
    found.patch[:, :, :3] = True  # three quarters, which a map that knows nothing finds as well
    row = planted.mass(np.ones((3, 4, 4)), found)
    assert row["mass"] == row["area"] == 0.75 and not row["passed"]


def test_a_planted_patch_is_found_in_a_network_that_sees_nothing_else(digit_images):
    with seeded(0):
        network = mlp.build(IMAGES, 3, size="mu")
    found, why = planted.planted(network, load("digits", "train").x, "image", steps=150)
    assert why == ""
    assert found.accuracy > 0.9 and set(found.y) == {0, 1}
    own = kerasdl.explain(found.network, found.x, "integrated_gradients", target=found.y)
    assert planted.mass(own.maps, found)["mass"] > 0.6
    elsewhere = kerasdl.explain(found.network, found.x[:, ::-1, ::-1], "integrated_gradients", target=found.y)
    assert planted.mass(elsewhere.maps, found)["mass"] < 0.5  # where the patch is not


def test_there_is_no_planted_patch_where_it_takes_too_long_or_no_network_can_be_built():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    found, why = planted.planted(linear.build(4, 3), x, "row", steps=10, longest=0.0)
    assert found is None and "--planted" in why
    subject = SimpleNamespace(recipe=Recipe(model="ensemble", data="digits"), training=None,
                              run=SimpleNamespace(path=None))
    assert "ensemble cannot be built anew" in Subject.planted(subject, 0)[1]


@pytest.mark.parametrize("count, seed", [(2, 0), (8, 11)])
def test_there_is_no_planted_patch_with_too_few_examples_to_measure_it(count, seed):
    x = np.random.default_rng(0).normal(size=(count, 4)).astype("float32")
    found, why = planted.planted(linear.build(4, 3), x, "row", seed, steps=1)
    assert found is None and f"The {count} examples of train are too few" in why


def test_a_planted_patch_that_cannot_be_learned_is_a_remark(monkeypatch):
    def failing(*args):
        raise ValueError("Shapes differ\nmore")

    monkeypatch.setattr(planted, "planted", failing)
    split = from_arrays(np.zeros((30, 4), "float32"), np.arange(30) % 3)["train"]
    subject = SimpleNamespace(recipe=Recipe(model="linear", data="arrays"), training=split, kind="row",
                              run=SimpleNamespace(path=None))
    found, why = Subject.planted(subject, 0)
    assert found is None and why == "A model of linear could not learn a planted patch: Shapes differ"


def test_the_check_of_a_method_gives_a_verdict(explained_network, digit_images):
    found = check(explained_network, digit_images[:8], "integrated_gradients", steps=16)
    assert found["completeness"]["error"] < 0.05
    assert found["trusted"] == (not found["why"]) and "planted" not in found
    other = check(explained_network, digit_images[:4], "grad_cam", probability=None)
    assert "faithfulness" not in other and "completeness" not in other


def test_a_flag_that_is_rarely_set_has_both_its_values():
    np.testing.assert_array_equal(partial_dependence.points_of(np.array([0.0] * 99 + [1])), [0, 1])
    assert partial_dependence.points_of(np.linspace(0, 1, 101)).min() == 0.05


def test_small_numbers_keep_their_digits():
    assert significant(np.array([[4.2e-7, -1.0625e-9]], "float32")) == [[4.2e-7, -1.0625e-9]]
    assert significant(np.array([1_700_000_000.25])) == [1_700_000_000.25] and significant(np.zeros((0, 2))) == []


def test_of_several_numbers_one_is_explained_and_not_the_largest():
    numbers = SimpleNamespace(classes=[], numbers=[], network=SimpleNamespace(classes=2))
    assert [Subject.index(numbers, name) for name in (None, "output 2")] == [0, 1]
    with pytest.raises(UserError, match="one of: output 1, output 2"):
        Subject.index(numbers, "output 3")
    named = SimpleNamespace(classes=[], numbers=["price", "rating"], network=SimpleNamespace(classes=2))
    assert [Subject.index(named, name) for name in (None, "rating", "output 2")] == [0, 1, 1]
    with pytest.raises(UserError, match="one of: price, rating"):
        Subject.index(named, "output 3")
    assert Subject.index(SimpleNamespace(classes=["a", "b"]), None) is None
