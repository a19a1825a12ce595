"""Attacks stay within their budgets, find what is there to be found, and say when a model hides its gradient."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from kerasdl.attacks import ball, masking, suite
from kerasdl.attacks.apgd import apgd_ce, apgd_t, checkpoints
from kerasdl.attacks.network import Attacked
from kerasdl.attacks.pgd import fgsm, pgd, pushed
from kerasdl.attacks.square import share_at, square
from kerasdl.audit.parts import attacks as attacks_part
from kerasdl.audit.parts import corruptions as corruptions_part
from kerasdl.errors import UserError

SIDE, CLASSES = 6, 4
TINY = suite.Effort(steps=8, short=3, starts=2, apgd=8, queries=60)


@pytest.fixture(scope="module")
def images():
    """Images of noise whose brightest quarter is their class, and others of the same kind."""
    random = np.random.default_rng(0)
    x, y = random.integers(60, 150, (80, SIDE, SIDE, 1)), np.arange(80) % CLASSES
    half = SIDE // 2
    for image, label in zip(x, y, strict=True):
        image[label // 2 * half:][:half, label % 2 * half:][:, :half] += 60
    return x.astype("uint8"), y


def network(times: float = 1.0, quantised: bool = False) -> keras.Model:
    """The mean of each quarter, as logits; perhaps of pixels that were rounded first, perhaps times a number."""
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    if quantised:
        x = keras.ops.round(x * 16) / 16
    x = layers.Flatten()(layers.AveragePooling2D(SIDE // 2)(x))
    return keras.Model(inputs, x * (20 * times))


@pytest.fixture(scope="module")
def plain(images):
    attacked = Attacked(network(), batch=40)
    assert attacked.right(*images).all()
    return attacked


@pytest.mark.parametrize("attack, options", [
    (fgsm, {}), (pgd, {"steps": 5}), (apgd_ce, {"steps": 6}), (apgd_t, {"steps": 6}), (square, {"queries": 40})])
@pytest.mark.parametrize("eps", [40.6, 3.0])
def test_a_budget_is_not_exceeded_by_a_byte(plain, images, attack, options, eps):
    x, y = images
    found = attack(plain, x, y, eps, **options)
    moved = np.abs(found.astype(int) - x)
    assert found.dtype == np.uint8 and moved.max() <= int(eps)
    if eps > 40:
        left = plain.right(found, y).sum()  # a mean of 60 more in one quarter can fall to 20 less
        assert left < len(y) if attack is square else not left
        assert moved.max() > eps - 10


def test_rounding_never_exceeds_a_budget():
    x = np.array([0, 1, 100, 254, 255], "uint8").reshape(1, 5, 1, 1)
    for eps in (1, 1.5, 8, 76.5):
        for sign in (-1, 1):
            found = ball.delivered(x.astype("float32") + sign * np.float32(eps), x, eps)
            assert np.abs(found.astype(int) - x).max() <= eps and found.dtype == np.uint8


def test_the_strongest_step_of_a_linear_model_is_that_along_its_weights(images):
    x, y = images
    found = fgsm(network(), x, y, 8).astype(int) - x
    half = SIDE // 2
    for moved, label in zip(found, y, strict=True):
        own = moved[label // 2 * half:][:half, label % 2 * half:][:, :half]
        assert (own == -8).all() and (moved == 8).sum() == 3 * half * half


def test_restarts_and_seeds(plain, images):
    x, y = images
    eps = 29.0  # some can be fooled
    one, again, other = (pgd(plain, x, y, eps, steps=4, seed=seed) for seed in (0, 0, 1))
    assert (one == again).all() and (one != other).any()
    left = [plain.right(pgd(plain, x, y, eps, steps=4, restarts=count), y).sum() for count in (1, 3)]
    assert left[1] <= left[0]
    some = pgd(plain, x[:50], y[:50], eps, steps=4)
    assert (some == one[:50]).all()  # an image's attack does not depend on those after it


def test_an_image_for_another_model_is_moved_even_where_this_one_is_wrong(plain, images):
    x, y = images
    wrong = (y[:30] + 1) % 4  # few are answered so
    found = pushed(plain, x[:30], wrong, 8.0, steps=4)
    moved = np.abs(found.astype("float32") - x[:30].astype("float32"))
    assert moved.max() <= 8 and (moved.reshape(30, -1).max(1) > 0).all()


def test_the_schedules_are_those_of_the_papers():
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert [round(0.8 / share_at(query, 10_000)) for query in (0, 11, 51, 201, 8001)] == [1, 2, 4, 8, 256]


@pytest.fixture(scope="module")
def attacked(images):
    """What the whole suite finds on a plain network."""
    x, y = images
    return suite.attack(Attacked(network(), batch=40), x[:40], y[:40], 25.0, x[40:], effort=TINY)


def test_a_plain_network_hides_nothing(attacked):
    found = attacked
    assert not masking.masked(found.checks), [check for check in found.checks if not check.holds]
    assert found.moved <= 25 and found.worst.sum() <= min(mask.sum() for name, mask in found.right.items()
                                                          if name in ("pgd", "apgd_ce", "apgd_t", "square"))


def test_an_audit_flags_a_network_that_rounds(images, monkeypatch):
    """Rounding has no gradient: random search, or the images for another network, fool it where no gradient leads."""
    x, y = images
    taken = SimpleNamespace(take=lambda index: (x[index], y[index]), streamed=False)
    subject = SimpleNamespace(
        target="class", kind="image", seed=0, quick=True, model=network(quantised=True), split=lambda name: taken,
        run=SimpleNamespace(data={"shape": [SIDE, SIDE, 1]}), objective=SimpleNamespace(attack_budget=25.0),
        recipe=SimpleNamespace(augment=(("translate", 1),)),
        answers=lambda name: (None, y), size=lambda full, quick: 24, examples=lambda count, name="test": np.arange(24))
    monkeypatch.setattr(suite, "QUICK", TINY)
    found = json.loads(json.dumps(attacks_part.measure(subject), allow_nan=False))
    failed = {check["name"] for check in found["checks"] if not check["holds"]}
    assert not attacks_part.applies(subject) and found["masked"]
    assert "has_gradient" in failed and failed & {"square_loses", "transfer_loses"}
    assert found["moved"] <= 25 and found["eps"] == 25 and found["whole_bytes"]
    budgets = [row["accuracy"] for row in found["budgets"]]
    assert budgets == sorted(budgets, reverse=True)
    answer, trust, *_ = attacks_part.lines(found)
    assert "25 of 255 grey levels in whole bytes: that of its training" in answer
    assert trust.startswith("It hides its gradient") and "<svg" in attacks_part.sections(found)[0].body
    found = json.loads(json.dumps(corruptions_part.measure(subject), allow_nan=False))
    assert found["clean"] == 1 and found["mean"] < 1 and len(found["kinds"]) == 25
    assert "shows it translate" in corruptions_part.lines(found)[2]
    assert "severity" in corruptions_part.sections(found)[0].body


def test_a_network_of_large_logits_is_flagged_and_fooled_by_what_no_scale_changes(images):
    (x, y), large = images, Attacked(network(1000.0), batch=40)
    x, y = x[:40], y[:40]
    right = {"clean": large.right(x, y), "pgd": large.right(pgd(large, x, y, 40.0, steps=5), y),
             "apgd_t": large.right(apgd_t(large, x, y, 40.0, steps=5), y)}
    assert right["pgd"].mean() > 0.9 and not right["apgd_t"].any()
    everything = dict.fromkeys((*masking.GRADIENT, "pgd_short", "pgd_one", "square", "transfer", "whole_range"),
                               right["apgd_t"])
    found = masking.checks(everything, masking.flat(large, x, y).mean())
    assert [check.name for check in found if not check.holds] == ["has_gradient"] and masking.masked(found)


@pytest.mark.soak
def test_the_whole_suite_flags_a_network_of_large_logits_and_fools_it(images):
    x, y = images
    found = suite.attack(Attacked(network(1000.0), batch=40), x[:40], y[:40], 40.0, x[40:], effort=TINY)
    assert masking.masked(found.checks) and not found.worst.any()


def test_a_softmax_is_no_network_of_logits(images):
    inputs = keras.Input((SIDE, SIDE, 1))
    with pytest.raises(UserError, match="ends in a softmax"):
        fgsm(keras.Model(inputs, layers.Dense(CLASSES, "softmax")(layers.Flatten()(inputs))), *images, 8)
    with pytest.raises(UserError, match="ends in a softmax"):
        Attacked(keras.Model(inputs, layers.Softmax()(layers.Flatten()(inputs))))


def test_checks_of_numbers():
    right = dict.fromkeys((*masking.GRADIENT, "pgd_short", "pgd_one"), np.arange(100) < 30)
    right |= {"square": np.arange(100) < 40, "transfer": np.arange(100) < 60, "whole_range": np.arange(100) < 1}
    assert not masking.masked(masking.checks(right, 0.0))
    for name, share, sign in (("fgsm", 10, "steps_beat_one"), ("pgd_short", 20, "more_is_stronger"),
                              ("whole_range", 5, "no_budget_no_right"), ("square", 20, "square_loses"),
                              ("transfer", 20, "transfer_loses")):
        found = masking.checks(right | {name: np.arange(100) < share}, 0.0)
        assert sign in [check.name for check in found if not check.holds], name
    warned = masking.checks(right | {"apgd_t": np.arange(100) < 10, "square": np.arange(100) < 15}, 0.0)
    assert not masking.masked(warned) and [check.name for check in warned if not check.holds] == ["square_loses_to_pgd"]


def test_a_budget_in_the_wrong_unit_is_refused(plain, images):
    for eps, words in ((0.3, "a share of the range of 0.3 is eps=76.5"), (300, "up to 255"), (0, "above 0")):
        with pytest.raises(UserError, match=f"(?i){words}"):
            fgsm(plain, *images, eps)
