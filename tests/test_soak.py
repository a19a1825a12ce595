"""The digits recipes that have a floor, as shipped: the mean of five seeds must not fall below it. Only with --soak."""

import statistics

import pytest

from kerasdl.train.fit import train


@pytest.mark.soak
@pytest.mark.parametrize("recipe, floor", [
    ("linear_digits", 0.95), ("mlp_digits", 0.975), ("cnn_digits", 0.99), ("vit_digits", 0.98)])
def test_mean_accuracy_of_five_seeds(recipe, floor, here):
    scores = [train(recipe, seed=seed, verbose=False).result["test"]["accuracy"] for seed in range(5)]
    assert statistics.mean(scores) >= floor, scores
