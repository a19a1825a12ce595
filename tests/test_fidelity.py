"""The distances between generated and real images, against closed forms, brute force and what they are for."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.linalg import sqrtm

from kerasdl.data import from_arrays
from kerasdl.objectives.gan.metrics import density_coverage, frechet, kid
from kerasdl.objectives.gan.scores import DRAWS, GeneratorScores


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def moments(rows):
    return rows.mean(0), np.cov(rows, rowvar=False)


def test_frechet_is_the_formula_of_the_paper(rng):
    a, b = rng.normal(1, 2, (200, 6)) @ rng.normal(0, 1, (6, 6)), rng.normal(0, 1, (150, 6))
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9) == pytest.approx(frechet(b, a), rel=1e-9)


def test_frechet_in_one_dimension_is_the_gap_of_means_and_of_deviations(rng):
    a, b = rng.normal(3, 2, (500, 1)), rng.normal(-1, 0.5, (400, 1))
    gap = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet(a, b) == pytest.approx(gap, rel=1e-9)


def test_frechet_does_not_see_order_rotation_or_place_and_scales_with_the_square(rng):
    a, b = rng.normal(0, 1, (300, 5)), rng.normal(1, 2, (300, 5))
    turn, shift = np.linalg.qr(rng.normal(0, 1, (5, 5)))[0], rng.normal(0, 9, 5)
    value = frechet(a, b)
    assert frechet(a @ turn + shift, b[::-1] @ turn + shift) == pytest.approx(value, rel=1e-6)
    assert frechet(3 * a, 3 * b) == pytest.approx(9 * value, rel=1e-9)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_with_fewer_rows_than_features_and_dead_features(rng):
    """Covariances without an inverse, which a plain matrix root answers with noise or complex numbers."""
    a, b = rng.normal(0, 1, (20, 50)), rng.normal(0, 1, (20, 50))
    a[:, :10] = b[:, :10] = 0
    assert 0 < frechet(a, b) < 1000 and frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert np.isnan(frechet(np.full_like(a, np.nan), b))


def test_kid_is_the_mean_over_all_pairs(rng, monkeypatch):
    a, b = rng.normal(0, 1, (7, 3)), rng.normal(1, 1, (5, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    own = [np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)]
    expected = sum(own) - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert kid(a, b) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr("kerasdl.objectives.gan.metrics.ROWS", 2)
    assert kid(a, b) == pytest.approx(expected, rel=1e-12)


def test_kid_has_no_bias_where_frechet_has(rng):
    """Twenty pairs of small samples of one distribution: around 0 for KID, far above for the Fréchet distance."""
    pairs = [rng.normal(0, 1, (2, 40, 16)) for _ in range(20)]
    values = [kid(a, b) for a, b in pairs]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20 ** 0.5
    assert np.mean([frechet(a, b) for a, b in pairs]) > 3


def test_density_and_coverage_are_the_definition(rng, monkeypatch):
    real, fake, k = rng.normal(0, 1, (30, 4)), rng.normal(0.5, 1, (23, 4)), 3
    own = np.linalg.norm(real[:, None] - real[None], axis=-1)
    inside = np.linalg.norm(fake[:, None] - real[None], axis=-1) <= np.sort(own, axis=1)[:, k]
    monkeypatch.setattr("kerasdl.objectives.gan.metrics.ROWS", 10)
    density, coverage = density_coverage(real, fake, k)
    assert density == pytest.approx(inside.sum() / (k * 23)) and coverage == inside.any(0).mean()


def test_coverage_sees_a_collapse_that_density_praises(rng):
    centres = 20 * np.eye(10)
    real = centres[np.arange(500) % 10] + rng.normal(0, 1, (500, 10))
    good, collapsed = real + rng.normal(0, 0.1, real.shape), centres[0] + rng.normal(0, 0.5, (500, 10))
    far = rng.normal(50, 1, (500, 10))
    assert density_coverage(real, good)[1] > 0.95
    assert density_coverage(real, collapsed)[0] > 1 and density_coverage(real, collapsed)[1] <= 0.1
    assert density_coverage(real, far) == (0, 0)


@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((5,), (5, 3)), ((1, 3), (5, 3))])
@pytest.mark.parametrize("distance", [frechet, kid, density_coverage])
def test_what_is_not_two_sets_of_rows_is_told(distance, shapes):
    with pytest.raises(ValueError, match="rows of one width"):
        distance(*(np.zeros(shape) for shape in shapes))


def test_more_neighbours_than_rows_are_told():
    with pytest.raises(ValueError, match="more than k=5"):
        density_coverage(np.zeros((5, 2)), np.zeros((9, 2)))


def test_the_score_of_a_generator_is_the_mean_of_several_draws_and_on_val_of_one():
    """By a referee that sees the pixels. Every draw is another, and the same again the next time."""
    def made(generator, n, labels, seed):
        drawn.append(np.random.default_rng(seed).integers(0, 256, (n, 2, 2, 1), "uint8"))
        return drawn[-1]

    def features(images):
        return images.reshape(len(images), -1) / 255

    splits = from_arrays(np.random.default_rng(0).integers(0, 256, (200, 2, 2, 1), "uint8"), np.arange(200) % 2)
    noise = keras.Input((3,))
    referee = SimpleNamespace(name="pixels", features=features, classifies=False)
    judge = GeneratorScores(keras.Model(noise, keras.layers.Dense(4)(noise)), made, referee)
    for name, count in (("test", DRAWS), ("val", 1)):
        drawn = []
        scores = judge(splits[name])
        assert len({images.tobytes() for images in drawn}) == len(drawn) == count
        each = [frechet(features(splits[name].x), features(images)) for images in drawn]
        assert scores["frechet_pixels"] == pytest.approx(np.mean(each)) and len(set(each)) == count
        assert judge(splits[name]) == scores
