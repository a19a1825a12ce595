"""Orders of different seeds, epochs and streams are independent draws, whatever the number of examples."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from benchmarks.orders import old_order, order, pooled, shared
from kerasdl.data import pipeline

SEEDS = (0, 1, 2, 5, 42, 256, 2**20)


@pytest.mark.parametrize("size, batch", [(1_437, 128), (8_000, 128), (50_000, 128), (60_000, 1_000), (250_000, 1_000)])
def test_seeds_share_as_many_pairs_in_a_batch_as_chance_gives(size, batch):
    found = pooled(size, batch, itertools.combinations([(seed, 0) for seed in SEEDS], 2))
    assert 0.95 < found["mean"] < 1.05 and found["most"] < 4.5  # of 21 pairs, in standard errors


@pytest.mark.parametrize("size, batch", [(1_437, 128), (50_000, 128)])
def test_epochs_share_as_many_pairs_in_a_batch_as_chance_gives(size, batch):
    found = pooled(size, batch, itertools.combinations([(3, epoch) for epoch in (0, 1, 2, 255, 256, 257)], 2))
    assert 0.95 < found["mean"] < 1.05 and found["most"] < 4.5


def test_the_orders_of_0_1_would_fail():
    """So the counts above see what was wrong: 28 % of the pairs of seed 0 were pairs of seed 1."""
    seen, expected = shared(old_order((0, 0), 50_000), old_order((1, 0), 50_000), 128)
    assert seen / expected > 100
    np.testing.assert_array_equal(old_order((0, 0), 50_000), old_order((256, 0), 50_000))
    assert len(np.unique(old_order((0, 0), 65_537))) < 65_537  # when this fails TensorFlow has mended it


@pytest.mark.parametrize("size", [1, 2, 3, 5, 10, 20, 69, 1_000, 65_536, 65_537, 262_145])
def test_an_order_is_a_permutation(size):
    np.testing.assert_array_equal(np.sort(order((2**31 - 1, 7), size)), np.arange(size))


@pytest.mark.parametrize("size", [5, 20, 1_000])
def test_an_example_is_at_every_place_alike(size):
    """Over epochs and over seeds, by chi-squared of a table of examples and places, in tenths of a large set."""
    draws, cells = 20 * size if size < 100 else 100, min(size, 10)
    for kind in ([(0, epoch) for epoch in range(draws)], [(seed, 0) for seed in range(draws)]):
        orders, place = np.array([order(draw, size) for draw in kind]), np.arange(size) * cells // size
        table = np.zeros((cells, cells))
        np.add.at(table, (np.broadcast_to(place, orders.shape), place[orders]), 1)
        expected = draws * size / cells**2
        statistic = ((table - expected) ** 2 / expected).sum()
        assert 1e-4 < stats.chi2.sf(statistic, (cells - 1) ** 2) < 1 - 1e-4


def test_neighbours_are_not_kept_together_or_apart():
    """In how many batches examples at a distance of 1, 2, 3, 4 meet, over 40 epochs of 20,000, as multiples of chance.
    """
    size, batch, epochs = 20_000, 128, 40
    meetings = np.zeros(4)
    for epoch in range(epochs):
        where = np.empty(size, int)
        where[order((0, epoch), size)] = np.arange(size) // batch
        meetings += [(where[:-distance] == where[distance:]).sum() for distance in (1, 2, 3, 4)]
    expected = epochs * (size - np.arange(1, 5)) * (batch - 1) / (size - 1)
    np.testing.assert_allclose((meetings - expected) / np.sqrt(expected), 0, atol=4.5)


def test_streams_seeds_and_steps_have_keys_of_their_own():
    """No two are equal, also of seeds that differ in high bits only, and of steps that are numbers of seeds."""
    seeds = [*range(20), *(2**bit for bit in range(5, 31)), 2**31 - 1]
    given = np.array(list(itertools.product(seeds, range(0, 300, 6), range(1000, 1005))))

    @tf.function
    def keys(rows):
        return tf.map_fn(lambda row: pipeline.key(row[0], row[1], row[2]), rows)

    assert len(np.unique(keys(tf.constant(given)).numpy(), axis=0)) == len(given)


def test_parities_say_nothing_of_orders():
    """Half of the examples are turned in an epoch, the others in the next; and halves of seeds are independent."""
    index = tf.range(10_000, dtype=tf.int64)
    first, second, other = (
        pipeline.flip_parity(pipeline.parities(seed, 10_000), tf.constant(epoch, tf.int64), index).numpy()
        for seed, epoch in ((0, 0), (0, 1), (1, 0)))
    assert first.sum() == 5_000 and (first + second == 1).all()
    assert abs((first == other).mean() - 0.5) < 0.02
    early = np.isin(np.arange(10_000), order((0, 0), 10_000)[:5_000])
    assert abs((first == early).mean() - 0.5) < 0.02
