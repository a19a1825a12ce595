"""Logistic regression on frozen features is scikit-learn's, folded into one layer."""

import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kerasdl.evaluation import linear_probe

RNG = np.random.default_rng(0)


def clouds(count, classes, width=12, apart=1.5):
    """Return features (N, width) around a centre for each class, on scales from 0.01 to 100, and their classes."""
    y = np.arange(count) % classes
    centres = np.random.default_rng(7).normal(size=(classes, width)) * apart
    return ((centres[y] + RNG.normal(size=(count, width))) * np.logspace(-2, 2, width)).astype("float32"), y


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("balanced", [False, True])
def test_a_probe_answers_as_scikit_learn(classes, balanced):
    (x, y), (x_val, y_val), (other, _) = (clouds(n, classes) for n in (240, 80, 30))
    if balanced:
        x, y = x[(y == 0) | (np.arange(len(y)) < 80)], y[(y == 0) | (np.arange(len(y)) < 80)]
    probe = linear_probe.fit(x, y, x_val, y_val, classes, class_weight="balanced" if balanced else None)
    reference = make_pipeline(StandardScaler(), LogisticRegression(
        C=probe.strength, max_iter=5000, tol=1e-6, class_weight="balanced" if balanced else None)).fit(x, y)
    logits = probe.logits(other)
    found = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(found / found.sum(1, keepdims=True), reference.predict_proba(other), atol=5e-3)


def test_validation_chooses_the_strength():
    (x, y), (x_val, y_val) = clouds(60, 3, width=60, apart=0.4), clouds(300, 3, width=60, apart=0.4)
    probe = linear_probe.fit(x, y, x_val, y_val, 3)
    assert probe.losses[probe.strength] == min(probe.losses.values())
    assert probe.strength < max(probe.losses)  # noise: the weakest regularisation that was tried is not the best
    weak = linear_probe.fit(x, y, x_val, y_val, 3, strengths=[10.0])
    assert probe.losses[probe.strength] < weak.losses[10.0]


def test_no_other_strength_is_begun_when_the_time_is_over():
    (x, y), (x_val, y_val) = clouds(60, 3), clouds(60, 3)
    assert list(linear_probe.fit(x, y, x_val, y_val, 3, until=0.0).losses) == [linear_probe.STRENGTHS[3]]
    assert len(linear_probe.fit(x, y, x_val, y_val, 3, until=time.monotonic() + 600).losses) > 1


def test_a_class_that_training_lacks_is_never_predicted_and_a_constant_feature_counts_for_nothing():
    x, y = clouds(90, 3)
    x[:, 3] = 5.0
    probe = linear_probe.fit(x, y + (y == 2), x, y + (y == 2), 5)  # classes 0, 1 and 3 of five
    other = clouds(50, 3)[0]
    assert set(probe.logits(other).argmax(1)) <= {0, 1, 3}
    changed = other.copy()
    other[:, 3], changed[:, 3] = 5.0, 500.0
    np.testing.assert_allclose(probe.logits(changed), probe.logits(other), atol=1e-3)
