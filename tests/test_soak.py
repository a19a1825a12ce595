"""The floors of digits recipes, and every recipe of digits and MNIST reproduced, as shipped. Only with --soak."""

import statistics

import pytest

from benchmarks import reproduced
from kerasdl.published import reproduce
from kerasdl.train.fit import train


@pytest.mark.soak
@pytest.mark.parametrize("recipe, floor", [
    ("linear_digits", 0.95), ("mlp_digits", 0.975), ("cnn_digits", 0.99), ("vit_digits", 0.98)])
def test_mean_accuracy_of_five_seeds(recipe, floor, here):
    scores = [train(recipe, seed=seed, verbose=False).result["test"]["accuracy"] for seed in range(5)]
    assert statistics.mean(scores) >= floor, scores


@pytest.mark.soak
@pytest.mark.parametrize("recipe", reproduced.names())
def test_the_published_number_comes_out_again(recipe, here):
    found = reproduce.reproduce(recipe, verbose=False)
    assert found.succeeded, (found.verdict, found.mean, found.interval)
